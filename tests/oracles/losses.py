"""Every loss as PyTorch has it, row by row, in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.objective import (
    Loss,
    contrastive,
    custom_loss,
    focal,
    label_smoothing,
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
