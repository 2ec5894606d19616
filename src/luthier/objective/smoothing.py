"""Label smoothing of each member's own, as what it adds to the loss. M members, B batch, C outputs.

Smoothed cross-entropy is linear in the smoothing s: with targets y, (1 - s) y + s / C in their place adds s times the
sum over outputs of (y - 1 / C) z (Szegedy and others, 2016). So one loss serves members of different s, and what is
measured and compared stays the plain loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.errors import ConfigError
from luthier.objective.criterion import Criterion
from luthier.objective.loss_table import LOSSES
from luthier.objective.losses import one_hot
from luthier.objective.row_loss import Loss
from luthier.shapes import Logits, RowLosses, Targets


def smoothing_part(loss: Loss | Criterion) -> Loss:
    """What a unit of smoothing adds to each row's loss, and its derivative. ConfigError where targets are no classes.

    >>> part = smoothing_part(LOSSES["softmax"])
    >>> part.rows(torch.tensor([[[0.0, 1.0, 2.0, 3.0]]]), torch.tensor([3]))  # 3 - (0 + 1 + 2 + 3) / 4
    tensor([[1.5000]])
    """
    if loss is LOSSES["softmax"]:
        return LOSSES["softmax"]._replace(rows=_rows, residual=_residual, prepare=None)
    if loss is LOSSES["binary"]:
        return LOSSES["binary"]._replace(rows=_rows_of_halves, residual=_residual_of_halves, prepare=None)
    raise ConfigError(
        ["label_smoothing works with the losses softmax and binary"], remedy="leave it at 0, or choose one of them"
    )


def _residual(Z: Logits, targets: Targets) -> Logits:
    shares = targets if targets.ndim == 2 else one_hot(targets, Z.shape[-1], Z.dtype)
    result: Tensor = (shares.to(Z.dtype) - 1 / Z.shape[-1]).expand_as(Z)
    return result


def _rows(Z: Logits, targets: Targets) -> RowLosses:
    result: Tensor = (Z * _residual(Z, targets)).sum(-1)
    return result


def _residual_of_halves(Z: Logits, targets: Targets) -> Logits:
    """Each output is a yes or no of its own, whose even share is a half."""
    if targets.ndim == 1 and Z.shape[-1] > 1:
        targets = one_hot(targets, Z.shape[-1], Z.dtype)
    result: Tensor = ((targets if targets.ndim == 2 else targets.unsqueeze(-1)).to(Z.dtype) - 0.5).expand_as(Z)
    return result


def _rows_of_halves(Z: Logits, targets: Targets) -> RowLosses:
    result: Tensor = (Z * _residual_of_halves(Z, targets)).sum(-1)
    return result


def smoothings(values: list[float], dtype: torch.dtype, device: torch.device) -> Tensor | None:
    """The smoothing of each member [M]; None where all are 0."""
    return torch.tensor(values, dtype=dtype, device=device) if any(values) else None
