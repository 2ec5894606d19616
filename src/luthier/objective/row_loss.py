"""What a loss is: a value for each row, its derivative, and what is known about it. M members, B rows, C outputs.

Z logits [M, B, C]; targets [B] or [B, C]; weights [B] or None. A loss is the (weighted) mean over the batch's own rows,
so a short last batch counts over its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.errors import InputError, users_code
from luthier.objective.pairing import looked_at
from luthier.shapes import AnyTargets, Logits, PerMember, RowLosses, RowWeights

COUPLED_ROWS = 256  # that are compared with each other at once outside of training
ROUNDING = 1e-12  # of a sum of weights
RAREST = 1e-12  # a share from which a logarithm is taken


class TargetParts(NamedTuple):
    """What a loss of several targets consists of, where a row may lack some (NaN): each mean is over rows that have it.

    `rows` (Z, targets) gives each target's share of each row's loss [M, B, T], 0 where the row lacks it; `of_outputs`
    says which target each output belongs to [C], and `places` where each target's outputs lie.
    """

    rows: Callable[[Tensor, Tensor], Tensor]
    of_outputs: Tensor
    places: tuple[slice, ...]

    def shares(self, targets: Tensor, weights: Tensor | None, dtype: torch.dtype) -> Tensor:
        """How much each row [..., B] counts of the mean of each target [..., B, T]; 0 where no row has it.

        >>> y = torch.tensor([[1.0, float("nan")], [2.0, float("nan")]])
        >>> TargetParts(torch.add, torch.zeros(2), ()).shares(y, None, torch.float32)
        tensor([[0.5000, 0.0000],
                [0.5000, 0.0000]])
        """
        counts = (~targets.isnan()).to(dtype)
        if weights is not None:
            counts = counts * weights.to(dtype).unsqueeze(-1)
        return counts / counts.sum(-2, keepdim=True).clamp_min(torch.finfo(dtype).tiny)

    def means(self, Z: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Each target's part of the loss of each member [M, T]."""
        return (self.rows(Z, targets) * self.shares(targets, weights, Z.dtype)).sum(-2)


class Loss(NamedTuple):
    """What is minimised for each row, its derivative, and the score that people watch beside it.

    `rows` gives [M, B]; `residual` the derivative of a row's loss by its logits, [M, B, C]; `score`
    [M, B], averaged over rows, and then rooted where `rooted` says so. `prepare` (targets, outputs,
    type) turns many batches' targets at once into what the residual takes fastest. `couples` says
    that a row's loss depends on the other rows of its batch. `check` (outputs, targets) raises InputError
    where so many outputs of a row do not go with these targets; a loss of the user's own has none.

    What is known of a loss of likelihoods and distances: `floor` (targets) is the least that each row's loss can be
    [B] (None: 0); `constant` (targets, weights, C) are the outputs [C] that are best for all rows alike; `answer` turns
    outputs [..., C] into what they say of a row (None: as they are): probabilities, a mean, quantiles; `outputs`
    (targets) is how many a row needs, where that is not one a class or a column; `shared` (C) says which of them are
    meant to be the same for all rows: cuts between levels, a dispersion. A loss with `parts` is of several targets.
    """

    rows: Callable[[Tensor, Tensor], Tensor]
    residual: Callable[[Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    rooted: bool = False
    prepare: Callable[[Tensor, int, torch.dtype], Tensor] | None = None
    couples: bool = False
    check: Callable[[int, Tensor], None] | None = None
    floor: Callable[[Tensor], Tensor] | None = None
    constant: Callable[[Tensor, Tensor | None, int], Tensor] | None = None
    answer: Callable[[Tensor], Tensor] | None = None
    outputs: Callable[[Tensor], int] | None = None
    shared: Callable[[int], tuple[int, ...]] | None = None
    parts: TargetParts | None = None

    @property
    def mixes(self) -> bool:
        """Whether targets of two rows can be mixed: values, or shares of classes, not levels."""
        return self.outputs is None or self.outputs is one_a_column

    @property
    def is_mean_of_rows(self) -> bool:
        """Whether the loss of a batch is a mean over its rows, so that it can go through in pieces."""
        return not self.couples and self.parts is None

    def look(self, Z: Tensor, few: Tensor, targets: Tensor) -> None:
        """Raise InputError where outputs do not go with targets: of a loss of the user's own seen on `few` rows."""
        if self.check is not None:
            self.check(Z.shape[-1], targets)
            return
        with users_code("the loss cannot be computed", expected="rows(Z [M, B, C], targets) -> [M, B]"):
            result = looked_at(self.rows, Z, few, members=True)
        if not isinstance(result, Tensor) or result.shape != Z.shape[:2]:
            raise InputError(
                "the loss does not give one number for each row",
                expected=f"shape {list(Z.shape[:2])}, for outputs [M, B, C] = {list(Z.shape)}",
                received=f"shape {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__,
                remedy="average over the last axis",
            )

    def mean(self, Z: Logits, targets: AnyTargets, weights: RowWeights | None = None) -> PerMember:
        """The (weighted) mean over rows for each member [M]."""
        if self.parts is not None:
            return self.parts.means(Z, targets, weights).sum(-1)
        return mean_loss(self.by_row(Z, targets), weights)

    def mean_score(self, Z: Logits, targets: AnyTargets, weights: RowWeights | None = None) -> PerMember:
        """The score of each member [M]; of several targets it is the loss."""
        if self.parts is not None:
            return self.mean(Z, targets, weights)
        result = mean_loss(self.by_row(Z, targets, self.score), weights)
        return result.sqrt() if self.rooted else result

    def slopes(self, Z: Logits, targets: AnyTargets, weights: RowWeights | None = None) -> Logits:
        """The derivative of the (weighted) mean by the logits [M, B, C]."""
        residual = self.residual(Z, targets)
        if self.parts is None:
            return mean_gradient(residual, weights)
        return residual.mul_(self.parts.shares(targets, weights, Z.dtype)[..., self.parts.of_outputs])

    def by_row(self, Z: Logits, targets: AnyTargets, of: Callable[[Tensor, Tensor], Tensor] | None = None) -> RowLosses:
        """`rows` (or another function like it) of many rows [M, N]; coupled ones a few hundred at a time."""
        of = of or self.rows
        if not self.couples:
            return of(Z, targets)
        pieces = zip(torch.split(Z, COUPLED_ROWS, 1), torch.split(targets, COUPLED_ROWS), strict=True)
        return torch.cat([of(z, t) for z, t in pieces], 1)


def mean_loss(rows: Tensor, weights: Tensor | None) -> Tensor:
    """RowLosses of rows [..., B] to their mean [...], weighted by [B] or, for several batches, by [K, B]."""
    if weights is None:
        return rows.mean(-1)
    return (rows * (weights / weights.sum(-1, keepdim=True)).to(rows.dtype)).sum(-1)


def mean_gradient(residual: Logits, weights: RowWeights | None, total: float | None = None) -> Logits:
    """Derivatives of rows [M, B, C] to those of the (weighted) mean; `residual` may be overwritten.

    `total` is the number of rows, or the sum of weights, that the mean is over, where that is more than the batch.
    """
    if weights is None:
        return residual.mul_(1 / (total or residual.shape[1]))
    return residual.mul_((weights / (total or weights.sum())).to(residual.dtype).unsqueeze(-1))


def one_a_column(targets: Tensor) -> int:
    """As many outputs as there are values in a row."""
    return 1 if targets.ndim == 1 else targets.shape[1]


def all_but_the_first(outputs: int) -> tuple[int, ...]:
    """The places of outputs after the first."""
    return tuple(range(1, outputs))


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of targets [N] or [N, C] for each column [C], in float64."""
    columns = (values if values.ndim == 2 else values.unsqueeze(-1)).double()
    return columns.mean(0) if weights is None else (weights.double() / weights.double().sum()) @ columns


def weighted_quantile(values: Tensor, weights: Tensor | None, level: float) -> Tensor:
    """The least value of each column [C] that so large a share of the (weighted) rows does not exceed, in float64.

    >>> weighted_quantile(torch.tensor([3.0, 1.0, 2.0]), None, 0.5)
    tensor([2.], dtype=torch.float64)
    """
    columns, order = (values if values.ndim == 2 else values.unsqueeze(-1)).double().sort(0)
    each = torch.ones(len(values)) if weights is None else weights
    passed = each.double()[order].cumsum(0)
    place = (passed < level * passed[-1] * (1 - ROUNDING)).sum(0, keepdim=True).clamp_max(len(values) - 1)
    return columns.gather(0, place)[0]
