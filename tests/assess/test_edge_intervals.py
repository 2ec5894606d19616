"""Intervals of scores near their best value, of few rows: they hold the truth, and are no wider than they must be."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from luthier.assess import Scoring, Units, measure, score
from luthier.assess.jackknife import of_share, of_unexplained, wilson
from luthier.records import Measure

DRAWS = 150


def drawn(g: np.random.Generator, rows: int, positive: float, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Two classes whose log-odds lie so far apart, in standard deviations."""
    y = (g.random(rows) < positive).astype(np.int64)
    p = scipy.special.expit(apart * (y - 0.5) + g.normal(size=rows))
    return y, np.stack([1 - p, p], 1)


@pytest.mark.parametrize("metric", ["auc", "average precision", "f1"])
@pytest.mark.parametrize(
    ("rows", "positive", "widest"), [(32, 0.5, 0.45), (32, 0.2, 0.95), (100, 0.5, 0.2), (400, 0.2, 0.2)]
)
def test_intervals_near_the_best_score_hold_the_truth(metric: str, rows: int, positive: float, widest: float) -> None:
    """The log-odds of a score without the one row that is wrong have no end, and ends were 2e-20 and 1."""
    g = np.random.default_rng(0)
    truth = score(metric, *drawn(g, 100_000, positive, 3.0))
    assert 0.8 < truth < 0.999
    found = list[Measure]()
    while len(found) < DRAWS:
        y, p = drawn(g, rows, positive, 3.0)
        if 2 <= y.sum() <= rows - 2:
            found.append(measure(metric, y, p))
    ends = np.array([(one.low, one.high) for one in found if one.low is not None], dtype=float)
    assert len(ends) > 0.9 * DRAWS
    held = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    assert held.mean() > 0.95 - 3 * (0.95 * 0.05 / len(ends)) ** 0.5  # three standard errors of such a share
    assert (ends[:, 1] - ends[:, 0]).max() < widest


def test_one_wrong_row_of_32() -> None:
    """A positive row below all negative ones, 240 of 256 pairs: one row decides, but 16 of a class were looked at."""
    y = np.arange(32) // 16
    z = np.arange(32.0)
    z[16] = -1
    p = np.stack([-z, z], 1)
    one = measure("auc", y, p)
    assert one.value == 240 / 256
    assert one.low == pytest.approx(wilson(240 / 256, 16)[0])
    assert one.high is not None
    assert 240 / 256 < one.high <= 1
    grouped = measure("auc", y, p, Scoring(units=Units("groups", np.arange(32) // 2)))
    assert grouped.low is not None
    assert grouped.low < one.low  # rows of a group are wrong together: what holds of rows does not hold of them


def test_far_from_the_edge_nothing_changes() -> None:
    """The log-odds of the scores themselves, and what the slope makes of them, agree where they vary little."""
    without = 0.7 + 0.001 * np.random.default_rng(0).normal(size=100)
    odds = scipy.special.logit(without)
    half = scipy.stats.t.ppf(0.975, 99) * ((odds - odds.mean()) ** 2).sum() ** 0.5
    expected = scipy.special.expit(scipy.special.logit(0.7) + np.array([-half, half]))
    np.testing.assert_allclose(of_share(0.7, without), expected, atol=1e-3)
    low, high = of_unexplained(0.7, without) or (0.0, 0.0)
    assert 0.68 < low < 0.7 < high < 0.72


def test_one_unexplained_row_does_not_make_r2_endless() -> None:
    f = np.arange(30.0)
    y = f + np.eye(30)[7]
    one = measure("r2", y, f)
    assert one.low is not None
    assert 0.9 < one.low < one.value < 1
