"""Rows that came without a path, a frame, arrays or standard input, as files: of a run, or until it is there."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage
from luthier.data import Source, read_source
from luthier.data.pictures import cache_folder, is_packed
from luthier.data.sources import DECIMAL, WRITTEN
from luthier.request import RunRequest
from luthier.runs.result import TEMPORARY
from luthier.saved import RunFolder

PICTURES = "test-pictures.npy"


def with_test_file(options: Mapping[str, Any]) -> dict[str, object]:
    """Options whose `test` names a file: rows in memory, or `-`, are written to one that lasts until the program ends;
    a run keeps them in its own folder."""
    test = options.get("test")
    if test is None or (isinstance(test, str | os.PathLike) and str(test) != "-"):
        return dict(options)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    passing = RunFolder(folder)
    _write(passing.test_rows, passing.path / PICTURES, read_source(test))
    return {**options, "test": str(passing.test_rows)}


def keep_source(folder: RunFolder, source: Source) -> None:
    """Copy data that came without a path into the run's folder, arrays of pictures too."""
    _write(folder.source, folder.path / "pictures.npy", source)


def keep_test(folder: RunFolder, asked: RunRequest) -> RunRequest:
    """The request, whose test rows lie in the run's own folder where they came without a path."""
    kept = keep_test_file(folder, asked.test)
    return asked if kept == asked.test else asked.model_copy(update={"test": kept})


def keep_test_file(folder: RunFolder, test: str) -> str:
    """Where test rows lie: in the run's own folder where they came without a path, copied from where they were kept."""
    before = RunFolder(Path(test).parent)
    if before.test_rows != Path(test) or before.path == folder.path:
        return test
    if (before.path / PICTURES).exists():
        _write(folder.test_rows, folder.path / PICTURES, read_source(test), before.path)
    else:
        with storage.explained(folder.test_rows):
            shutil.copyfile(test, folder.test_rows)
    return str(folder.test_rows)


def _write(path: Path, pictures: Path, source: Source, kept: Path | None = None) -> None:
    """Rows as Parquet; those of an array of pictures, which is `kept` in a folder, name a copy of the array."""
    frame, kept = source.frame, kept or cache_folder()
    with storage.explained(path):
        for name, first in zip(frame.columns, frame.row(0), strict=True):
            if isinstance(first, str) and is_packed(first) and Path(first.rpartition("#")[0]).parent == kept:
                shutil.copyfile(first.rpartition("#")[0], pictures)
                rows = [f"{pictures.resolve()}#{value.rpartition('#')[2]}" for value in frame[name]]
                frame = frame.with_columns(pl.Series(name, rows))
        written = {**WRITTEN, DECIMAL: source.decimal}
        frame.write_parquet(path, metadata=written if source.written else None)
