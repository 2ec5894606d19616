"""Several targets of one network: heads side by side in its outputs, each with a loss of its own, gaps allowed.

M members, B rows, C outputs of all heads, T targets; NaN marks a target that a row lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from luthier.errors import InputError
from luthier.objective.constants import best_constant, constant_loss, floors, outputs_for, shared_outputs
from luthier.objective.criterion import loss_named
from luthier.objective.row_loss import Loss, TargetParts
from luthier.shapes import Logits


@dataclass(frozen=True)
class TargetHead:
    """One target of several: its loss, how many outputs it takes, and how much it counts.

    Without `outputs` they are as many as its targets ask for: one for values, one a class. A binary target of 0 and 1
    takes one output.
    """

    loss: str | Loss
    outputs: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class _FittedHead:
    """A head and what its target said: its outputs' places, 1 / the best constant's deviance times its share."""

    loss: Loss
    place: slice
    factor: float
    filled: float  # what a gap counts as while it counts nothing
    constant: Tensor

    def targets(self, column: Tensor) -> Tensor:
        """The targets [B], gaps filled with one that the loss takes."""
        return torch.where(column.isnan(), column.new_tensor(self.filled), column)

    def counts(self, column: Tensor, dtype: torch.dtype) -> Tensor:
        """How much each row's deviance counts [B]: 0 where there is a gap."""
        return (~column.isnan()).to(dtype) * self.factor


def several(heads: Sequence[str | Loss | TargetHead], targets: Any, weights: Tensor | None = None) -> Loss:
    """The loss of several targets at once: `targets` [N, T] of the training rows, a head for each column.

    Each head's loss is a deviance, 0 for a perfect answer, divided by the best constant's on these rows, and its mean
    is over the rows of a batch that have its target: with none it is 0 and has no gradient. The loss is the heads' mean
    by `weight`, so it is 1 for the best constants. The heads' outputs lie side by side in their order; the network has
    `outputs_for(loss, targets)` of them, `split(loss, outputs)` takes them apart.

    InputError for a target that is missing in every row or the same in all, and for one that its loss does not take.

    >>> y = torch.tensor([[1.0, 0.0], [3.0, 1.0], [float("nan"), 1.0]])
    >>> loss = several(["mse", "binary"], y)
    >>> round(float(loss.mean(torch.zeros(1, 3, 2), y)), 3)  # ((1 + 9) / 2 / 1 + ln 2 / 0.637) / 2
    3.044
    """
    columns = torch.as_tensor(targets)
    if columns.ndim != 2 or columns.shape[1] != len(heads) or not len(heads):
        raise InputError(
            "heads and targets do not go together",
            expected="targets of shape [N, T] and a head for each of the T columns; NaN where a row lacks one",
            received=f"{len(heads)} heads, targets of shape {list(columns.shape)}",
        )
    wanted = [head if isinstance(head, TargetHead) else TargetHead(head) for head in heads]
    if any(not 0 < head.weight < float("inf") for head in wanted):
        raise InputError("a head's weight is not a number above 0", received=str([head.weight for head in wanted]))
    total = sum(head.weight for head in wanted)
    fitted, start = list[_FittedHead](), 0
    for number, head in enumerate(wanted):
        try:
            one = _fitted(head, columns[:, number].double(), weights, start, head.weight / total)
        except InputError as error:
            raise error.about(f"target {number + 1} of {len(wanted)}") from None
        fitted.append(one)
        start = one.place.stop
    return _composite(tuple(fitted))


def _fitted(head: TargetHead, column: Tensor, weights: Tensor | None, start: int, share: float) -> _FittedHead:
    known = ~column.isnan()
    y, its = column[known], None if weights is None else weights[known]
    if not len(y) or (its is not None and not float(its.sum()) > 0):
        raise InputError("no row has this target", expected="a value in some rows", remedy="leave the target out")
    loss = loss_named(head.loss)
    if not isinstance(loss, Loss) or loss.couples or loss.parts is not None or loss.constant is None:
        raise InputError("a head needs a loss of rows by name, such as mse, softmax or poisson", received=str(loss))
    outputs = head.outputs or _outputs(head.loss, y)
    if loss.check is not None:
        loss.check(outputs, y)
    constant = best_constant(loss, y, its, outputs)
    scale = constant_loss(loss, constant, y, its, above_floor=True)
    if not scale > 0 or bool((y == y[0]).all()):
        raise InputError("this target is the same in all rows", received=f"{float(y[0]):g}", remedy="leave it out")
    return _FittedHead(loss, slice(start, start + outputs), share / scale, float(y[0]), constant)


def _outputs(loss: str | Loss, y: Tensor) -> int:
    if loss == "binary":
        return 1
    whole = loss in ("softmax", "smoothed softmax", "focal", "negative log-likelihood")
    return outputs_for(loss, y.long() if whole else y)


def _composite(heads: tuple[_FittedHead, ...]) -> Loss:
    of_outputs = torch.cat([torch.full((head.place.stop - head.place.start,), t) for t, head in enumerate(heads)])
    shared = tuple(
        head.place.start + place
        for head in heads
        for place in shared_outputs(head.loss, head.place.stop - head.place.start)
    )
    rows = partial(_rows, heads=heads)
    return Loss(
        rows,
        partial(_residual, heads=heads),
        rows,
        check=partial(_check, heads=heads),
        constant=partial(_constants, heads=heads),
        outputs=partial(_all_outputs, outputs=len(of_outputs)),
        shared=partial(_shared, places=shared),
        parts=TargetParts(partial(_terms, heads=heads), of_outputs, tuple(head.place for head in heads)),
    )


def _terms(Z: Logits, targets: Tensor, heads: tuple[_FittedHead, ...]) -> Tensor:
    """Each head's share of the loss of each row [M, B, T]; 0 where a row lacks its target."""
    result = []
    for t, head in enumerate(heads):
        column = targets[:, t]
        y = head.targets(column)
        deviance = head.loss.rows(Z[..., head.place], y) - floors(head.loss, y).to(Z.dtype)
        result.append(deviance * head.counts(column, Z.dtype))
    return torch.stack(result, -1)


def _rows(Z: Logits, targets: Tensor, heads: tuple[_FittedHead, ...]) -> Tensor:
    return _terms(Z, targets, heads).sum(-1)


def _residual(Z: Logits, targets: Tensor, heads: tuple[_FittedHead, ...]) -> Logits:
    result = torch.empty_like(Z)
    for t, head in enumerate(heads):
        column = targets[:, t]
        slope = head.loss.residual(Z[..., head.place], head.targets(column))
        torch.mul(slope, head.counts(column, Z.dtype).unsqueeze(-1), out=result[..., head.place])
    return result


def _check(outputs: int, targets: Tensor, heads: tuple[_FittedHead, ...]) -> None:
    if targets.ndim != 2 or targets.shape[1] != len(heads) or outputs != heads[-1].place.stop:
        raise InputError(
            "outputs and targets do not go together",
            expected=f"targets of shape [N, {len(heads)}] and {heads[-1].place.stop} outputs",
            received=f"targets of shape {list(targets.shape)} and {outputs} outputs",
        )
    for t, head in enumerate(heads):
        known = targets[:, t][~targets[:, t].isnan()]
        try:
            if head.loss.check is not None:
                head.loss.check(head.place.stop - head.place.start, known)
        except InputError as error:
            raise error.about(f"target {t + 1} of {len(heads)}") from None


def _constants(targets: Tensor, weights: Tensor | None, outputs: int, heads: tuple[_FittedHead, ...]) -> Tensor:
    found = []
    for t, head in enumerate(heads):
        known = ~targets[:, t].isnan()
        its = None if weights is None else weights[known]
        found.append(best_constant(head.loss, targets[known, t], its, head.place.stop - head.place.start))
    return torch.cat(found)


def _all_outputs(targets: Tensor, outputs: int) -> int:
    return outputs


def _shared(outputs: int, places: tuple[int, ...]) -> tuple[int, ...]:
    return places


def has_gaps(loss: Any) -> bool:
    """Whether rows may lack targets under this loss."""
    return isinstance(loss, Loss) and loss.parts is not None


def split(loss: Loss, outputs: Tensor) -> list[Tensor]:
    """Outputs [..., C] of a loss of several targets, head by head, as each head's own loss takes them."""
    return [outputs] if loss.parts is None else [outputs[..., place] for place in loss.parts.places]
