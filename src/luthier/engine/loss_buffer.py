"""The training losses of the steps since they were last asked for. M members, K batches, B rows of one, C outputs."""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.engine.batches import Batch
from luthier.objective import Criterion, Loss, mean_loss

HELD = 1 << 18  # numbers of logits that wait to be turned into losses together
PUT = 1024  # steps whose known losses share one piece of memory


class LossBuffer:
    """Keeps each step's logits and turns many steps' into losses at once.

    The gradient does not need the loss, so a step need not wait for it: for small networks that
    saves a fifth of the time.
    """

    def __init__(self, loss: Loss | Criterion, losses: Tensor) -> None:
        self._loss, self._losses = loss, [losses]  # [K, M] each
        self._logits: list[Tensor] = []
        self._targets: list[tuple[Tensor, Tensor | None]] = []  # and weights, of each batch; its inputs may go
        self._held = self._rows = self._each = self._put = 0

    def add(self, logits: Tensor, batch: Batch) -> None:
        """A batch's logits [M, B, C]."""
        rows = logits.shape[1]
        if rows != self._rows:
            self._settle()
            self._rows, self._each = rows, logits.numel()
        self._logits.append(logits)
        self._targets.append((batch.targets, batch.weights))
        self._held += self._each
        if self._held > HELD or (isinstance(self._loss, Loss) and self._loss.couples):
            self._settle()

    def put(self, losses: Tensor) -> None:
        """A batch's mean losses [M], where they are known.

        Copied into memory of their own: kept as they came, small tensors between a step's large ones pin the heap,
        which grew by 60 KB a step.
        """
        if self._put % PUT == 0:
            self._known = losses.new_empty(PUT, len(losses))
            self._losses.append(self._known[:0])
        place = self._put % PUT
        self._known[place] = losses
        self._losses[-1] = self._known[: place + 1]
        self._put += 1

    def losses(self) -> Tensor:
        """Mean losses [K, M] of all batches so far, each before its update."""
        self._settle()
        self._losses, self._put = [torch.cat(self._losses)], 0
        return self._losses[0]

    def restart(self, losses: Tensor) -> None:
        """Begin anew with these losses [K, M]."""
        self._logits, self._targets, self._held, self._losses, self._put = [], [], 0, [losses], 0

    def _settle(self) -> None:
        if not self._logits:
            return
        Z = torch.stack(self._logits, 1)
        members, steps, rows, outputs = Z.shape
        targets = torch.cat([targets for targets, _ in self._targets])
        assert isinstance(self._loss, Loss)
        result = self._loss.rows(Z.view(members, steps * rows, outputs), targets).view(members, steps, rows)
        weights = [weights for _, weights in self._targets if weights is not None]
        self._losses.append(mean_loss(result, torch.stack(weights) if weights else None).T)
        self._logits, self._targets, self._held = [], [], 0
