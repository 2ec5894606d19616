"""A run's model taken elsewhere, checked on the rows that the run validated by."""

from __future__ import annotations

from pathlib import Path

from luthier.errors import ConfigError, InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.exporting.whole import exportable
from luthier.recipe import Asked, open_run, read_as_asked
from luthier.recipe.prepare import parts_of
from luthier.saved import Model

WRITERS = {"onnx": export_onnx, "torch": export_torch}


def export_run(run: str | Path, path: str | Path, *, kind: str) -> tuple[float, int]:
    """Write the model of a finished run as "onnx" or "torch"; the largest gap to it, and on how many validation rows.

    InputError for models of pictures and text, and where the run's data have changed or are gone.
    """
    if kind not in WRITERS:
        raise ConfigError([f"a model is exported as {' or '.join(WRITERS)}, not '{kind}'"])
    folder = open_run(run)
    model = Model.load(folder.bundle)
    exportable(model)
    asked = Asked.model_validate(folder.facts()["asked"])
    source = asked.source or str(folder.source)
    read = read_as_asked(source, asked)
    if read.source.fingerprint != folder.facts()["source"]["fingerprint"]:
        raise InputError(f"'{source}' has changed since the run began", remedy="restore the file")
    rows = read.frame[parts_of(read, asked).splits.validation]
    return WRITERS[kind](model, path, rows), len(rows)
