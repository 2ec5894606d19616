"""Tests of a shift against SciPy's, with their usual sizes, and by trees."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.assess.distribution_shift import holm, stability_index, told_apart


def test_holm_is_scipys() -> None:
    chances = [0.001, 0.02, 0.03, 0.4]
    ordered = sorted(chances)
    wanted, largest = [], 0.0
    for i, p in enumerate(ordered):
        largest = max(largest, (len(ordered) - i) * p)
        wanted.append(min(1.0, largest))
    assert holm(chances) == pytest.approx(wanted)


def test_the_stability_index_has_its_usual_sizes() -> None:
    rng = np.random.default_rng(5)
    before = rng.normal(size=20_000)
    assert stability_index(before, rng.normal(size=20_000)) < 0.01
    assert 0.1 < stability_index(before, rng.normal(0.4, 1, 20_000)) < 0.25
    assert stability_index(before, rng.normal(1.0, 1, 20_000)) > 0.25


def test_trees_tell_what_columns_alone_do_not() -> None:
    """Each column as before, their correlation turned round: only all columns together show it."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(800, 1)), rng.normal(size=(800, 1))
    before = np.hstack([a, a + 0.3 * rng.normal(size=(800, 1))])
    now = np.hstack([b, -b + 0.3 * rng.normal(size=(800, 1))])
    result, same = told_apart(before, now), told_apart(before[:400], before[400:])
    assert result is not None
    assert same is not None
    assert result.low > 0.8
    assert same.low <= 0.55
    assert told_apart(before[:20], now) is None
