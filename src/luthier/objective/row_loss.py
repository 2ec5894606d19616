"""What a loss is: a value for each row, its derivative, and what is known about it. M members, B rows, C outputs.

Z logits [M, B, C]; targets [B] or [B, C]; weights [B] or None. A loss is the (weighted) mean over the batch's own rows,
so a short last batch counts over its own length.

A loss compares each row's output with its own target. Outputs [B, 1] minus targets [B] are B x B differences instead:
PyTorch stretches one over the other, the loss is a number like any other, and the network learns the mean. So each
loss of a user's own is looked at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from luthier.errors import InputError, users_code
from luthier.shapes import AnyTargets, Logits, PerMember, RowLosses, RowWeights

COUPLED_ROWS = 256  # that are compared with each other at once outside of training
ROUNDING = 1e-12  # of a sum of weights
RAREST = 1e-12  # a share from which a logarithm is taken
SAID_BY_PYTORCH = "Using a target size"  # how PyTorch's own losses begin the warning


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


class _Stretching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the operation that makes more of outputs and targets, as they came or changed entry by entry, than each is.

    What a loss selects, reshapes or expands itself is its own affair. With `members` outputs have an axis before rows.
    """

    def __init__(self, outputs: Any, targets: Tensor, *, members: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found, self._skipped = False, int(members)
        self._held = [tensor for tensor in (*tree_leaves(outputs), targets) if isinstance(tensor, Tensor)]
        self._of = {id(tensor): tensor is targets for tensor in self._held}  # True: targets, False: outputs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, object] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = [tensor for tensor in tree_leaves((args, kwargs)) if id(tensor) in self._of]
        kinds = {self._of[id(tensor)] for tensor in known}
        for tensor in tree_leaves(result):
            if not isinstance(tensor, Tensor) or not known:
                continue
            shapes = [one.shape for one in known]
            rows = {tuple(one.shape if self._of[id(one)] else one.shape[self._skipped :]) for one in known}
            if len(kinds) == 2 and len(rows) > 1:
                self.found = self.found or (_broadcast(shapes) == tensor.shape and tensor.numel() > 1)
            elif len(kinds) == 1 and tensor.shape == shapes[0]:
                self._held.append(tensor)  # so that no other tensor gets its number
                self._of[id(tensor)] = next(iter(kinds))
        return result


def _broadcast(shapes: list[torch.Size]) -> torch.Size | None:
    try:
        return torch.Size(np.broadcast_shapes(*shapes))
    except ValueError:
        return None


@contextmanager
def no_stretching(outputs: Any, targets: Tensor, *, members: bool = False) -> Iterator[None]:
    """A loss of these outputs and targets runs inside; InputError where it lets PyTorch broadcast them.

    >>> o, t = torch.zeros(8, 1), torch.zeros(8)
    >>> with no_stretching(o, t):
    ...     loss = (o[:, 0] - t).square().mean()
    >>> with no_stretching(o, t):
    ...     loss = (o - t).square().mean()
    Traceback (most recent call last):
    luthier.errors.InputError: the loss would compare outputs and targets of other rows
      expected: outputs and targets of one shape
      received: outputs [8, 1] and targets [8], which PyTorch broadcasts to [8, 8]
      try: give the targets the outputs' shape (y[:, None], or .squeeze(1) in the module); expand one in the loss if ...
    """
    looking = _Stretching(outputs, targets, members=members)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with looking:
            yield
    if looking.found or any(str(one.message).startswith(SAID_BY_PYTORCH) for one in caught):
        shapes = [tensor.shape for tensor in (*tree_leaves(outputs), targets) if isinstance(tensor, Tensor)]
        both, first = _broadcast(shapes), list(shapes[0])
        raise InputError(
            "the loss would compare outputs and targets of other rows"
            if both is not None and both.numel() > max(shape.numel() for shape in shapes)
            else "the loss would compare one output with several targets, or several with one",
            expected="outputs and targets of one shape",
            received=f"outputs {first} and targets {list(targets.shape)}"
            + ("" if both is None else f", which PyTorch broadcasts to {list(both)}"),
            remedy="give the targets the outputs' shape (y[:, None], or .squeeze(1) in the module); "
            "expand one in the loss if that is meant",
        )


def looked_at(function: Callable[..., Any], outputs: Any, targets: Tensor, *, members: bool = False) -> Any:
    """What a function of outputs and targets returns; InputError where it lets PyTorch broadcast them."""
    with no_stretching(outputs, targets, members=members):
        return function(outputs, targets)
