"""Label smoothing of each member's own, against PyTorch's loss in float64, in every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.engine import Member, Settings, train
from luthier.engine.api import train_networks
from luthier.errors import ConfigError
from luthier.nets import DenseSpec, build
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

ROWS, SMOOTHINGS = 24, (0.0, 0.1, 0.4)
g = torch_generator(0, "label smoothing")
X = torch.randn(ROWS, 4, generator=g, dtype=torch.float64)
CLASSES, SIDES = torch.arange(ROWS) % 3, (torch.arange(ROWS) % 2)
WEIGHTS = torch.rand(ROWS, generator=g, dtype=torch.float64)
NO_CODES = torch.zeros(ROWS, 0, dtype=torch.int64)


def by_autograd(net: nn.Module, rows: Tensor, kind: str, smoothing: float, weights: Tensor | None) -> list[Tensor]:
    """A network's parameters after a step of rate 1 down the smoothed loss of some rows."""
    Z = net(X[rows])
    if kind == "softmax":
        losses = F.cross_entropy(Z, CLASSES[rows], label_smoothing=smoothing, reduction="none")
    else:
        smoothed = SIDES[rows].double() * (1 - smoothing) + smoothing / 2
        losses = F.binary_cross_entropy_with_logits(Z[:, 0], smoothed, reduction="none")
    shares = torch.ones(len(rows), dtype=torch.float64) if weights is None else weights[rows]
    slopes = torch.autograd.grad((losses * shares).sum() / shares.sum(), list(net.parameters()))
    return [(value - slope).detach() for value, slope in zip(net.parameters(), slopes, strict=True)]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("kind", ["softmax", "binary"])
@pytest.mark.parametrize("folded", [False, True])
def test_a_stack_of_different_smoothings(kind: str, weights: Tensor | None, folded: bool) -> None:
    spec = DenseSpec(4, (5,), 3 if kind == "softmax" else 1, activation="tanh")
    folds = torch.arange(ROWS) // 8 if folded else None
    members = [
        Member(spec, k, 1.0, momentum=0.0, label_smoothing=s, fold=k if folded else None)
        for k, s in enumerate(SMOOTHINGS)
    ]
    part = Rows(Inputs(numbers=X), CLASSES if kind == "softmax" else SIDES, weights)
    outcome = train(members, part, None, Settings(kind, "sgd", ROWS, 1, 1, dtype=torch.float64), folds=folds)
    for k, s in enumerate(SMOOTHINGS):
        net = build(spec, seed=k).double()
        net.load_state_dict(spec.fresh_parameters(k))
        rows = torch.arange(ROWS) if folds is None else torch.nonzero(folds != k).flatten()
        expected, state = by_autograd(net, rows, kind, s, weights), outcome.state_dict(k)
        for (name, _), value in zip(net.named_parameters(), expected, strict=True):
            torch.testing.assert_close(state[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", ["stacked", "vmapped", "looped"])
def test_every_layout_learns_from_smoothed_labels(layout: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    options: dict[str, Any] = {"rule": "sgd", "learning_rate": 1.0, "momentum": 0.0, "steps": 1, "batch_size": ROWS}
    outcome = train_networks(net, (X, CLASSES), layout=layout, label_smoothing=list(SMOOTHINGS), **options)
    plain = float(F.cross_entropy(net(X), CLASSES).detach())
    for k, s in enumerate(SMOOTHINGS):
        learnt = list(outcome.module(k).parameters())
        for value, expected in zip(learnt, by_autograd(net, torch.arange(ROWS), "softmax", s, None), strict=True):
            # dense chains train in single precision
            torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
        assert outcome.best_train_loss[k] == pytest.approx(plain, rel=1e-5)  # what is measured is not smoothed


def test_it_is_refused_where_targets_are_no_classes() -> None:
    member = Member(DenseSpec(4, (3,), 1), 0, 0.1, label_smoothing=0.1)
    with pytest.raises(ConfigError, match="softmax and binary"):
        train(
            [member],
            Rows(Inputs(numbers=X.float()), X[:, 0].float()),
            None,
            Settings("mse", "sgd", 8, 1, 1),
        )
    with pytest.raises(ConfigError, match="below 1"):
        Member(DenseSpec(4, (3,), 1), 0, 0.1, label_smoothing=1.0)
