"""Each member's learning rate at each step. M members, S steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from luthier.engine.members.batches import exact
from luthier.engine.members.devices import sent
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings

AHEAD = 256  # steps that are worked out together


class Rates:
    """Base rate times schedule for every member, a few hundred steps at a time."""

    def __init__(self, members: Sequence[Member], settings: Settings) -> None:
        self._total, self._dtype, self._device = settings.steps, exact(settings.dtype), settings.device
        self._base = torch.tensor([member.learning_rate for member in members], dtype=torch.float64)
        self._schedules = list({member.schedule: None for member in members})
        self._which = torch.tensor([self._schedules.index(member.schedule) for member in members])
        self.may_drop = any(schedule.kind == "plateau" for schedule in self._schedules)
        constant = all(s.kind in ("constant", "plateau") and not s.warmup for s in self._schedules)
        self._constant = self._column(self._base) if constant else None
        self._start = -1
        self._rows: tuple[Tensor, ...] = ()

    def at(self, step: int) -> Tensor:
        """The rates [M, 1] of a step, counted from 0."""
        if self._constant is not None:
            return self._constant
        start = step // AHEAD * AHEAD
        if start != self._start:
            steps = range(start, min(start + AHEAD, max(self._total, step + 1)))  # a function may know no later ones
            factors = [[schedule.factor(t, self._total) for schedule in self._schedules] for t in steps]
            rates = torch.tensor(factors, dtype=torch.float64)[:, self._which] * self._base
            self._start, self._rows = start, self._column(rates).unbind(0)
        return self._rows[step - start]

    def _column(self, rates: Tensor) -> Tensor:
        return sent(rates.to(self._dtype).unsqueeze(-1), self._device)
