"""Scores of a whole stack's outputs, one value per member. Z logits or values [M, N, C], targets [N]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from luthier.errors import InputError
from luthier.objective.losses import LOSSES, mean_loss
from luthier.objective.targets import check_labels, check_values
from luthier.shapes import Logits, PerMember, RowWeights, Targets

Metric = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def _classes(Z: Tensor) -> Tensor:
    """Logits of every class: one output of a binary network stands against 0."""
    return Z if Z.shape[-1] > 1 else torch.cat([torch.zeros_like(Z), Z], -1)


def _accuracy(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    return mean_loss((_classes(Z).argmax(-1) == targets).to(Z.dtype), weights)


def _log_loss(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    return mean_loss(LOSSES["softmax"].rows(_classes(Z), targets.long()), weights)


def _auc(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    """The chance that a positive row scores above a negative one, ties half; rows count by their weights."""
    logits = _classes(Z)
    score = (logits[..., 1] - logits[..., 0]).double()
    weights = torch.ones_like(score[0]) if weights is None else weights.double()
    result = []
    for values in score:
        _, rank = torch.unique(values, return_inverse=True)
        negative = torch.zeros(int(rank.max()) + 1, dtype=torch.float64).index_add_(0, rank, weights * (targets == 0))
        positive = torch.zeros_like(negative).index_add_(0, rank, weights * (targets == 1))
        below = negative.cumsum(0) - negative
        result.append((positive * (below + 0.5 * negative)).sum() / (positive.sum() * negative.sum()))
    return torch.stack(result).to(Z.dtype)


def _errors(Z: Logits, targets: Targets) -> Logits:
    return Z - (targets if targets.ndim == 2 else targets.unsqueeze(-1)).to(Z.dtype)


def _mae(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    return mean_loss(_errors(Z, targets).abs().mean(-1), weights)


def _rmse(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    return mean_loss(_errors(Z, targets).square().mean(-1), weights).sqrt()


def _r2(Z: Logits, targets: Targets, weights: RowWeights | None) -> PerMember:
    """1 where every value is met, 0 for the mean; several outputs count by their variance."""
    y = (targets if targets.ndim == 2 else targets.unsqueeze(-1)).to(Z.dtype)
    centre = mean_loss(y.T, weights)
    spread = mean_loss((y - centre).square().mean(-1), weights)
    return 1 - mean_loss(_errors(Z, targets).square().mean(-1), weights) / spread


OF_CLASSES = ("accuracy", "error rate", "log loss", "auc")


def check_metric(name: str, outputs: int, targets: Tensor) -> None:
    """Raise InputError where a metric cannot be measured on targets [N] or [N, K] of a network with so many outputs."""
    if name in OF_CLASSES:
        check_labels(max(2, outputs), targets)
    else:
        check_values(outputs, targets)
    if name == "auc" and outputs > 2:
        raise InputError("the area under the curve is of two classes", received=f"a network of {outputs} outputs")


# (outputs [M, N, C], targets, weights [N] or None) -> [M]
METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "error rate": lambda Z, targets, weights: 1 - _accuracy(Z, targets, weights),
    "log loss": _log_loss,
    "auc": _auc,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}
