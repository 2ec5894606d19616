"""Batches of folds: members that leave out one fold each learn from the rows of the others, all in one stack.

N rows, K folds, B batch. Every fold has an order of its own rows, epoch after epoch without a gap, so that all batches
are whole: networks of one stack take steps of one size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch, gathered_bytes, with_bias_column
from luthier.engine.members.devices import sent
from luthier.rows import Rows
from luthier.seeds import torch_generator


class FoldBatches:
    """Batches [K, B, ...] in an order that follows from the seed and the step alone; see `Batches`.

    Where a batch divides the rows of a fold, its order is that of a training on those rows alone.
    """

    def __init__(
        self,
        part: Rows,
        size: int,
        seed: int,
        folds: Tensor,
        *,
        prepare: Callable[[Tensor], Tensor | None] = lambda targets: None,
        has_bias_column: bool = False,
    ) -> None:
        self._learning = [torch.nonzero(folds != fold).flatten() for fold in range(int(folds.max()) + 1)]
        self.size, self._seed, self._part, self._prepare = min(size, min(map(len, self._learning))), seed, part, prepare
        self.epoch_steps = -(-max(map(len, self._learning)) // self.size)
        self._inputs = with_bias_column(part.inputs) if has_bias_column else part.inputs
        row_bytes = replace(part, inputs=self._inputs).span(0, 1).nbytes
        self._together = max(1, gathered_bytes(part) // max(1, row_bytes * self.size * len(self._learning)))
        self._piece, self._orders = -1, dict[int, tuple[int, Tensor]]()

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        piece, place = divmod(step, self._together)
        if piece != self._piece:
            self._gather(piece)
        return self._batches[place]

    def left(self, step: int) -> int:
        """How many batches from this step on, itself included, can be held at the same time."""
        return self._together - step % self._together

    def _gather(self, piece: int) -> None:
        length = self._together * self.size
        rows = torch.stack([self._rows(fold, piece * length, length) for fold in range(len(self._learning))])
        rows = sent(rows, self._part.targets.device)
        shape = self._together, len(rows), self.size  # [S, K, B]
        index = rows.view(len(rows), self._together, self.size).transpose(0, 1).flatten()

        def gathered(values: Tensor) -> Tensor:
            return values.index_select(0, index).view(*shape, *values.shape[1:])

        targets, weights = gathered(self._part.targets), self._part.weights
        prepared = self._prepare(targets.flatten(0, 2))
        inputs = self._inputs.map(gathered)
        weights = None if weights is None else gathered(weights)
        prepared = None if prepared is None else prepared.view(*shape, *prepared.shape[1:])
        self._piece = piece
        self._batches = [
            Batch(
                inputs.map(lambda value, place=place: value[place]),  # type: ignore[misc]
                targets[place],
                None if weights is None else weights[place],
                None if prepared is None else prepared[place],
                own=True,
            )
            for place in range(self._together)
        ]

    def _rows(self, fold: int, start: int, length: int) -> Tensor:
        """So many rows of a fold's learning rows from a place in its endless order on."""
        learning, result = self._learning[fold], list[Tensor]()
        while length:
            epoch, place = divmod(start, len(learning))
            some = self._order(fold, epoch)[place : place + length]
            result.append(learning[some])
            start, length = start + len(some), length - len(some)
        return torch.cat(result)

    def _order(self, fold: int, epoch: int) -> Tensor:
        if self._orders.get(fold, (-1,))[0] != epoch:
            generator = torch_generator(self._seed, "order", epoch)
            self._orders[fold] = epoch, torch.randperm(len(self._learning[fold]), generator=generator)
        return self._orders[fold][1]
