"""Training rows that stay on the disk, fed in shuffled windows that are read ahead. N rows, B batch.

An epoch takes blocks of neighbouring rows in a random order; several blocks make a window, whose rows are shuffled
among themselves, and the next window is read while the present one is learnt from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch, with_bias_column
from luthier.rows import Rows
from luthier.seeds import torch_generator

BLOCK = 4096  # rows that lie together, about
WINDOW_BYTES = 1 << 25
FEWEST_BLOCKS = 4  # of a window, where rows are wide


class PiecewiseRows(Protocol):
    """Rows that are read piece by piece, as the networks take them."""

    def __len__(self) -> int:
        """N."""
        ...

    def read(self, start: int, stop: int) -> Rows:
        """Rows from one number up to another."""
        ...


@dataclass(frozen=True)
class Stream:
    """A training part whose rows stay where they are."""

    rows: PiecewiseRows

    def __len__(self) -> int:
        return len(self.rows)


class StreamedBatches:
    """Batches of a stream, in an order that follows from the seed and the step alone; see `Batches`."""

    def __init__(
        self,
        stream: Stream,
        size: int,
        seed: int,
        dtype: torch.dtype,
        *,
        prepare: Callable[[Tensor], Tensor | None] = lambda targets: None,
        has_bias_column: bool = False,
    ) -> None:
        self.size, self.seed = min(size, len(stream)), seed
        self.epoch_steps = -(-len(stream) // self.size)
        self._stream, self._dtype, self._prepare, self._ones = stream, dtype, prepare, has_bias_column
        first = stream.rows.read(0, 1)
        row_bytes = first.inputs.nbytes + first.targets.nbytes
        rows = min(BLOCK, WINDOW_BYTES // FEWEST_BLOCKS // max(1, row_bytes))
        self._block = max(1, rows // self.size) * self.size  # whole batches, but for the last block of all
        self._blocks = -(-len(stream) // self._block)
        self._together = max(1, WINDOW_BYTES // max(1, row_bytes * self._block))
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="luthier-rows")
        self._known: tuple[int, int] = (-1, -1)
        self._ahead: tuple[tuple[int, int], Future[list[Batch]]] | None = None
        self._batches: list[Batch] = []

    @property
    def _steps(self) -> int:
        """Batches of a whole window."""
        return self._together * (self._block // self.size)

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(step, self.epoch_steps)
        window, place = divmod(place, self._steps)
        if (epoch, window) != self._known:
            self._turn_to(epoch, window)
        return self._batches[place]

    def left(self, step: int) -> int:
        """How many batches from this step on, itself included, can be held at the same time."""
        place = step % self.epoch_steps
        return min(self._steps - place % self._steps, self.epoch_steps - place)

    def _turn_to(self, epoch: int, window: int) -> None:
        wanted = epoch, window
        read = self._ahead[1] if self._ahead and self._ahead[0] == wanted else self._reader.submit(self._read, *wanted)
        self._batches, self._known = read.result(), wanted
        following = (epoch, window + 1) if (window + 1) * self._steps < self.epoch_steps else (epoch + 1, 0)
        self._ahead = following, self._reader.submit(self._read, *following)

    def _order(self, epoch: int) -> Sequence[int]:
        """The blocks of an epoch; one that is not whole comes last."""
        whole = len(self._stream) // self._block
        order: list[int] = torch.randperm(whole, generator=torch_generator(self.seed, "order", epoch)).tolist()
        return order + list(range(whole, self._blocks))

    def _read(self, epoch: int, window: int) -> list[Batch]:
        blocks = self._order(epoch)[window * self._together : (window + 1) * self._together]
        last = len(self._stream)
        spans = [(b * self._block, min(last, (b + 1) * self._block)) for b in blocks]
        rows = sum(stop - start for start, stop in spans)
        order = torch.randperm(rows, generator=torch_generator(self.seed, "window", epoch, window))
        places = torch.split(torch.argsort(order), [stop - start for start, stop in spans])
        held = dict[str, Tensor]()
        for there, (start, stop) in zip(places, spans, strict=True):  # each row at once where it goes: no second window
            part = self._stream.rows.read(start, stop)
            inputs = with_bias_column(part.inputs) if self._ones else part.inputs
            pieces = Batch(inputs, part.targets, part.weights).named()
            held = held or {name: self._room(piece, rows) for name, piece in pieces.items()}
            for name, piece in pieces.items():
                held[name][there] = piece.to(held[name].dtype)
        prepared = self._prepare(held["targets"])
        named = held if prepared is None else {**held, "prepared_targets": prepared}
        cuts = zip(*(torch.split(value, self.size) for value in named.values()), strict=True)
        return [Batch.of_named(dict(zip(named, cut, strict=True))) for cut in cuts]

    def _room(self, piece: Tensor, rows: int) -> Tensor:
        """Room for so many rows like those of a piece, of the networks' type where they are real numbers."""
        return piece.new_empty(rows, *piece.shape[1:], dtype=self._dtype if piece.is_floating_point() else piece.dtype)
