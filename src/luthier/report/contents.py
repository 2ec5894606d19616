"""What a run's folder says, read once, with missing pieces as empty values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from luthier.assess import PastCheck, RunCheck, Scores
from luthier.messages import tr
from luthier.recipe import Record, read_ledger, worded, wording_of
from luthier.records import Wording
from luthier.saved import RunFolder, open_run, read_checks, read_drift, read_histories, read_scores
from luthier.saved.schemas import FitFacts


@dataclass(frozen=True)
class Contents:
    """The files of a run, sentences in the language that is spoken; `scores` and `drift` are None where the run did
    not get that far."""

    path: Path
    facts: FitFacts
    scores: Scores | None
    drift: RunCheck | None
    checks: list[PastCheck]
    histories: dict[str, pl.DataFrame]

    @cached_property
    def records(self) -> list[Record]:
        """The ledger's, read where somebody asks for them: of thousands of columns that takes seconds."""
        ledger = read_ledger(RunFolder(self.path).ledger)
        return [one if one["kind"] == "decision" else worded(one) for one in ledger]

    def decisions(self, step: int) -> list[Record]:
        """The decisions of a step."""
        return [r for r in self.records if r["kind"] == "decision" and r["step"] == step]

    def wording(self, step: int) -> list[tuple[Record, Wording]]:
        """The decisions of a step with their words, in the language that is spoken."""
        return [(record, wording_of(record)) for record in self.decisions(step)]

    def findings(self) -> list[Record]:
        """All findings."""
        return [record for record in self.records if record["kind"] == "finding"]

    @property
    def shared_by(self) -> tuple[str, ...]:
        """The targets that these networks were trained for, each of which is judged in a run of its own; else none."""
        ended = self.facts["status"] == "stopped" and not self.scores
        return tuple(self.facts["asked"].get("heads", ())) if ended else ()

    @property
    def headline(self) -> str:
        """The verdict as a sentence."""
        if self.shared_by:
            return tr("These networks are shared by {count} targets.", count=len(self.shared_by))
        if not self.scores:
            return tr("This run has no test score yet.")
        sentence = self.scores.sentence
        first = "AUC" + sentence[3:] if sentence.startswith("auc ") else sentence[0].upper() + sentence[1:]
        return first + tr(".")


def read_contents(path: Path) -> Contents:
    """Read a run's folder."""
    folder = open_run(path)
    return Contents(
        path=path,
        facts=folder.fit_facts(),
        scores=read_scores(folder, spoken=True),
        drift=read_drift(folder, spoken=True),
        checks=read_checks(folder),
        histories=read_histories(folder),
    )
