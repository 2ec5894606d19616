"""Budgets and clocks: how much may be spent, and how much is gone."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Protocol

from luthier.errors import InputError
from luthier.messages import Message

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h|steps)\s*")


@dataclass(frozen=True)
class Budget:
    """Either wall-clock seconds or training steps; exactly one is set.

    A step trains every member of a stack once.

    >>> Budget.parse("10m").seconds
    600.0
    >>> str(Budget.parse("5000steps"))
    '5000steps'
    """

    seconds: float | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, text: str | Budget) -> Budget:
        """Read `60s`, `10m`, `2h` or `5000steps`; InputError for anything else, and for nothing at all."""
        if isinstance(text, Budget):
            return text
        result = _PATTERN.fullmatch(str(text))
        expected = "a time such as 60s, 10m or 2h, or a number of steps such as 5000steps"
        if result is None:
            raise InputError(Message("the budget '{text}' cannot be read", text=text), expected=expected)
        amount, unit = float(result[1]), result[2]
        if not 0 < amount < 1e15 or (unit == "steps" and amount < 1):
            raise InputError(
                Message("the budget '{text}' leaves no time or steps to train", text=text), expected=expected
            )
        return cls(steps=int(amount)) if unit == "steps" else cls(seconds=amount * _UNITS[unit])

    def __str__(self) -> str:
        if self.steps is not None:
            return f"{self.steps}steps"
        seconds = self.seconds or 0.0
        return f"{seconds:g}s"


class Clock(Protocol):
    """Where the time comes from; tests bring one of their own."""

    def now(self) -> float:
        """Seconds from an arbitrary but fixed origin."""


class WallClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds from an arbitrary but fixed origin."""
        return time.monotonic()


class BudgetClock:
    """How much of a budget is gone, over all the sittings of a run.

    `since` is the clock's reading when this sitting began; `before` is what earlier sittings
    spent (a resumed run does not get its time back). Without a time limit nothing ever runs out.
    """

    def __init__(self, budget: Budget, clock: Clock, *, since: float | None = None) -> None:
        self.budget, self.clock, self.before = budget, clock, 0.0
        self._since = clock.now() if since is None else since

    def spent(self) -> float:
        """Seconds gone in all sittings together."""
        return self.before + self.clock.now() - self._since

    def left(self) -> float:
        """Seconds left; infinite for a budget of steps."""
        return float("inf") if self.budget.seconds is None else self.budget.seconds - self.spent()
