"""The contract of every loss: PyTorch's values, autograd's derivative, finite at huge outputs."""

from __future__ import annotations

import pytest
import torch
from tests.oracles.losses import CASES, LABELS, B, M, Z

from luthier.objective import (
    LOSSES,
    loss_named,
    mean_gradient,
)
from luthier.seeds import torch_generator


def test_every_loss_has_an_oracle() -> None:
    assert {loss for loss, *_ in CASES.values() if isinstance(loss, str)} == set(LOSSES)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_pytorchs(name: str) -> None:
    loss, logits, targets, oracle = CASES[name]
    rows = loss_named(loss).rows(logits, targets)
    assert rows.shape == (M, B)
    for k in range(M):
        torch.testing.assert_close(rows[k], oracle(logits[k], targets), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "weighted"), [(n, w) for n in CASES for w in (False, True) if not (w and loss_named(CASES[n][0]).couples)]
)
def test_a_derivative_is_autograds(name: str, weighted: bool) -> None:
    loss, logits, targets, oracle = CASES[name]
    weights = torch.rand(B, generator=torch_generator(1), dtype=torch.float64) if weighted else None
    result = mean_gradient(loss_named(loss).residual(logits.clone(), targets), weights)
    z = logits.clone().requires_grad_()
    shares = torch.full((B,), 1 / B, dtype=torch.float64) if weights is None else weights / weights.sum()
    sum((oracle(z[k], targets) * shares).sum() for k in range(M)).backward()
    torch.testing.assert_close(result, z.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "smoothed softmax", "focal", "binary"])
def test_huge_logits_stay_finite(name: str) -> None:
    loss, logits = LOSSES[name], Z.float() * 1e4
    assert loss.rows(logits, LABELS).isfinite().all()
    assert loss.residual(logits.clone(), LABELS).isfinite().all()
