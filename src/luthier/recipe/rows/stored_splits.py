"""Which part each row of a run is in, kept in its folder: what was split once is read, not split again."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from luthier import storage
from luthier.data import Splits
from luthier.data.split import PARTS
from luthier.errors import InputError
from luthier.messages import Message
from luthier.parquet_pages import parquet_bytes, require_sound_pages
from luthier.untrusted import content_of

LARGEST = 1 << 30  # bytes
NOWHERE = "none"  # of rows that are test rows of another file
_NOTES, _LEFT_OUT = "luthier notes", "luthier left out"


def write_splits(path: Path, splits: Splits, rows: int) -> None:
    """Write the parts of a table's rows, and what was special about the split."""
    part = np.full(rows, NOWHERE, dtype=object)
    for name in PARTS:
        part[getattr(splits, name)] = name
    metadata = {_NOTES: json.dumps(splits.notes), _LEFT_OUT: json.dumps(splits.left_out)}
    table = pl.DataFrame({"row": np.arange(rows), "part": part.astype(str)})
    storage.write_bytes(path, parquet_bytes(table, metadata))


def read_splits(path: Path, rows: int) -> Splits | None:
    """The parts that were written; None where there is no such file. InputError where it is another table's."""
    if not path.exists():
        return None
    content = content_of(path, LARGEST)
    try:
        require_sound_pages(content)
        parts = pl.read_parquet(BytesIO(content))["part"].to_numpy()
        facts = pl.read_parquet_metadata(BytesIO(content))
        notes, left_out = json.loads(facts.get(_NOTES, "[]")), json.loads(facts.get(_LEFT_OUT, "[]"))
        known = bool(len(parts) == rows and np.isin(parts, (*PARTS, NOWHERE)).all())
        training, validation, test = (np.flatnonzero(parts == name) for name in PARTS)
        result = Splits(training, validation, test, tuple(map(str, notes)), tuple(map(int, left_out)))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError):
        known = False
    if not known:
        raise InputError(
            Message("'{path}' does not belong to the run's table", path=path),
            expected=Message("a part for each of {rows} rows", rows=rows),
            remedy="restore the file from a backup, or start a new run",
        )
    return result
