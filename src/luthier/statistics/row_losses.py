"""The loss of each row for outputs of networks or of their mean. N rows, C classes or outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from luthier.kinds import KINDS, JointKind
from luthier.objective.constants import floors
from luthier.objective.loss_table import loss_by_name

Yardstick = str | JointKind | Callable[[Tensor, Tensor], Tensor]  # a kind, or a row loss of outputs, targets


def row_losses(outputs: Tensor, targets: Tensor, kind: Yardstick, weights: Tensor | None = None) -> Tensor:
    """Loss of each row [N] for averaged outputs [..., N, C]: negative log probability, or the kind's loss of a number;
    or the row loss that is given in place of a kind.

    With weights [N] a row's loss counts by its share, so that the plain mean is the weighted one. Of several targets
    [N, T], which may be NaN, it is the sum of their deviances, each by its factor.
    """
    if weights is not None:
        return row_losses(outputs, targets, kind) * (weights / weights.mean()).double()
    if isinstance(kind, JointKind):
        return _of_all(outputs, targets, kind)
    if callable(kind):
        return kind(outputs, targets)
    if KINDS[kind].is_labels:
        own = torch.where(targets > 0, outputs, 1 - outputs)
        return -own.clamp_min(1e-12).log().sum(-1)
    if not KINDS[kind].is_classes:
        known = loss_by_name(KINDS[kind].loss)
        return known.rows(outputs, targets.double())
    return -of_target(outputs, targets).squeeze(-1).clamp_min(1e-12).log()


def _of_all(outputs: Tensor, targets: Tensor, joint: JointKind) -> Tensor:
    if outputs.ndim == 2:
        return _of_all(outputs.unsqueeze(0), targets, joint)[0]
    result = torch.zeros(outputs.shape[:-1], dtype=outputs.dtype)
    for known, losses in _each(outputs, targets, joint):
        result[..., known] += losses
    return result


def target_losses(outputs: Tensor, targets: Tensor, joint: JointKind, weights: Tensor | None = None) -> Tensor:
    """Each target's share of the loss of each row [N, T], of averaged outputs [N, C]; 0 where a row lacks it."""
    result = torch.zeros(targets.shape, dtype=outputs.dtype)
    for t, (known, losses) in enumerate(_each(outputs.unsqueeze(0), targets, joint)):
        result[known, t] = losses[0]
    return result if weights is None else result * (weights / weights.mean()).double()[:, None]


def _each(outputs: Tensor, targets: Tensor, joint: JointKind) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each target the rows that have it, and its deviances there by its factor."""
    for t, (kind, place, factor) in enumerate(zip(joint.kinds, joint.answers, joint.factors, strict=True)):
        known = ~targets[:, t].isnan()
        y = targets[known, t]
        least = floors(loss_by_name(KINDS[kind].loss), y.double())
        yield known, factor * (row_losses(outputs[..., known, place], y, kind) - least)


def of_target(outputs: Tensor, targets: Tensor) -> Tensor:
    """The probability [..., N, 1] of each row's own class, from those of all classes [..., N, C]."""
    return outputs.gather(-1, targets.long().expand(outputs.shape[:-1]).unsqueeze(-1))
