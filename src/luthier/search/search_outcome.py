"""What a search found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from luthier.messages import with_messages
from luthier.records import Finding, JsonObject
from luthier.search.effort import Effort
from luthier.search.spaces.sensitivity import VarianceShare, sensitivity
from luthier.search.spaces.space import Space
from luthier.search.spaces.trials import AFTERWARDS, COMPLETE, MEASURED, PRUNED, Trial
from luthier.statistics.paired import Paired


@dataclass
class SearchOutcome:
    """What a search found: all trials, and what may be said about the best."""

    space: Space
    effort: Effort
    trials: list[Trial] = field(default_factory=list)
    others: list[Trial] = field(default_factory=list)  # of other processes that share the study
    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, list[VarianceShare]] = field(default_factory=dict)
    boxes: list[JsonObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    best: Trial | None = None
    refits: dict[int, list[float]] = field(default_factory=dict)  # of the candidates, by trial number
    final: list[Trial] = field(default_factory=list)  # the best setting, seed by seed
    final_default: list[Trial] = field(default_factory=list)
    gain: Paired | None = None  # loss of the default minus that of the best
    states: list[dict[str, np.ndarray]] = field(default_factory=list)
    complete: bool = False
    seconds: float = 0.0  # that the search took
    trained_seconds: float = 0.0  # of these, training, shared out to the workers

    @property
    def searched(self) -> list[Trial]:
        """The trials of the search itself, without refits."""
        return [trial for trial in self.trials if trial.stage not in AFTERWARDS]

    @property
    def measured(self) -> Trial | None:
        """The best setting with the loss that is reported: the mean over fresh seeds. None without such refits."""
        losses = [trial.value for trial in self.final]
        if not losses or not np.isfinite(losses).all():
            return None
        reason = f"the mean over {len(losses)} seeds of their own"
        score, values = float(np.mean([trial.score for trial in self.final])), self.final[-1].values
        return Trial(len(self.trials), values, 0, MEASURED, COMPLETE, float(np.mean(losses)), score, reason=reason)

    @property
    def candidates(self) -> list[Trial]:
        """What the best is chosen from: this search's trials, and those of who shares the study."""
        return [*self.searched, *self.others]

    def frame(self) -> pl.DataFrame:
        """All trials as a table: a row each, its hyper-parameters under their own names, its curve as two lists."""
        names = [*self.space.dimensions, *self.space.fixed]
        columns: dict[str, list[Any]] = {
            name: [getattr(trial, name) for trial in self.trials]
            for name in ("number", "stage", "status", "value", "score", "train_loss", "best_step", "steps", "reason")
        }
        columns["seed"] = [str(trial.seed) for trial in self.trials]
        for name in names:
            values = [trial.values.get(name) for trial in self.trials]
            kinds = {type(value) for value in values if value is not None}
            if kinds == {int, float}:
                values = [None if value is None else float(value) for value in values]
            elif len(kinds) > 1:
                values = [None if value is None else str(value) for value in values]
            columns[name] = values
        columns["curve_steps"] = [[step for step, _ in trial.curve] for trial in self.trials]
        columns["curve_losses"] = [[loss for _, loss in trial.curve] for trial in self.trials]
        return pl.DataFrame(columns, strict=False)

    def table_of(self, stage: str) -> list[VarianceShare]:
        """The sensitivity to each dimension in a stage, worked out where the search did not."""
        if stage not in self.tables:
            trials = [trial for trial in self.trials if trial.stage == stage]
            self.tables[stage] = sensitivity(trials, self.space, seed=self.effort.seed)
        return self.tables[stage]

    def to_json(self) -> JsonObject:
        """What was found, as plain values; the trials themselves stand in `frame`."""
        losses, measured = [trial.value for trial in self.final], self.measured
        content: JsonObject = {
            "space": self.space.to_json(),
            "effort": self.effort.to_json(),
            "complete": self.complete,
            "seconds": round(self.seconds, 2),
            "trained_seconds": round(self.trained_seconds, 2),
            "trials": len(self.searched),
            "cut": sum(trial.status == PRUNED for trial in self.searched),
            "best": None if self.best is None else self.best.to_json(),
            "measured": None
            if measured is None
            else {"mean": measured.value, "spread": spread(losses), "seeds": losses},
            "score": None if not losses else float(np.mean([trial.score for trial in self.final])),
            "default": [trial.value for trial in self.final_default],
            "gain": None if self.gain is None else self.gain.to_json(),
            "refits": {str(number): values for number, values in self.refits.items()},
            "tables": {stage: [vars(share) for share in table] for stage, table in self.tables.items()},
            "boxes": self.boxes,
            "notes": self.notes,
            "findings": [finding.to_json() for finding in self.findings],
        }
        return dict(with_messages(content))


def spread(values: list[float]) -> float:
    """Standard deviation; 0 for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
