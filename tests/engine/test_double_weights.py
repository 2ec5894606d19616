"""A row of weight 2 among rows of 1 trains networks as two copies of it do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from luthier.engine import Member, Settings, train
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

ROWS, SEEDS = 200, 8


def rows(dtype: torch.dtype) -> tuple[Rows, Rows]:
    """Rows with weights 1 and 2, and the same with the latter twice."""
    X = torch.randn(ROWS, 4, generator=torch_generator(0, "rows"), dtype=dtype)
    noise = torch.randn(ROWS, generator=torch_generator(0, "noise"), dtype=dtype)
    y, weights = torch.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * noise, torch.where(X[:, 3] > 0, 2.0, 1.0)
    twice = torch.arange(ROWS).repeat_interleave(weights.long())
    return _part(X, y, weights), _part(X[twice], y[twice], None)


def _part(X: Tensor, y: Tensor, weights: Tensor | None) -> Rows:
    return Rows(Inputs(numbers=X), y, weights=weights)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_with_all_rows_in_a_batch_the_weights_are_the_same(rule: str) -> None:
    members = [Member(DenseSpec(4, (9,), 1, activation="tanh"), seed=s, learning_rate=0.01) for s in range(3)]
    weighted, doubled = (
        train(members, part, None, Settings("mse", rule, len(part), 60, 60, dtype=torch.float64))
        for part in rows(torch.float64)
    )
    torch.testing.assert_close(weighted.parameters, doubled.parameters, rtol=1e-9, atol=1e-12)


def test_in_batches_networks_differ_by_no_more_than_seeds_do() -> None:
    """At equal steps, on rows of their own: which rows meet in a batch differs, as it does between seeds."""
    X = torch.randn(2000, 4, generator=torch_generator(1, "rows"))
    truth = torch.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    members = [Member(DenseSpec(4, (24,), 1), seed=s, learning_rate=3e-3) for s in range(SEEDS)]
    errors = []
    for part in rows(torch.float32):
        outcome = train(members, part, None, Settings("mse", "adam", 32, 800, 800))
        errors.append(((outcome.logits(X)[:, :, 0] - truth) ** 2).mean(1).numpy())
    spread = float(np.sqrt(errors[0].var(ddof=1) + errors[1].var(ddof=1)))
    assert abs(errors[0].mean() - errors[1].mean()) < spread
