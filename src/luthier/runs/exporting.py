"""A run's model taken elsewhere, checked on the rows that the run validated by."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from luthier.assess import PRIMARY
from luthier.errors import ConfigError
from luthier.exporting.quantised import Quantised, quantise
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.exporting.whole import exportable
from luthier.recipe import reread
from luthier.recipe.prepare import parts_of
from luthier.recipe.steps.baselines import own_scale
from luthier.saved import Model, open_one

WRITERS = {"onnx": export_onnx, "torch": export_torch}


class Exported(NamedTuple):
    """The largest gap to the model, on how many validation rows, and what 8 bits cost where they were asked for."""

    gap: float
    rows: int
    quantised: Quantised | None = None


def export_run(run: str | Path, path: str | Path, *, kind: str, int8: bool = False) -> Exported:
    """Write the model of a finished run as "onnx" or "torch", checked on its validation rows.

    With `int8` the weights of the ONNX file have 8 bits, and the loss of score is measured. InputError for models of
    pictures and text, and where the run's data have changed or are gone.
    """
    if int8 and kind != "onnx":
        raise ConfigError(["8 bits are for ONNX files"])
    if kind not in WRITERS:
        raise ConfigError([f"a model is exported as {' or '.join(WRITERS)}, not '{kind}'"])
    folder = open_one(run)
    model = Model.load(folder.bundle)
    exportable(model)
    asked, read = reread(folder)
    parts = parts_of(read, asked)
    rows = read.frame[parts.splits.validation]
    gap = WRITERS[kind](model, path, rows)
    if not int8:
        return Exported(gap, len(rows))
    metric = asked.metric or PRIMARY[model.task.kind]
    return Exported(gap, len(rows), quantise(model, Path(path), rows, own_scale(read.task, parts.validation), metric))
