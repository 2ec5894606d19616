"""Tables larger than memory: some rows are held, the others stay on the disk and are walked when they are needed.

Polars' streaming engine reads Parquet files, folders of them, and CSV. N rows, F numbers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from luthier.data.columns import Column
from luthier.data.csv_text import SNIFFED, Dialect, header_of, sniff
from luthier.data.numerals import with_points
from luthier.errors import InputError, in_a_line
from luthier.seeds import numpy_generator

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
    result = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
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


def scan(path: Path) -> tuple[pl.LazyFrame, Dialect | None, tuple[str, ...]]:
    """A table on the disk; cells of a CSV stay text. With how that text is written, and notes on it."""
    if is_parquet(path):
        return scan_parquet(path), None, ()
    with path.open("rb") as file:
        head = file.read(SNIFFED)
    complete = head.rpartition(b"\n")[0] or head
    dialect, notes = sniff(complete, path.name)
    header = header_of(complete.decode(dialect.encoding), dialect, path.name)
    lazy = pl.scan_csv(path, separator=dialect.separator, infer_schema=False, new_columns=header)
    return with_points(lazy) if dialect.decimal_comma else lazy, dialect, notes


def too_large(path: Path, memory: int) -> bool:
    """Whether a run on this table would take more than so many bytes."""
    on_disk = sum(file.stat().st_size for file in table_files(path))
    if on_disk * TIMES < memory // 64:  # not even a hundredfold compression would matter
        return False
    lazy, dialect, _ = scan(path)
    if dialect is not None:
        return TIMES * on_disk > memory
    try:
        head, rows = lazy.head(1000).collect(), int(lazy.select(pl.len()).collect().item())
    except Exception as error:
        raise _not_whole(path, error) from error
    return TIMES * rows * head.estimated_size() > memory * max(1, head.height)


def sample_of(path: Path, memory: int) -> tuple[pl.DataFrame, LargeTable, tuple[str, ...]]:
    """Rows drawn evenly from a table that is too large to be held, the others, and notes on both."""
    lazy, dialect, notes = scan(path)
    if dialect is not None and dialect.encoding != "utf-8-sig":
        raise _not_utf8(path, _undecodable_line(path))
    try:
        rows = int(lazy.select(pl.len()).collect(engine="streaming").item())
        head = lazy.head(1000).collect()
        fitting = int(memory / TIMES / max(1.0, head.estimated_size() / max(1, head.height)))
        wanted = min(rows, max(1000, min(SAMPLED, fitting)))
        indices = np.unique(numpy_generator(0, "sample", rows).integers(0, max(1, rows), wanted))
        drawn = pl.Series(indices, dtype=pl.UInt32)
        numbered = lazy.with_row_index(PLACE)
        frame = numbered.filter(pl.col(PLACE).is_in(drawn.implode())).drop(PLACE).collect(engine="streaming")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error
    others = numbered.filter(~pl.col(PLACE).is_in(drawn.implode())).drop(PLACE)
    message = f"'{path.name}' has {rows:,} rows: {frame.height:,} of them are in memory, the others stay on disk"
    return frame, LargeTable(rows, others), (*notes, message)


def walk(lazy: pl.LazyFrame, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
    """A table piece by piece; what cannot be read is said in our words."""
    try:
        for piece in lazy.collect_batches(chunk_size=rows, maintain_order=True, engine="streaming"):
            yield from piece.iter_slices(rows)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError("a table on disk cannot be read to its end", received=in_a_line(error)) from error


def measured(lazy: pl.LazyFrame, columns: Sequence[Column]) -> dict[str, tuple[float, float, float, float, float]]:
    """Share missing, mean, deviation, lowest and highest of each column of numbers, in one pass over all rows."""
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
        ]
    result = lazy.select(asked).collect(engine="streaming").row(0, named=True)
    return {
        name: tuple(float("nan") if result[f"{one} {name}"] is None else float(result[f"{one} {name}"]) for one in what)  # type: ignore[misc]
        for name in numbers
    }


def _undecodable_line(path: Path) -> int:
    """The number of the first line that is not UTF-8; 0: all lines are."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0


def _not_utf8(path: Path, line: int) -> InputError:
    return InputError(
        f"'{path.name}' is not UTF-8",
        expected="UTF-8 throughout, in a table larger than memory",
        received=f"invalid bytes in line {line:,}",
        remedy=f"convert it, for example with: iconv -f latin1 -t utf-8 {path.name} > utf8.csv",
    )


def _not_whole(path: Path, error: BaseException) -> InputError:
    if not is_parquet(path) and (line := _undecodable_line(path)):
        return _not_utf8(path, line)
    return InputError(
        f"'{path.name}' cannot be read as a table",
        received=in_a_line(error),
        remedy="it may be truncated, or its files differ in their columns; copy or write it again",
    )
