"""The training losses of the steps since they were last asked for. M members, K batches, B rows of one, C outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch
from luthier.objective import Criterion, Loss, mean_loss

HELD = 1 << 18  # numbers of logits that wait to be turned into losses together
HELD_ON_DEVICE = 1 << 26  # where its calls are what a turn costs
PUT = 1024  # steps whose known losses share one piece of memory


class LossBuffer:
    """Keeps each step's logits and turns many steps' into losses at once.

    The gradient does not need the loss, so a step need not wait for it: for small networks that
    saves a fifth of the time.
    """

    def __init__(self, loss: Loss | Criterion, losses: Tensor) -> None:
        self._loss, self._losses = loss, [losses]  # [K, M] each
        self._most = HELD if losses.device.type == "cpu" else HELD_ON_DEVICE
        self._logits: list[Tensor] = []
        self._batches: list[tuple[Tensor, Tensor | None]] = []  # targets and weights; the inputs may go
        self._held = self._rows = self._each = self._known_steps = 0

    def add(self, values: Tensor, batch: Batch) -> None:
        """A batch's logits [M, B, C]; or its mean losses [M], where they are known."""
        if values.ndim == 1:
            self._put(values)
            return
        if batch.rows != self._rows:
            self._settle()
            self._rows, self._each, self._own = batch.rows, values.numel(), batch.own
        self._logits.append(values)
        self._batches.append((batch.targets, batch.weights))
        self._held += self._each
        if self._held > self._most or (isinstance(self._loss, Loss) and self._loss.couples):
            self._settle()

    def _put(self, losses: Tensor) -> None:
        """Copy known losses into memory of their own.

        Kept as they came, small tensors between a step's large ones pin the heap, which grew by 60 KB a step.
        """
        if self._known_steps % PUT == 0:
            self._known = losses.new_empty(PUT, len(losses))
            self._losses.append(self._known[:0])
        place = self._known_steps % PUT
        self._known[place] = losses
        self._losses[-1] = self._known[: place + 1]
        self._known_steps += 1

    def put(self, losses: Tensor) -> None:
        """Losses [K, M] of the next K batches."""
        self._settle()
        self._losses.append(losses)
        self._known_steps = 0  # what comes after them goes into another piece of memory

    def losses(self) -> Tensor:
        """Mean losses [K, M] of all batches so far, each before its update."""
        self._settle()
        self._losses, self._known_steps = [torch.cat(self._losses)], 0
        return self._losses[0]

    def restart(self, losses: Tensor) -> None:
        """Begin anew with these losses [K, M]."""
        self._logits, self._batches, self._held, self._losses, self._known_steps = [], [], 0, [losses], 0

    def _settle(self) -> None:
        if not self._logits:
            return
        assert isinstance(self._loss, Loss)
        Z = torch.stack(self._logits, 1)  # [M, K, B, C]
        members, axis = (len(Z), 1) if self._own else (1, 0)  # whose targets are apart
        targets = torch.stack([targets for targets, _ in self._batches], axis).flatten(0, 1 + axis)
        flat = Z.reshape(len(Z) // members, -1, Z.shape[3])
        several = [weights for _, weights in self._batches if weights is not None]
        weights = torch.stack(several, axis) if several else None
        if self._loss.parts is None:
            losses = mean_loss(self._loss.rows(flat, targets).view(Z.shape[:3]), weights)
        else:
            shape = (len(Z), *Z.shape[1:3]) if self._own else Z.shape[1:3]
            shares = self._loss.parts.shares(targets.view(*shape, -1), weights, Z.dtype)
            losses = (self._loss.parts.rows(flat, targets).view(*Z.shape[:3], -1) * shares).sum((-2, -1))
        self._losses.append(losses.T)
        self._logits, self._batches, self._held = [], [], 0
