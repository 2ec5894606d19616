"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Schedule:
    """What a member's base rate is multiplied with at each step.

    `constant`; `cosine` from 1 to 0 over the training (S4-16); `restarts`: cosine cycles of `period`
    steps, each `multiplier` times as long as the one before, the rate back at its base at the start
    of each (S4-17). `warmup` steps rise linearly to 1 first.

    >>> [round(Schedule("cosine").factor(t, 10), 3) for t in range(0, 11, 5)]
    [1.0, 0.5, 0.0]
    >>> Schedule("restarts", period=4).factor(4, 8)
    1.0
    """

    kind: Literal["constant", "cosine", "restarts"] = "constant"
    warmup: int = 0
    period: int = 0
    multiplier: float = 1.0

    def factor(self, step: int, total: int) -> float:
        """The multiplier at `step` (from 0) of a training of `total` steps."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        step, total = step - self.warmup, max(1, total - self.warmup)
        if self.kind == "constant":
            return 1.0
        if self.kind == "cosine":
            return _half_cosine(step / total)
        length = max(1.0, float(self.period))
        while step >= length:
            step -= round(length)
            length = max(1.0, length * self.multiplier)
        return _half_cosine(step / length)

    def to_json(self) -> dict[str, Any]:
        """The schedule as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Schedule:
        """The schedule that `to_json` gave."""
        return cls(**value)


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
