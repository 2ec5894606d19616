"""The batches that feed a population, and the data as it takes them. B batch, N rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from luthier.engine.members.devices import sent
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

GATHERED_BYTES = 1 << 22  # of rows that are shuffled together: they stay in the processor's cache
GATHERED_ON_DEVICE = 1 << 28  # where calls cost more than memory does


@dataclass
class Batch:
    """Rows that the whole stack sees, or rows of each member's own.

    `inputs` as the layout takes them (a dense stack wants a last column of ones beside its numbers where its first
    layer has a bias); targets [B] or [B, C]; weights [B] or None. `prepared_targets` are the targets
    as the loss's residual takes them fastest; without it the residual takes the targets themselves. With rows of
    their `own` all of these have a leading axis, of folds as they come and of members as they are learnt from.
    """

    inputs: Inputs
    targets: Tensor
    weights: Tensor | None = None
    prepared_targets: Tensor | None = None
    own: bool = False

    @property
    def rows(self) -> int:
        """B."""
        return self.targets.shape[1] if self.own else self.targets.shape[0]

    @property
    def weight(self) -> float | Tensor:
        """How many rows, or how much they weigh together: [M] where rows of members' own have weights."""
        if self.weights is None:
            return float(self.rows)
        return self.weights.sum(1) if self.own else float(self.weights.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(tensor.nbytes for tensor in self.named().values())

    def named(self) -> dict[str, Tensor]:
        """All its tensors by name."""
        others = {"targets": self.targets, "weights": self.weights, "prepared_targets": self.prepared_targets}
        known = {name: value for name, value in others.items() if value is not None}
        return {**{f"inputs.{name}": value for name, value in self.inputs.items()}, **known}

    @classmethod
    def of(cls, rows: Rows) -> Batch:
        """Rows as one batch that all members see."""
        return cls(rows.inputs, rows.targets, rows.weights)

    @classmethod
    def of_named(cls, named: Mapping[str, Tensor]) -> Batch:
        """The batch whose `named` these are, of rows that all members see."""
        inputs = {name.removeprefix("inputs."): value for name, value in named.items() if name.startswith("inputs.")}
        return cls(Inputs(**inputs), named["targets"], named.get("weights"), named.get("prepared_targets"))

    def cut(self, rows: slice) -> Batch:
        """Some of the rows, or of the folds where rows are members' own."""
        return self.map(lambda value: value[rows])

    def of_folds(self, folds: Tensor | slice) -> Batch:
        """The rows of members' own [M, B, ...] by their folds [M], a slice where each follows the one before."""
        return self.cut(folds) if isinstance(folds, slice) else self.map(lambda value: value.index_select(0, folds))

    def clone(self) -> Batch:
        """A copy that stays good."""
        return self.map(torch.clone)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self.map(partial(sent, device=device))

    def map(self, some: Callable[[Tensor], Tensor]) -> Batch:
        """The batch whose every tensor is some function of this one's."""
        weights, prepared = (None if value is None else some(value) for value in (self.weights, self.prepared_targets))
        return Batch(self.inputs.map(some), some(self.targets), weights, prepared, self.own)


class BatchSource(Protocol):
    """Whatever gives batches by step."""

    epoch_steps: int

    def at(self, step: int) -> Batch:
        """The batch of a step."""
        ...

    def left(self, step: int) -> int:
        """How many can be held."""
        ...


def epoch_steps(rows: int, size: int, least: int = 1) -> int:
    """How many batches an epoch has, of which the last may be shorter, but not below `least` rows.

    >>> epoch_steps(257, 64), epoch_steps(257, 64, least=2)
    (5, 4)
    """
    whole, rest = divmod(rows, size)
    return max(1, whole + (rest >= least and rest > 0))


class Batches:
    """Batches in an order that follows from the seed and the step alone, so any step can be resumed.

    Rows are gathered a few batches at a time, into a piece of memory that stays in the processor's cache, and then
    cut: gathering each batch by itself costs more calls, gathering a whole epoch costs memory traffic.
    With `only_first` every batch is the first one; with `ones` inputs [B, F] get a last column of ones. Fewer than
    `least` rows at an epoch's end are left out; as the order is a new one each time, so are they.
    A batch is good until one of another piece is asked for: pieces share their memory.
    """

    def __init__(
        self,
        part: Rows,
        size: int,
        seed: int,
        *,
        prepare: Callable[[Tensor], Tensor | None] = lambda targets: None,
        only_first: bool = False,
        has_bias_column: bool = False,
        least: int = 1,
    ) -> None:
        self.size, self.seed, self._only_first, self._prepare = min(size, len(part)), seed, only_first, prepare
        self.epoch_steps = 1 if only_first else epoch_steps(len(part), self.size, least)
        self._rows, self._part = len(part), part
        row_bytes = part.span(0, 1).nbytes
        self._together = max(1, gathered_bytes(part) // max(1, row_bytes * self.size))  # batches of a piece
        self._epoch, self._piece = -1, -1
        kept = min(self._together * self.size, len(part))
        self._room = {name: value.new_empty(kept, *value.shape[1:]) for name, value in part.inputs.items()}
        self._filled = dict(self._room)
        if has_bias_column:
            self._room["numbers"] = part.numbers.new_ones(kept, part.numbers.shape[1] + 1)
            self._filled["numbers"] = self._room["numbers"][:, :-1]
        self._kept, self._cuts = kept, _cut(self._room, self.size)

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(0 if self._only_first else step, self.epoch_steps)
        piece, place = divmod(place, self._together)
        if epoch != self._epoch or piece != self._piece:
            self._gather(epoch, piece)
        return self._batches[place]

    def left(self, step: int) -> int:
        """How many batches from this step on, itself included, can be held at the same time."""
        if self._only_first:
            return 1 << 30
        place = step % self.epoch_steps
        return min(self._together - place % self._together, self.epoch_steps - place)

    def _gather(self, epoch: int, piece: int) -> None:
        if epoch != self._epoch:
            order = torch.randperm(self._rows, generator=torch_generator(self.seed, "order", epoch))
            self._order = sent(order, self._part.targets.device)  # drawn by the processor: alike on every device
        self._epoch, self._piece = epoch, piece
        rows = self._order[piece * self._together * self.size : (piece + 1) * self._together * self.size]
        part, size = self._part, self.size
        targets = part.targets[rows]
        prepared, weights = self._prepare(targets), None if part.weights is None else part.weights[rows]
        for name, value in part.inputs.items():
            torch.index_select(value, 0, rows, out=self._filled[name][: len(rows)])
        some = {name: value[: len(rows)] for name, value in self._room.items()}
        inputs = self._cuts if len(rows) == self._kept else _cut(some, size)
        optional = [[None] * len(inputs) if t is None else torch.split(t, size) for t in (weights, prepared)]
        cuts = zip(inputs, torch.split(targets, size), *optional, strict=True)
        self._batches = [Batch(*cut) for cut in cuts]


def _cut(named: Mapping[str, Tensor], size: int) -> list[Inputs]:
    """Inputs of neighbouring rows, so many at a time, in the same memory."""
    pieces = zip(*(torch.split(value, size) for value in named.values()), strict=True)
    return [Inputs(**dict(zip(named, piece, strict=True))) for piece in pieces]


class CarriedBatches:
    """Batches of rows that lie with the processor, sent to a device as they are asked for; see `Batches`."""

    def __init__(self, batches: BatchSource, device: torch.device) -> None:
        self._batches, self._device, self.epoch_steps = batches, device, batches.epoch_steps

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0, in memory of its own."""
        return self._batches.at(step).to(self._device)

    def left(self, step: int) -> int:
        """How many batches from this step on, itself included, can be held at the same time."""
        return self._batches.left(step)


def gathered_bytes(part: Rows) -> int:
    """How much of a part is shuffled at a time, where it lies."""
    return GATHERED_BYTES if part.targets.device.type == "cpu" else GATHERED_ON_DEVICE


def with_bias_column(inputs: Inputs) -> Inputs:
    """The inputs with a last column of ones beside their numbers [N, F]."""
    numbers = inputs.numbers
    return inputs.replaced(numbers=torch.cat([numbers, numbers.new_ones(len(numbers), 1)], 1))


def exact(dtype: torch.dtype) -> torch.dtype:
    """The type that losses, targets and moments are kept in: of modules in half precision, single precision.

    Adam's 1 - 0.999 is 0 in bfloat16.
    """
    return torch.float32 if dtype.itemsize < 4 and dtype.is_floating_point else dtype


def cast(part: Rows, dtype: torch.dtype) -> Rows:
    """A part in the numbers' type that a population trains in; whole numbers stay whole."""
    inputs = part.inputs.map(lambda value: value.to(dtype) if value.is_floating_point() else value)
    targets = part.targets.to(exact(dtype)) if part.targets.is_floating_point() else part.targets
    weights = None if part.weights is None else part.weights.to(exact(dtype))
    return Rows(inputs, targets, weights)
