"""The contract of every loss: PyTorch's values, autograd's derivative, finite at huge outputs; and mistakes it sees."""

from __future__ import annotations

import pytest
import torch
from tests.oracles.losses import CASES, LABELS, B, C
from torch import Tensor
from torch.nn import functional as F

from luthier.objective import LOSSES, Loss
from luthier.testing import check_loss

SMOOTH = ("softmax", "smoothed", "smoothed more", "focal", "focal 3", "binary", "sigmoid outputs")
LINKED = ("fractional", "poisson", "negative binomial", "gamma", "tweedie", "ordinal", "quantiles")


def test_every_loss_has_an_oracle() -> None:
    assert {loss for loss, *_ in CASES.values() if isinstance(loss, str)} == set(LOSSES)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_keeps_its_contract(name: str) -> None:
    loss, logits, targets, oracle = CASES[name]
    check_loss(
        loss, targets, logits=logits, reference=oracle, large=1e4 if name in SMOOTH or name.startswith(LINKED) else None
    )


@pytest.mark.parametrize("function", [F.huber_loss, torch.nn.SmoothL1Loss(), lambda o, y: (o - y).abs().pow(3).mean()])
def test_a_function_keeps_it_too(function: object) -> None:
    check_loss(function, torch.linspace(-2, 2, B, dtype=torch.float64))


ROWS = LOSSES["softmax"].rows


def _shifted(Z: Tensor, targets: Tensor) -> Tensor:
    return LOSSES["softmax"].residual(Z, targets) + 0.01


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (LOSSES["softmax"]._replace(residual=_shifted), "not the derivative"),
        (LOSSES["softmax"]._replace(rows=lambda Z, y: ROWS(Z, y).mean(1)), "has shape"),
        (LOSSES["softmax"]._replace(rows=lambda Z, y: ROWS(Z - Z.mean(), y) + Z.mean()), "another one's"),
        (LOSSES["softmax"]._replace(rows=lambda Z, y: ROWS(Z, y) / ROWS(Z, y).sum(1, keepdim=True)), "couples"),
        (
            LOSSES["softmax"]._replace(rows=lambda Z, y: -(Z.exp() / Z.exp().sum(-1, keepdim=True)).log()[..., 0]),
            "not the derivative",
        ),
    ],
)
def test_the_contract_sees_what_breaks_it(broken: Loss, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_loss(broken, LABELS, outputs=C)


def test_the_contract_sees_what_overflows() -> None:
    overflowing = LOSSES["softmax"]._replace(rows=_unguarded)
    check_loss(overflowing, LABELS, outputs=C, large=None)
    with pytest.raises(AssertionError, match="not finite at outputs of size 10000"):
        check_loss(overflowing, LABELS, outputs=C)


def _unguarded(Z: Tensor, targets: Tensor) -> Tensor:
    return Z.exp().sum(-1).log() - Z.gather(-1, targets.expand(len(Z), -1).unsqueeze(-1)).squeeze(-1)
