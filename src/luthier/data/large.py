"""Tables larger than memory: some rows are held, the others stay on the disk and are walked when they are needed.

Polars' streaming engine reads Parquet files and folders of them; CSV is written as such first. N rows, F numbers.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from luthier.data.csv_text import CsvFile, open_csv
from luthier.data.pieces import Pieces, rows_of
from luthier.data.row_bytes import class_count, row_bytes
from luthier.data.text_bytes import text_size
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.witnesses import witnesses
from luthier.errors import InputError, in_a_line
from luthier.messages import Message, in_bytes
from luthier.parquet_pages import require_sound_pages
from luthier.seeds import numpy_generator
from luthier.storage import cache_folder, explained, sha256

HEAD, HEAD_BYTES = 500, 1 << 20  # rows, and bytes of CSV, that show what a row takes
SAMPLED = 200_000  # rows that are held; enough for every decision of the recipe
FEWEST, SMALL = 1000, 32 << 20  # rows that are held however little memory is allowed, unless they are larger
DATA = 0.6  # of the memory that is allowed is for rows that are held, the rest for networks
STREAMED = 64 << 20  # bytes of rows that are read piece by piece, this window and the next
PROGRAM = 850 << 20  # bytes for the program and the baselines' process; on a small table 707 MiB were measured
PLACE = "row of the table"


@dataclass(frozen=True)
class LargeTable:
    """A table on the disk of which a sample is held. `others` are its other rows, as they lie there; `decimal` is the
    mark that the numbers of its text show, or nothing."""

    rows: int
    others: Pieces
    decimal: str = ""


def memory_in_words(memory: int) -> str:
    """What a limit is for, and what comes on top of it.

    >>> memory_in_words(512 << 20)
    'memory: up to 512 MiB for data and networks; the program and its libraries take about 850 MiB beside them'
    """
    return Message(
        "memory: up to {memory} for data and networks; the program and its libraries take about {program} beside them",
        memory=in_bytes(memory),
        program=in_bytes(PROGRAM),
    )


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
        for file in table_files(path):
            require_sound_pages(file)
        lazy = pl.scan_parquet(table_files(path), hive_partitioning=False)
        lazy.collect_schema()
    except (Exception, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error
    return lazy


def read_parquet(path: Path) -> pl.DataFrame:
    """Parquet files as one table."""
    try:
        return scan_parquet(path).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error


def too_large(path: Path, memory: int, target: str | None = None) -> bool:
    """Whether a run on this table would take more than so many bytes."""
    on_disk = sum(file.stat().st_size for file in table_files(path))
    if on_disk * 10_000 < memory:  # however well it is packed, however many classes it has
        return False
    head, rows, classes = _head_of(path, target)
    return rows * row_bytes(head, target, min(rows, classes)) > _for_rows(memory)


def beside_rows(memory: int, held: float) -> int:
    """Bytes of `memory` that are left for networks beside rows that take so many.

    >>> beside_rows(1000, 440.0), beside_rows(1000, 5000.0)
    (560, 550)
    """
    return int(memory - min(_for_rows(memory), held))


def _for_rows(memory: int) -> float:
    """Bytes of `memory` for rows that are held."""
    return DATA * (memory - min(STREAMED, memory / 4))


def _head_of(path: Path, target: str | None) -> tuple[pl.DataFrame, int, float]:
    """The first rows of a table, how many it has, and how many classes its target; of CSV, by the first megabyte."""
    if not is_parquet(path):
        first = next(open_csv(path, path.name).frames(HEAD_BYTES))
        written = sum(first.select(pl.all().str.len_bytes().sum()).row(0)) / first.height + first.width
        classes = class_count(first[target]) if target in first.columns else 0.0
        return first.head(HEAD), max(first.height, round(text_size(path) / written)), classes
    lazy = scan_parquet(path)
    try:
        head = lazy.head(HEAD).collect()
        return head, int(lazy.select(pl.len()).collect().item()), _classes(lazy, head, target)
    except (Exception, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error


def _classes(lazy: pl.LazyFrame, head: pl.DataFrame, target: str | None) -> float:
    """How many classes the target of a table has."""
    if target not in head.columns or not class_count(head[target]):
        return 0.0
    return float(lazy.select(pl.col(str(target)).n_unique()).collect(engine="streaming").item())


def sample_of(
    path: Path, memory: int, target: str | None, weight: str = ""
) -> tuple[pl.DataFrame, LargeTable, str, tuple[str, ...]]:
    """Rows drawn evenly from a table that is too large to be held, the others, the table's checksum, and notes.

    A few rows are added that show what the target holds, such as a class that the draw has missed. Rows whose `weight`
    is 0 are left out of both.
    """
    checksum = digest(path)
    table = None if is_parquet(path) else open_csv(path, path.name)
    kept, decimal = (path, "") if table is None else (_as_parquet(table, checksum), table.dialect.decimal)
    lazy = scan_parquet(kept)
    try:
        everything = int(lazy.select(pl.len()).collect(engine="streaming").item())
        head, numbered, rows = lazy.head(HEAD).collect(), lazy.with_row_index(PLACE), everything
        places: pl.Series | None = None  # None: all
        if weight in head.columns:
            numbered = numbered.filter(_counts(weight, head.schema[weight], decimal))
            places = numbered.select(PLACE).collect(engine="streaming").to_series()
            rows = len(places)
        cost = row_bytes(head, target, _classes(lazy, head, target))
        wanted = min(rows, max(min(FEWEST, int(SMALL / cost)), min(SAMPLED, int(_for_rows(memory) / cost))))
        indices = np.unique(numpy_generator(0, "sample", rows).integers(0, max(1, rows), wanted))
        drawn = pl.Series(indices, dtype=pl.UInt32) if places is None else places.gather(indices)
        notes = () if table is None else table.notes
        if target in head.columns:
            added, message = witnesses(numbered, PLACE, target, drawn)
            drawn, notes = pl.Series(sorted({*drawn, *added}), dtype=pl.UInt32), (*notes, *message)
        others = Pieces(tuple(table_files(kept)), drawn.to_numpy().astype(np.int64))
        frame = others.at(others.without)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _not_whole(path, error) from error
    if weight in frame.columns:
        others = others.then(lambda piece: piece.filter(_counts(weight, piece.schema[weight], decimal)))
    if rows < everything:
        notes = (*notes, weightless(everything - rows, weight))
    template = "'{name}' has {rows:,} rows: {held:,} of them are in memory, the others stay on disk"
    held = Message(template, name=path.name, rows=rows, held=frame.height)
    return frame, LargeTable(rows, others, decimal), checksum, (*notes, held)


def weightless(rows: int, weight: str) -> str:
    """What is said of rows that do not count.

    >>> weightless(1200, "w")
    '1,200 rows are set aside, with a weight of 0 in `w`: nothing is fitted, split or scored by them'
    """
    template = (
        "{rows:,} rows are set aside, with a weight of 0 in `{weight}`: nothing is fitted, split or scored by them"
    )
    if rows == 1:
        template = (
            "{rows:,} row is set aside, with a weight of 0 in `{weight}`: nothing is fitted, split or scored by it"
        )
    return Message(template, rows=rows, weight=weight)


def _counts(weight: str, dtype: pl.DataType, decimal: str) -> pl.Expr:
    """Whether a row has another weight than 0."""
    cell = pl.col(weight)
    commas = dtype == pl.String and decimal == ","
    number = NumberStyle(",", ".").number(cell.str.strip_chars()) if commas else cell.cast(pl.Float64, strict=False)
    return (number != 0).fill_null(True)


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
                size = rows_of(frame.width)  # a group of rows for each piece that is read
                path = temporary / f"{number:08}.parquet"
                frame.write_parquet(path, compression_level=1, row_group_size=size, statistics=False)
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return folder


def measured(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Share missing, mean, deviation, lowest and highest of each column of numbers [5, F], from blocks of rows [N, F].

    Blocks are joined by the formula of Chan, Golub and LeVeque (1983).
    """
    rows, sums = 0, np.zeros((5, 0))
    for block in blocks:
        if not rows:
            sums = np.repeat(np.array([[0.0], [0.0], [0.0], [np.inf], [-np.inf]]), block.shape[1], 1)
        count, mean, square, low, high = sums
        gone = np.isnan(block)
        here = (~gone).sum(0)
        own = np.where(gone, 0.0, block).sum(0) / np.maximum(here, 1)
        total, gap = np.maximum(count + here, 1), np.where(here > 0, own - mean, 0.0)
        square = square + (np.where(gone, 0.0, block - own) ** 2).sum(0) + gap**2 * count * here / total
        low, high = (
            np.minimum(low, np.where(gone, np.inf, block).min(0)),
            np.maximum(high, np.where(gone, -np.inf, block).max(0)),
        )
        sums = np.stack([count + here, mean + gap * here / total, square, low, high])
        rows += len(block)
    count, mean, square, low, high = sums
    known = np.where(count > 0, [mean, np.sqrt(square / np.maximum(count, 1)), low, high], np.nan)
    return np.concatenate([1 - count[None] / max(1, rows), known])


def require_finite_outside(frame: pl.DataFrame, columns: Sequence[Column]) -> None:
    """InputError for a column with infinite numbers, in rows outside of the sample."""
    schema = frame.schema
    names = [one.name for one in columns if one.used and one.kind == "number" and schema[one.name].is_float()]
    infinite = frame.select(pl.col(names).is_infinite().sum()).row(0, named=True) if names else {}
    for name, cells in infinite.items():
        if cells:
            raise InputError(
                Message("column '{name}' has infinite values", name=name),
                expected="finite numbers, or nothing where a value is missing",
                received=Message("{cells:,} infinite values outside of the sample", cells=cells),
                remedy="leave those cells empty, or correct them",
            )


def _not_whole(path: Path, error: BaseException) -> InputError:
    return InputError(
        Message("'{name}' cannot be read as a table", name=path.name),
        received=in_a_line(error),
        remedy="it may be truncated, or its files differ in their columns; copy or write it again",
    )
