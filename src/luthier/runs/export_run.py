"""A run's model taken elsewhere, checked on the rows that the run validated by."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from luthier.errors import ConfigError
from luthier.exporting.exported_rows import exportable
from luthier.exporting.quantised import Quantised, export_int8
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.messages import Message
from luthier.recipe import reread
from luthier.recipe.rows.parts import parts_of
from luthier.recipe.running.run_baselines import own_scale
from luthier.runs.belonging import require_model_of
from luthier.saved import Model, open_one
from luthier.task import deciding_metric

WRITERS = {"onnx": export_onnx, "torch": export_torch}


class Exported(NamedTuple):
    """How far the file is from the model on how many validation rows: the largest gap, or what 8 bits cost in score."""

    rows: int
    gap: float | None
    quantised: Quantised | None = None

    @property
    def in_words(self) -> Message:
        """It as a message."""
        if self.quantised is not None:
            return Message("8-bit weights: {result}", result=self.quantised.in_words)
        template = "predictions differ from the model's by at most {gap:.1e} on {rows:,} validation rows"
        return Message(template, gap=self.gap, rows=self.rows)

    def __str__(self) -> str:
        return self.in_words.spoken()


def export_run(run: str | Path, path: str | Path, *, kind: str, int8: bool = False) -> Exported:
    """Write the model of a finished run as "onnx" or "torch", checked on its validation rows.

    With `int8` the weights of the ONNX file have 8 bits, and the loss of score is measured. InputError for models of
    pictures and text, and where the run's data have changed or are gone.
    """
    if int8 and kind != "onnx":
        raise ConfigError(["8-bit weights work with ONNX files only"])
    if kind not in WRITERS:
        raise ConfigError(
            [Message("a model is exported as {names}, not '{kind}'", names=" or ".join(WRITERS), kind=kind)]
        )
    folder = open_one(run)
    model = Model.load(folder.bundle)
    exportable(model)
    asked, read = reread(folder, "export")
    require_model_of(read, model)
    parts = parts_of(read, asked, folder)
    rows = read.frame[parts.splits.validation]
    if int8:
        metric, y = deciding_metric(asked.metric, model.task.kind), own_scale(read.task, parts.validation)
        weights = parts.validation.weights_array
        return Exported(len(rows), None, export_int8(model, path, rows, y, metric, weights))
    return Exported(len(rows), WRITERS[kind](model, path, rows))
