"""Tables larger than memory: some rows are held, the others stay on the disk and are walked when they are needed.

Polars' streaming engine reads Parquet files and folders of them; CSV is written as such first. N rows, F numbers.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from luthier.data.columns import Column
from luthier.data.csv_text import CsvFile, open_csv
from luthier.data.numerals import with_points
from luthier.data.text_bytes import text_size
from luthier.data.witnesses import witnesses
from luthier.errors import InputError, in_a_line
from luthier.seeds import numpy_generator
from luthier.storage import cache_folder, explained, sha256

SAMPLED = 200_000  # rows that are held; enough for every decision of the recipe
TIMES = 4  # how much memory a run takes beside its table: encoded, split and preprocessed
CHUNK = 1 << 17  # rows that are walked together
PLACE = "row of the table"
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class LargeTable:
    """A table on the disk of which a sample is held. `others` are its other rows, as they lie there."""

    rows: int
    others: pl.LazyFrame


def parse_memory(text: str) -> int:
    """Bytes as people write them.

    >>> parse_memory("2GiB") == parse_memory("2 g") == 2 * 1024**3
    True
    """
    result = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text).lower())
    if not result or float(result[1]) <= 0:
        raise InputError(f"'{text}' is not an amount of memory", expected="such as 512MiB or 2GiB")
    return int(float(result[1]) * _SIZES[result[2]])


def default_memory() -> int:
    """Half of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def table_files(path: Path) -> list[Path]:
    """The Parquet files of a folder, or the file itself."""
    return sorted(path.rglob("*.parquet")) if path.is_dir() else [path]


def digest(path: Path) -> str:
    """A checksum of a file's or of all files' bytes, read piece by piece."""
    total = hashlib.sha256()
    for file in table_files(path):
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()


def is_parquet(path: Path) -> bool:
    """Whether this is a Parquet file, or a folder that holds some."""
    if path.is_dir():
        return next(path.rglob("*.parquet"), None) is not None
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def scan_parquet(path: Path) -> pl.LazyFrame:
    """Parquet files as one table that is read when it is asked for; their columns must be the same."""
    try:
        lazy = pl.scan_parquet(table_files(path), hive_partitioning=False)
        lazy.collect_schema()
    except (Exception, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error
    return lazy


def too_large(path: Path, memory: int) -> bool:
    """Whether a run on this table would take more than so many bytes."""
    on_disk = sum(file.stat().st_size for file in table_files(path))
    if on_disk * TIMES < memory // 64:  # not even a hundredfold compression would matter
        return False
    if not is_parquet(path):
        return TIMES * text_size(path) > memory
    lazy = scan_parquet(path)
    try:
        head, rows = lazy.head(1000).collect(), int(lazy.select(pl.len()).collect().item())
    except Exception as error:
        raise _not_whole(path, error) from error
    return TIMES * rows * head.estimated_size() > memory * max(1, head.height)


def sample_of(
    path: Path, memory: int, target: str | None, weight: str = ""
) -> tuple[pl.DataFrame, LargeTable, str, tuple[str, ...]]:
    """Rows drawn evenly from a table that is too large to be held, the others, the table's checksum, and notes.

    A few rows are added that show what the target holds, such as a class that the draw has missed. Rows whose `weight`
    is 0 are left out of both.
    """
    checksum = digest(path)
    table = None if is_parquet(path) else open_csv(path, path.name)
    lazy = scan_parquet(path if table is None else _as_parquet(table, checksum))
    try:
        rows = everything = int(lazy.select(pl.len()).collect(engine="streaming").item())
        if weight in lazy.collect_schema():
            lazy = lazy.filter((pl.col(weight).cast(pl.Float64, strict=False) != 0).fill_null(True))
            rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
        head = lazy.head(1000).collect()
        fitting = int(memory / TIMES / max(1.0, head.estimated_size() / max(1, head.height)))
        wanted = min(rows, max(1000, min(SAMPLED, fitting)))
        indices = np.unique(numpy_generator(0, "sample", rows).integers(0, max(1, rows), wanted))
        drawn = pl.Series(indices, dtype=pl.UInt32)
        numbered = lazy.with_row_index(PLACE)
        notes = () if table is None else table.notes
        if target in head.columns:
            added, message = witnesses(numbered, PLACE, target, drawn)
            drawn, notes = pl.Series(sorted({*drawn, *added}), dtype=pl.UInt32), (*notes, *message)
        frame = numbered.filter(pl.col(PLACE).is_in(drawn.implode())).drop(PLACE).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error
    others = numbered.filter(~pl.col(PLACE).is_in(drawn.implode())).drop(PLACE)
    if table is not None and table.dialect.decimal_comma:
        frame, others = with_points(frame), with_points(others)
    if rows < everything:
        notes = (*notes, weightless(everything - rows, weight))
    held = f"'{path.name}' has {rows:,} rows: {frame.height:,} of them are in memory, the others stay on disk"
    return frame, LargeTable(rows, others), checksum, (*notes, held)


def weightless(rows: int, weight: str) -> str:
    """What is said of rows that do not count.

    >>> weightless(1200, "w")
    '1,200 rows are set aside, with a weight of 0 in `w`: nothing is fitted, split or scored by them'
    """
    which, by = ("row is", "it") if rows == 1 else ("rows are", "them")
    return f"{rows:,} {which} set aside, with a weight of 0 in `{weight}`: nothing is fitted, split or scored by {by}"


def _as_parquet(table: CsvFile, checksum: str) -> Path:
    """The rows of a CSV file as Parquet files in the cache, written once: what is walked often is read fast."""
    folder = cache_folder("tables") / sha256(repr((checksum, table.dialect, table.content.encoding)).encode())[:32]
    if folder.exists():
        return folder
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for number, frame in enumerate(table.frames()):
                frame.write_parquet(temporary / f"{number:08}.parquet", compression_level=1)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return folder


def walk(lazy: pl.LazyFrame, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """A table piece by piece; what cannot be read is said in our words."""
    try:
        for piece in lazy.collect_batches(chunk_size=rows, maintain_order=True, engine="streaming"):
            yield from piece.iter_slices(rows)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError("a table on disk cannot be read to its end", received=in_a_line(error)) from error


def measured(lazy: pl.LazyFrame, columns: Sequence[Column]) -> dict[str, tuple[float, float, float, float, float]]:
    """Share missing, mean, deviation, lowest and highest of each column of numbers, in one pass over all rows.

    InputError for a column with infinite numbers.
    """
    numbers = [column.name for column in columns if column.used and column.kind == "number"]
    if not numbers:
        return {}
    what, schema = ("null", "mean", "std", "min", "max"), lazy.collect_schema()
    parsers = {column.name: column.cells for column in columns}
    asked = []
    for name in numbers:
        cell = parsers[name].value(pl.col(name), schema[name])
        asked += [
            cell.is_null().mean().alias(f"null {name}"),
            cell.mean().alias(f"mean {name}"),
            cell.std(ddof=0).alias(f"std {name}"),
            cell.min().alias(f"min {name}"),
            cell.max().alias(f"max {name}"),
            cell.is_infinite().sum().alias(f"infinite {name}"),
        ]
    result = lazy.select(asked).collect(engine="streaming").row(0, named=True)
    for name in numbers:
        if result[f"infinite {name}"]:
            raise InputError(
                f"column '{name}' has infinite values",
                expected="finite numbers, or nothing where a value is missing",
                received=f"{result[f'infinite {name}']:,} infinite values outside of the sample",
                remedy="leave those cells empty, or correct them",
            )
    return {
        name: tuple(float("nan") if result[f"{one} {name}"] is None else float(result[f"{one} {name}"]) for one in what)  # type: ignore[misc]
        for name in numbers
    }


def _not_whole(path: Path, error: BaseException) -> InputError:
    return InputError(
        f"'{path.name}' cannot be read as a table",
        received=in_a_line(error),
        remedy="it may be truncated, or its files differ in their columns; copy or write it again",
    )
