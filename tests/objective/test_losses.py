"""Every loss against PyTorch in float64, and its hand-written derivative against autograd."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import InputError
from luthier.objective import (
    LOSSES,
    Loss,
    class_weights,
    custom_loss,
    focal,
    label_smoothing,
    loss_named,
    mean_gradient,
    mean_loss,
    one_hot,
)
from luthier.seeds import torch_generator

M, B, C = 3, 11, 4
G = torch_generator(0, "losses")
Z = torch.randn(M, B, C, generator=G, dtype=torch.float64) * 3
ONE = Z[..., :1]
LABELS = torch.randint(0, C, (B,), generator=G)
SIDES = torch.randint(0, 2, (B,), generator=G)
MANY = torch.randint(0, 2, (B, C), generator=G)
VALUES = torch.randn(B, generator=G, dtype=torch.float64)
VECTORS = torch.randn(B, C, generator=G, dtype=torch.float64)

# name: (loss, logits, targets, PyTorch's rows for one member)
CASES: dict[str, tuple[str | Loss, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "softmax": ("softmax", Z, LABELS, lambda z, y: F.cross_entropy(z, y, reduction="none")),
    "smoothed": (
        "smoothed softmax",
        Z,
        LABELS,
        lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.1),
    ),
    "smoothed more": (
        label_smoothing(0.3),
        Z,
        LABELS,
        lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.3),
    ),
    "focal": ("focal", Z, LABELS, lambda z, y: _focal(z, y, 2.0)),
    "focal 3": (focal(3.0), Z, LABELS, lambda z, y: _focal(z, y, 3.0)),
    "binary": (
        "binary",
        ONE,
        SIDES,
        lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.double(), reduction="none"),
    ),
    "sigmoid outputs": (
        "binary",
        Z,
        MANY,
        lambda z, y: F.binary_cross_entropy_with_logits(z, y.double(), reduction="none").sum(1),
    ),
    "sigmoid outputs of classes": (
        "binary",
        Z,
        LABELS,
        lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, C).double(), reduction="none").sum(1),
    ),
    "quadratic": (
        "quadratic",
        Z,
        LABELS,
        lambda z, y: F.mse_loss(z.sigmoid(), F.one_hot(y, C).double(), reduction="none").sum(1) / 2,
    ),
    "mse": ("mse", ONE, VALUES, lambda z, y: F.mse_loss(z[:, 0], y, reduction="none")),
    "mse of vectors": ("mse", Z, VECTORS, lambda z, y: F.mse_loss(z, y, reduction="none").mean(1)),
    "mae": ("mae", ONE, VALUES, lambda z, y: F.l1_loss(z[:, 0], y, reduction="none")),
    "mae of vectors": ("mae", Z, VECTORS, lambda z, y: F.l1_loss(z, y, reduction="none").mean(1)),
    "huber": ("huber", ONE, VALUES, lambda z, y: F.huber_loss(z[:, 0], y, reduction="none")),
    "huber of vectors": ("huber", Z, VECTORS, lambda z, y: F.huber_loss(z, y, reduction="none").mean(1)),
    "custom": (custom_loss(lambda z, y: (z[..., 0] - y) ** 4), ONE, VALUES, lambda z, y: (z[:, 0] - y) ** 4),
}


def _focal(z: Tensor, y: Tensor, gamma: float) -> Tensor:
    cross_entropy = F.cross_entropy(z, y, reduction="none")
    return (1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy


def test_every_loss_has_an_oracle() -> None:
    assert {loss for loss, *_ in CASES.values() if isinstance(loss, str)} == set(LOSSES)


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_pytorchs(name: str) -> None:
    loss, logits, targets, oracle = CASES[name]
    rows = loss_named(loss).rows(logits, targets)
    assert rows.shape == (M, B)
    for k in range(M):
        torch.testing.assert_close(rows[k], oracle(logits[k], targets), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_derivative_is_autograds(name: str, weighted: bool) -> None:
    loss, logits, targets, oracle = CASES[name]
    weights = torch.rand(B, generator=torch_generator(1), dtype=torch.float64) if weighted else None
    found = mean_gradient(loss_named(loss).residual(logits.clone(), targets), weights)
    z = logits.clone().requires_grad_()
    shares = torch.full((B,), 1 / B, dtype=torch.float64) if weights is None else weights / weights.sum()
    sum((oracle(z[k], targets) * shares).sum() for k in range(M)).backward()
    torch.testing.assert_close(found, z.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "smoothed softmax", "focal", "binary"])
def test_huge_logits_stay_finite(name: str) -> None:
    loss, logits = LOSSES[name], Z.float() * 1e4
    assert loss.rows(logits, LABELS).isfinite().all()
    assert loss.residual(logits.clone(), LABELS).isfinite().all()


def test_class_weights_are_pytorchs_weighted_mean() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 0, 0, 3, 0, 0])
    counts = torch.bincount(labels)
    oracle = F.cross_entropy(Z[0], labels, weight=(len(labels) / (C * counts)).double())
    weights = class_weights(labels, C).double()
    torch.testing.assert_close(mean_loss(LOSSES["softmax"].rows(Z, labels), weights)[0], oracle, rtol=1e-6, atol=0)


def test_one_hot_refuses_labels_that_are_no_classes() -> None:
    assert one_hot(torch.tensor([2, 0]), 4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    for labels in ([4], [-1]):
        with pytest.raises(InputError, match="a label is not a class"):
            one_hot(torch.tensor(labels), 4)


def test_scores() -> None:
    right = (Z.argmax(-1) == LABELS).double()
    for name in ("softmax", "focal", "quadratic"):
        torch.testing.assert_close(LOSSES[name].score(Z, LABELS), right)
    assert torch.equal(LOSSES["binary"].score(ONE, SIDES), ((ONE[..., 0] > 0) == (SIDES > 0)).double())
    assert torch.equal(LOSSES["binary"].score(Z, MANY), ((Z > 0) == (MANY > 0)).all(-1).double())
