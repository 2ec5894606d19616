"""What a fit hands back: the model, the evidence, and where both lie on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage
from luthier.assess import Scores
from luthier.data import read_source
from luthier.errors import LuthierError
from luthier.messages import Message
from luthier.recipe import Record, read_ledger, worded
from luthier.report import notebook_card, summary_lines, write_report
from luthier.saved import Model, RunFolder, read_histories, read_scores

TEMPORARY = "luthier-"  # how folders of runs that are not kept begin


class Result:
    """A finished run.

    Everything is read from the run's folder, so `Result(folder)` opens an old run as well as
    `luthier.fit` returns a new one.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @cached_property
    def model(self) -> Model:
        """The delivered model, read from `model.luthier`."""
        return Model.load(self.folder.bundle)

    @cached_property
    def scores(self) -> Mapping[str, Any]:
        """The final judgement as plain values: headline with interval, seeds, baselines with paired differences."""
        plain: Mapping[str, Any] = storage.plain(self.judgement.to_json())
        return plain

    @cached_property
    def judgement(self) -> Scores:
        """The final judgement as a record, of which `scores` are the plain values."""
        scores = read_scores(self.folder)
        if scores is None:
            remedy = Message("finish it: luthier resume {path}", path=self.path)
            raise LuthierError(Message("the run '{path}' has no scores yet", path=self.path), remedy=remedy)
        return scores

    @property
    def ledger(self) -> list[Record]:
        """Every decision, finding, cut and opening of the test set, in order."""
        return [worded(record) for record in read_ledger(self.folder.ledger)]

    @cached_property
    def history(self) -> pl.DataFrame:
        """Learning curves of all members of all populations, one row an evaluation."""
        histories = read_histories(self.folder)
        parts = [frame.with_columns(pl.lit(name).alias("population")) for name, frame in histories.items()]
        return pl.concat(parts) if parts else pl.DataFrame()

    def predict(self, rows: Any) -> pl.Series:
        """Predictions for new rows (a frame, arrays' X, or a path), in the target's own type."""
        return self.model.predict(self._frame(rows))

    def predict_proba(self, rows: Any) -> pl.DataFrame:
        """Probabilities for new rows, one column a class. LuthierError for a regression."""
        return self.model.predict_proba(self._frame(rows))

    def report(self) -> Path:
        """Write the report again and return its path."""
        return write_report(self.path)

    def save(self, path: str | Path) -> Path:
        """Copy the model to `path`, a single file that `luthier.load` reads."""
        target = Path(path)
        with storage.explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder.bundle, target)
        return target

    def _frame(self, rows: Any) -> pl.DataFrame:
        return read_source(rows, styles=self.model.styles).frame

    def __repr__(self) -> str:
        parent = self.path.parent
        passing = parent.name.startswith(TEMPORARY) and parent.parent == Path(tempfile.gettempdir())
        note = ["  (a temporary folder, until this program ends; run=FOLDER keeps a run)"] if passing else []
        return "\n".join([*summary_lines(self.path)[:12], *note])

    def _repr_html_(self) -> str:
        return notebook_card(self.path)
