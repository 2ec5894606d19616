"""A trial: one setting, trained once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.records import JsonObject
from luthier.search.spaces.space import Values

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"
MEASURED = "measured"  # stage of what is no training of its own: the best setting with its mean over seeds
AFTERWARDS = ("length", "refit", "final", MEASURED)  # stages that train a setting anew instead of searching


@dataclass
class Trial:
    """What was asked (`number`, `values`, `seed`, `stage`) and what came of it.

    `value` is the lowest validation loss, infinite where training diverged or was cut before it was
    measured. `curve` holds (step, validation loss). A pruned trial says in `reason` why it was cut.
    """

    number: int
    values: Values
    seed: int
    stage: str
    status: str = ""
    value: float = math.inf
    score: float = math.nan
    train_loss: float = math.nan
    best_step: int = 0
    steps: int = 0
    reason: str = ""
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether it has been trained."""
        return bool(self.status)

    @property
    def known(self) -> bool:
        """Whether it has a finite value."""
        return math.isfinite(self.value)

    def to_json(self) -> JsonObject:
        """Plain values; what is not finite becomes None."""
        numbers = {name: _finite(getattr(self, name)) for name in ("value", "score", "train_loss")}
        return {**vars(self), **numbers, "curve": [(step, _finite(loss)) for step, loss in self.curve]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        """The trial that `to_json` gave; JSON has no infinity and writes null."""
        numbers = {"value": math.inf, "score": math.nan, "train_loss": math.nan}
        filled = {name: missing if value[name] is None else value[name] for name, missing in numbers.items()}
        curve = [(int(step), math.inf if loss is None else float(loss)) for step, loss in value["curve"]]
        return cls(**{**value, **filled, "curve": curve})


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The trial with the lowest value; pruned ones do not count unless nothing else is known."""
    return min((trial for trial in trials if trial.known), key=_rank, default=None)


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """Known trials, whole ones before pruned ones, best first."""
    return sorted((trial for trial in trials if trial.known), key=_rank)


def _rank(trial: Trial) -> tuple[bool, float, int]:
    return trial.status != COMPLETE, trial.value, trial.number
