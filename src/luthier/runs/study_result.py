"""A search's result: the best setting with its measured loss, every trial, the network."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from torch import nn

from luthier.drawing import small_table
from luthier.errors import InputError
from luthier.records import Finding
from luthier.report import search_lines
from luthier.report.search_figures import draw_progress, progress
from luthier.saved.search_schemas import StudyFacts
from luthier.search import AFTERWARDS, Networks, SearchOutcome
from luthier.search.spaces.space import Value
from luthier.statistics.paired import Paired
from luthier.storage import plain
from luthier.untrusted import validated

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass
class Study:
    """A finished (or interrupted) search.

    `best` is the best setting by refits; `value` and `spread` are mean and standard deviation of its
    validation loss over fresh seeds, not the luckiest trial's. `gain` is the paired difference to the
    default setting.
    """

    outcome: SearchOutcome
    networks: Networks
    folder: Path | None = None

    @property
    def best(self) -> dict[str, Value]:
        """The best setting."""
        return {} if self.outcome.best is None else dict(self.outcome.best.values)

    @property
    def value(self) -> float:
        """Mean validation loss of the best setting over fresh seeds; without refits, its trial's."""
        return self._mean_of("value")

    @property
    def score(self) -> float:
        """As `value`, for the score: accuracy, or the root mean squared error."""
        return self._mean_of("score")

    def _mean_of(self, name: str) -> float:
        best = [] if self.outcome.best is None else [self.outcome.best]
        values = [getattr(trial, name) for trial in self.outcome.final or best]
        return float(np.mean(values)) if values else float("nan")

    @property
    def gain(self) -> Paired | None:
        """Validation loss of the default minus that of the best, paired over seeds, with its 95 % interval."""
        return self.outcome.gain

    @property
    def findings(self) -> list[Finding]:
        """The findings about the search."""
        return self.outcome.findings

    @property
    def trials(self) -> pl.DataFrame:
        """Every trial, refits included, in the order of asking."""
        return self.outcome.frame()

    def sensitivity(self) -> pl.DataFrame:
        """The share of the trials' variance that each hyper-parameter explains, with its interval, by stage."""
        stages = list(dict.fromkeys(trial.stage for trial in self.outcome.searched))
        rows = [{"stage": stage, **vars(share)} for stage in stages for share in self.outcome.table_of(stage)]
        return pl.DataFrame(rows)

    def module(self) -> nn.Module:
        """The best setting's network: of the seeds it was measured with, the one with the lowest loss."""
        states, final = self.outcome.states, self.outcome.final
        if not states or not final:
            raise InputError("the study kept no network", remedy="use confirm=1 or more")
        place = int(np.nanargmin([trial.value for trial in final]))
        return self.networks.module(final[place].values, final[place].seed, states[place])

    def lines(self) -> list[str]:
        """The result in a few lines."""
        return search_lines(validated(StudyFacts, plain(self.outcome.to_json()), "the search"))

    def plot(self) -> go.Figure:
        """Each trial's loss in the order of asking, and the best so far."""
        return draw_progress(progress(self.outcome.frame().filter(~pl.col("stage").is_in(AFTERWARDS))))

    def _repr_html_(self) -> str:
        rows = [(name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in self.best.items()]
        return small_table(("hyper-parameter", "best value"), rows) + "".join(
            f"<p>{escape(line)}</p>" for line in self.lines()[:4]
        )

    def __repr__(self) -> str:
        return "\n".join(self.lines())
