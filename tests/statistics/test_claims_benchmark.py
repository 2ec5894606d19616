"""What measures the claims: folds are stratified, planted remedies are worth what is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks import claims

from luthier.statistics.row_losses import row_losses


def test_folds_are_stratified_and_differ_between_partitions() -> None:
    """Of every five rows that are neighbours by their target, one is in each fold."""
    targets = torch.from_numpy(np.random.default_rng(0).normal(size=1000))
    one, other = (claims.partition(targets, seed).numpy() for seed in (0, 1))
    by_target = one[np.argsort(targets.numpy())].reshape(-1, 5)
    np.testing.assert_array_equal(np.sort(by_target, 1), np.tile(np.arange(5), (200, 1)))
    assert (one == other).mean() == pytest.approx(0.2, abs=0.05)
    rare = torch.tensor([1.0] * 10 + [0.0] * 90)
    assert np.bincount(claims.partition(rare, 0)[:10]).tolist() == [2] * 5


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_a_planted_remedy_is_worth_what_is_said(kind: str) -> None:
    rng = np.random.default_rng(0)
    if kind == "regression":
        y = torch.from_numpy(rng.normal(size=500))
        outputs, prior = (y + torch.from_numpy(0.5 * rng.normal(size=(3, 500))))[..., None], torch.zeros(1).double()
    else:
        y = torch.from_numpy(rng.integers(0, 2, 500))
        outputs = claims.outputs_of((y * 2.0 - 1 + torch.from_numpy(rng.normal(size=(3, 500))))[..., None], kind)
        prior = torch.tensor([0.5, 0.5]).double()
    far = claims.shrunk(outputs, y, prior, kind, 0.05)
    assert far is not None
    moved = (1 - far) * outputs + far * prior
    assert float(row_losses(moved, y, kind).mean() / row_losses(outputs, y, kind).mean()) == pytest.approx(
        1.05, abs=1e-3
    )


def test_misses_are_counted_in_half_widths() -> None:
    """Own truth: the draw's own other rows; mean truth: what undoing costs over all draws; planted ones are known."""
    rows = [
        {"answers": {"dropout": [0.1, 0.05], claims.NOTHING: [0.1, 0.05]}, "loss of others": truth}
        for truth in (
            {"reference": 1.0, "dropout": 1.1, claims.NOTHING: 1.2},
            {"reference": 1.0, "dropout": 1.3, claims.NOTHING: 0.8},
        )
    ]
    off = claims.missed(rows)
    np.testing.assert_allclose(off["dropout"]["own"], [0, -4], atol=1e-9)
    np.testing.assert_allclose(off["dropout"]["mean"], [-2, -2])
    np.testing.assert_allclose(off[claims.NOTHING]["mean"], [2, 2])
