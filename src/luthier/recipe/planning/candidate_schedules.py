"""Schedules as the recipe plans them."""

from __future__ import annotations

from luthier.engine import Schedule


def schedule_named(name: str, steps: int) -> Schedule:
    """The planned form of a schedule: three restarts in a training, each half as long again."""
    if name == "restarts":
        return Schedule("restarts", period=max(1, round(steps / 4.75)), multiplier=1.5)
    if name == "exponential":
        return Schedule("exponential", decay=0.01, period=max(1, steps))  # a hundredth of the rate at the end
    return Schedule(name)
