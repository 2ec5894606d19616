"""Losses of a whole stack: one value per member, and the gradient by hand.

Z logits [M, B, C]; targets [B] (class numbers, 0/1, or values); weights [B] or None. A loss is the
(weighted) mean over the batch's own rows, so a short last batch counts over its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Loss(NamedTuple):
    """`rows` gives each row's loss [M, B]; `gradient` the derivative of the mean by Z [M, B, C]."""

    rows: Callable[[Tensor, Tensor], Tensor]
    residual: Callable[[Tensor, Tensor], Tensor]  # derivative of a row's loss by its logits, [M, B, C]


def _softmax_rows(Z: Tensor, targets: Tensor) -> Tensor:
    index = targets.expand(Z.shape[0], -1).unsqueeze(-1)
    return torch.logsumexp(Z, -1) - Z.gather(-1, index).squeeze(-1)


def _softmax_residual(Z: Tensor, targets: Tensor) -> Tensor:
    A = torch.softmax(Z, -1)  # a - y, with y one-hot (S1-71)
    index = targets.expand(Z.shape[0], -1).unsqueeze(-1)
    return A.scatter_add_(-1, index, torch.full_like(index, -1, dtype=A.dtype))


def _binary_rows(Z: Tensor, targets: Tensor) -> Tensor:
    z = Z[..., 0]
    return F.softplus(z) - z * targets.to(z.dtype)


def _mse_rows(Z: Tensor, targets: Tensor) -> Tensor:
    return (Z[..., 0] - targets.to(Z.dtype)) ** 2


LOSSES: dict[str, Loss] = {
    "softmax": Loss(_softmax_rows, _softmax_residual),
    "binary": Loss(_binary_rows, lambda Z, targets: torch.sigmoid(Z) - targets.to(Z.dtype).unsqueeze(-1)),
    "mse": Loss(_mse_rows, lambda Z, targets: 2 * (Z - targets.to(Z.dtype).unsqueeze(-1))),
}


def mean_loss(rows: Tensor, weights: Tensor | None) -> Tensor:
    """Losses of rows [M, B] to the (weighted) mean of each member [M]."""
    return rows.mean(-1) if weights is None else rows @ (weights / weights.sum()).to(rows.dtype)


def mean_gradient(residual: Tensor, weights: Tensor | None) -> Tensor:
    """Derivatives of rows [M, B, C] to those of the (weighted) mean."""
    if weights is None:
        return residual.mul_(1 / residual.shape[1])
    return residual.mul_((weights / weights.sum()).to(residual.dtype).unsqueeze(-1))


def score_rows(Z: Tensor, targets: Tensor, loss: str) -> Tensor:
    """What a score averages over rows [M, B]: 1 for a right class, or the squared error of a regression."""
    if loss == "softmax":
        return (Z.argmax(-1) == targets).to(Z.dtype)
    if loss == "binary":
        return ((Z[..., 0] > 0) == (targets > 0.5)).to(Z.dtype)
    return _mse_rows(Z, targets)
