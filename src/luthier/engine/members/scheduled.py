"""Hyper-parameters that follow a schedule, as the rate does: a member's dropout, decay or smoothing at each step.

M members, S steps. What a step reads are tensors, whose numbers are written anew before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from luthier.errors import ConfigError, nearest
from luthier.optimise import AnySchedule, Schedule, schedule_for

SCHEDULED = (
    *("dropout", "label_smoothing", "weight_decay", "l2", "l1"),
    *("momentum", "beta1", "beta2", "epsilon", "rho", "ema_decay"),
)
Schedules = tuple[tuple[str, AnySchedule], ...]


def schedules_of(given: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> Schedules:
    """Schedules by the name of what they multiply. ConfigError for names and schedules that are not known.

    >>> schedules_of({"dropout": "flat-cosine"})[0][1].kind
    'flat-cosine'
    """
    pairs = list(given.items() if isinstance(given, Mapping) else given)
    if wrong := [str(name) for name, _ in pairs if name not in SCHEDULED]:
        hint = nearest(wrong[0], SCHEDULED)
        raise ConfigError(
            [f"'{wrong[0]}' cannot follow a schedule; choose from {', '.join(SCHEDULED)}; {hint}".rstrip("; ")]
        )
    if unforeseen := [name for name, one in pairs if schedule_for(one).kind == "plateau"]:
        raise ConfigError([f"{unforeseen[0]} cannot follow the schedule plateau, which is the rate's alone"])
    return tuple((str(name), schedule_for(one)) for name, one in pairs)


@dataclass
class Followed:
    """The scheduled hyper-parameters of members that step together, over trainings of `total` steps."""

    schedules: Sequence[Schedules]
    total: int
    _writes: list[tuple[str, Callable[[Tensor], object]]] = field(default_factory=list)
    _written: dict[int, list[float]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a hyper-parameter follows a schedule in any member."""
        return any(own == name for schedules in self.schedules for own, _ in schedules)

    def tensor(self, name: str, values: Tensor) -> Tensor:
        """The tensor [M, ...] itself; at each step its rows are what they are now times their members' factors."""
        if self.has(name):
            base = values.clone()
            shape = (-1, *[1] * (values.ndim - 1))
            self._writes.append((name, lambda factors: torch.mul(base, factors.to(base).view(shape), out=values)))
        return values

    def call(self, name: str, write: Callable[[Tensor], object]) -> None:
        """Hand the members' factors [M] to a function at each step that changes them."""
        if self.has(name):
            self._writes.append((name, write))

    def write(self, step: int) -> None:
        """Make ready for a step, counted from 0."""
        for place, (name, write) in enumerate(self._writes):
            factors = self._factors(name, step)
            if factors != self._written.get(place):
                self._written[place] = factors
                write(torch.tensor(factors, dtype=torch.float64))

    def factors(self, name: str, step: int) -> Tensor:
        """What multiplies the members' values [M] at a step, in float64; 1 where one follows no schedule.

        >>> one = Followed([schedules_of({"l2": "linear"}), ()], total=4)
        >>> one.factors("l2", 1)
        tensor([0.7500, 1.0000], dtype=torch.float64)
        """
        return torch.tensor(self._factors(name, step), dtype=torch.float64)

    def _factors(self, name: str, step: int) -> list[float]:
        own = [dict(schedules).get(name, CONSTANT) for schedules in self.schedules]
        known = {schedule: schedule.factor(step, self.total) for schedule in set(own)}
        return [known[schedule] for schedule in own]


CONSTANT = Schedule()
