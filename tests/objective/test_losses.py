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
    contrastive,
    custom_loss,
    focal,
    label_smoothing,
    loss_named,
    mean_gradient,
    mean_loss,
    one_hot,
    triplet,
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
    "soft targets": ("softmax", Z, VECTORS.softmax(1), lambda z, y: F.cross_entropy(z, y, reduction="none")),
    "negative log-likelihood": (
        "negative log-likelihood",
        Z.log_softmax(-1),
        LABELS,
        lambda z, y: F.nll_loss(z, y, reduction="none"),
    ),
    "contrastive": ("contrastive", Z / 4, LABELS, lambda z, y: _contrastive(z, y, 1.0)),
    "contrastive, wide": (contrastive(4.0), Z, LABELS, lambda z, y: _contrastive(z, y, 4.0)),
    "triplet": ("triplet", Z / 4, LABELS, lambda z, y: _triplet(z, y, 1.0)),
    "triplet, wide": (triplet(4.0), Z, LABELS, lambda z, y: _triplet(z, y, 4.0)),
    "custom": (custom_loss(lambda z, y: (z[..., 0] - y) ** 4), ONE, VALUES, lambda z, y: (z[:, 0] - y) ** 4),
}


def _contrastive(z: Tensor, y: Tensor, margin: float) -> Tensor:
    """Pair by pair, with PyTorch's distances."""
    rows = []
    for i in range(len(y)):
        total = z.new_zeros(())
        for j in range(len(y)):
            if i != j:
                d = F.pairwise_distance(z[i], z[j], eps=0.0)
                total = total + (d**2 if y[i] == y[j] else F.relu(margin - d) ** 2) / 2
        rows.append(total / (len(y) - 1))
    return torch.stack(rows)


def _triplet(z: Tensor, y: Tensor, margin: float) -> Tensor:
    """Row by row over every triplet: the worst of PyTorch's own losses."""
    rows = []
    for i in range(len(y)):
        same = [j for j in range(len(y)) if j != i and y[j] == y[i]]
        other = [j for j in range(len(y)) if y[j] != y[i]]
        losses = [
            F.triplet_margin_loss(z[i], z[p], z[n], margin=margin, eps=0.0, reduction="none")
            for p in same
            for n in other
        ]
        rows.append(torch.stack(losses).max() if losses else z.new_zeros(()))
    return torch.stack(rows)


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


def test_losses_over_pairs_take_no_weights_of_rows() -> None:
    import luthier

    X = torch.randn(20, 3)
    with pytest.raises(InputError, match="cannot use sample weights"):
        luthier.train(luthier.DenseSpec(3, (4,), 2), (X, torch.arange(20) % 2, torch.ones(20)), loss="triplet", steps=1)


@pytest.mark.parametrize("name", ["contrastive", "triplet"])
def test_embeddings_learn_to_tell_classes_apart(name: str) -> None:
    """Two interleaved classes: the nearest other row is of the same class far more often than before."""
    import luthier

    g = torch_generator(3, "rings")
    X = torch.randn(300, 2, generator=g)
    y = (X.norm(dim=1) > 1.1).long()
    spec = luthier.DenseSpec(2, (32,), 2, activation="tanh")
    result = luthier.train(spec, (X, y), validation=(X, y), loss=name, learning_rate=0.01, epochs=40)
    scores = result.history.to_frame()["validation_score"]
    assert scores.max() > 0.9
    assert scores.max() > scores[0]


def test_softmax_over_many_rows_is_the_same() -> None:
    """Where softmax goes along another axis the residual is still autograd's, for class numbers and for shares."""
    from luthier.objective.losses import FEW_CLASSES, MANY_OUTPUTS

    generator = torch.Generator().manual_seed(0)
    for classes in (FEW_CLASSES, FEW_CLASSES + 1, 10):
        Z = torch.randn(2, MANY_OUTPUTS, classes, generator=generator, dtype=torch.float64, requires_grad=True)
        numbers = torch.randint(0, classes, (MANY_OUTPUTS,), generator=generator)
        loss = LOSSES["softmax"]
        for targets in (numbers, torch.nn.functional.one_hot(numbers, classes).double()):
            (wanted,) = torch.autograd.grad(loss.by_row(Z, targets, loss.rows).sum(), Z)
            torch.testing.assert_close(loss.residual(Z.detach(), targets), wanted, rtol=1e-12, atol=1e-12)
