"""The loss of each row for outputs of networks or of their mean. N rows, C classes or outputs."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from luthier.kinds import KINDS
from luthier.objective.loss_table import loss_by_name

Yardstick = str | Callable[[Tensor, Tensor], Tensor]  # a kind of target, or a row loss of outputs and targets


def row_losses(outputs: Tensor, targets: Tensor, kind: Yardstick, weights: Tensor | None = None) -> Tensor:
    """Loss of each row [N] for averaged outputs [..., N, C]: negative log probability, or the kind's loss of a number;
    or the row loss that is given in place of a kind.

    With weights [N] a row's loss counts by its share, so that the plain mean is the weighted one.
    """
    if weights is not None:
        return row_losses(outputs, targets, kind) * (weights / weights.mean()).double()
    if callable(kind):
        return kind(outputs, targets)
    if not KINDS[kind].is_classes:
        known = loss_by_name(KINDS[kind].loss)
        return known.rows(outputs, targets.double())
    return -of_target(outputs, targets).squeeze(-1).clamp_min(1e-12).log()


def of_target(outputs: Tensor, targets: Tensor) -> Tensor:
    """The probability [..., N, 1] of each row's own class, from those of all classes [..., N, C]."""
    return outputs.gather(-1, targets.long().expand(outputs.shape[:-1]).unsqueeze(-1))
