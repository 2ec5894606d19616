"""Where data comes from: files, standard input, frames, arrays, bundled sets. All become one frame."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from luthier.errors import InputError, nearest
from luthier.storage import sha256

BUNDLED = ("digits", "iris", "wine", "breast-cancer", "diabetes")
NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?", "#N/A")
_SNIFFED = 65_536  # bytes looked at for the delimiter and the decimal mark


@dataclass(frozen=True)
class Source:
    """A table and where it came from. `target` is known for bundled sets and `(X, y)` only."""

    frame: pl.DataFrame
    name: str
    origin: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    target: str | None = None


@dataclass(frozen=True)
class Dialect:
    """How a text file is written."""

    encoding: str
    separator: str
    decimal_comma: bool


def read_source(source: Any, *, target: str | None = None) -> Source:
    """Read a path, '-' (CSV on standard input), a bundled name, a frame, or arrays `(X, y)`.

    Raises InputError for what cannot be read as a table with distinct column names, at least one
    row, and (when `target` is given) that column.

    >>> read_source("iris").frame.shape
    (150, 5)
    """
    if isinstance(source, str) and source in BUNDLED:
        found = _bundled(source)
    elif isinstance(source, (str, Path)):
        found = _stdin() if str(source) == "-" else _file(Path(source))
    elif isinstance(source, tuple) and len(source) == 2:
        found = _arrays(*source)
    else:
        found = _frame(source)
    return _checked(found, target)


def _checked(found: Source, target: str | None) -> Source:
    frame = found.frame
    if frame.width == 0 or frame.height == 0:
        raise InputError(
            f"'{found.name}' has no rows",
            expected="a header and at least a few rows",
            received=f"{frame.width} columns",
        )
    wanted = target if target is not None else found.target
    if wanted is not None and wanted not in frame.columns:
        raise InputError(
            f"there is no column '{wanted}' in '{found.name}'",
            expected=f"one of {', '.join(frame.columns[:12])}" + (", ..." if frame.width > 12 else ""),
            remedy=nearest(wanted, frame.columns) or "check --target",
        )
    for name in frame.columns:
        dtype = frame[name].dtype
        if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
            raise InputError(
                f"column '{name}' holds {str(dtype).lower()} values",
                expected="one number, text, date or truth value a cell",
                remedy="expand it into columns of its own, or leave it out",
            )
        if dtype.is_float():
            rows = frame[name].is_infinite().fill_null(False).arg_true()
            if len(rows):
                raise InputError(
                    f"column '{name}' has infinite values",
                    expected="finite numbers, or nothing where a value is missing",
                    received=f"{len(rows)} infinite values, the first in row {rows[0] + 1}",
                    remedy="leave those cells empty, or correct them",
                )
    return found


def _bundled(name: str) -> Source:
    from sklearn import datasets

    loader = {
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": datasets.load_diabetes,
    }[name]
    bunch = loader()
    labels = getattr(bunch, "target_names", None)
    y = bunch.target
    if labels is not None and name not in ("diabetes", "digits"):
        y = np.array([str(labels[i]) for i in bunch.target])
    target = {"digits": "digit", "iris": "species", "wine": "cultivar"}.get(name, "diagnosis")
    target = "progression" if name == "diabetes" else target
    columns = {str(column): bunch.data[:, i] for i, column in enumerate(bunch.feature_names)}
    frame = pl.DataFrame({**columns, target: y})
    return Source(frame, name, "bundled with scikit-learn", fingerprint(frame), target=target)


def _arrays(X: Any, y: Any) -> Source:
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or y.ndim != 1 or len(X) != len(y):
        raise InputError(
            "the arrays do not fit together",
            expected="X with rows and columns, y with one value for each row",
            received=f"X of shape {X.shape}, y of shape {y.shape}",
        )
    frame = pl.DataFrame({f"x{i}": X[:, i] for i in range(X.shape[1])} | {"y": y})
    return Source(frame, "arrays", "arrays", fingerprint(frame), target="y")


def _frame(source: Any) -> Source:
    if isinstance(source, np.ndarray) and source.ndim == 2:
        frame = pl.DataFrame({f"x{i}": source[:, i] for i in range(source.shape[1])})
        return Source(frame, "array", "array", fingerprint(frame))
    try:
        frame = nw.from_native(source, eager_only=True).to_polars()
    except TypeError:
        raise InputError(
            f"a {type(source).__name__} is not a table",
            expected="a path, a bundled name, a pandas, Polars or Arrow frame, or arrays (X, y)",
        ) from None
    except Exception as error:  # duplicate names and mixed objects, in each library's own words
        raise InputError("the frame cannot be read", received=str(error).splitlines()[0]) from error
    return Source(frame, "table", f"{type(source).__module__.split('.')[0]} frame", fingerprint(frame))


def fingerprint(frame: pl.DataFrame) -> str:
    """A checksum of a frame's names, types and values."""
    rows = frame.hash_rows(seed=0).to_numpy()
    return sha256(str(frame.schema).encode() + rows.tobytes())


def _file(path: Path) -> Source:
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [entry.name for entry in folder.iterdir()] + list(BUNDLED))
        raise InputError(
            f"there is no file '{path}'",
            expected=f"a CSV or Parquet file, or one of {', '.join(BUNDLED)}",
            remedy=near or "check the path",
        )
    if path.is_dir():
        raise InputError(f"'{path}' is a folder", expected="a CSV or Parquet file")
    if path.stat().st_size == 0:
        raise InputError(f"'{path}' is empty", expected="a header and at least a few rows", received="0 bytes")
    content = path.read_bytes()
    if path.suffix.lower() in (".parquet", ".pq") or content[:4] == b"PAR1":
        frame = _parquet(content, path.name)
        return Source(frame, path.name, str(path), sha256(content))
    frame, notes = parse_csv(content, path.name)
    return Source(frame, path.name, str(path), sha256(content), notes)


def _parquet(content: bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(content))
    except Exception as error:
        raise InputError(
            f"'{name}' is not a whole Parquet file",
            received=str(error).splitlines()[0],
            remedy="it may have been cut short; copy or write it again",
        ) from error


def _stdin() -> Source:
    content = sys.stdin.buffer.read()
    if not content:
        raise InputError("standard input is empty", expected="CSV with a header")
    frame, notes = parse_csv(content, "standard input")
    return replace(Source(frame, "standard input", "standard input", sha256(content)), notes=notes)


def sniff(content: bytes, name: str) -> tuple[Dialect, tuple[str, ...]]:
    """Encoding, separator and decimal mark of a text file, and what should be said of them."""
    if b"\x00" in content[:_SNIFFED]:
        raise InputError(f"'{name}' is not a text file", expected="CSV or Parquet", received="binary data")
    notes = []
    try:
        content.decode("utf-8-sig")
        encoding = "utf-8-sig"
    except UnicodeDecodeError:
        encoding = "latin-1"
        notes.append(f"'{name}' is not UTF-8, so it is read as Latin-1")
    head = content[:_SNIFFED].decode(encoding, errors="replace")
    control = sum(ord(c) < 32 and c not in "\t\r\n\f" for c in head)
    if encoding == "latin-1" and control > len(head) // 100:
        raise InputError(f"'{name}' is not a text file", expected="CSV or Parquet", received="binary data")
    first = head.splitlines()[0] if head.strip() else ""
    counts = {mark: first.count(mark) for mark in (",", ";", "\t")}
    separator = max(counts, key=lambda mark: counts[mark]) if any(counts.values()) else ","
    decimal_comma = separator != "," and _uses_decimal_commas(head, separator)
    if separator != ",":
        notes.append(f"columns of '{name}' are separated by {'tabs' if separator == chr(9) else 'semicolons'}")
    if decimal_comma:
        notes.append(f"numbers of '{name}' are written with decimal commas")
    return Dialect(encoding, separator, decimal_comma), tuple(notes)


def _uses_decimal_commas(head: str, separator: str) -> bool:
    cells = [cell.strip().strip('"') for line in head.splitlines()[1:200] for cell in line.split(separator)]
    commas = sum(_is_number(cell.replace(",", ".", 1)) and "," in cell for cell in cells)
    points = sum(_is_number(cell) and "." in cell for cell in cells)
    return commas > points


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def parse_csv(content: bytes, name: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """A CSV file's table, all columns typed by their whole contents, and notes on how it was read."""
    dialect, notes = sniff(content, name)
    text = content.decode(dialect.encoding)
    header = _header(text, dialect, name)
    raw = _text_table(text, dialect, name, len(header))
    return typed(raw.rename(dict(zip(raw.columns, header, strict=True))), dialect), notes


def _header(text: str, dialect: Dialect, name: str) -> list[str]:
    header = next(csv.reader(io.StringIO(text), delimiter=dialect.separator), [])
    names = [column.strip() or f"column_{i + 1}" for i, column in enumerate(header)]
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"'{name}' has columns of the same name",
            expected="distinct column names",
            received=f"more than once: {', '.join(twice)}",
            remedy="rename or remove them",
        )
    return names


def _text_table(text: str, dialect: Dialect, name: str, width: int) -> pl.DataFrame:
    """All cells as text; a row with another number of cells than the header is named by its line."""
    try:
        frame = pl.read_csv(
            io.BytesIO(text.encode()),
            separator=dialect.separator,
            infer_schema=False,
            null_values=list(NULLS),
            encoding="utf8",
            truncate_ragged_lines=False,
        )
    except pl.exceptions.NoDataError:
        raise InputError(f"'{name}' is empty", expected="a header and at least a few rows") from None
    except pl.exceptions.PolarsError as error:
        _complain_of_ragged_rows(text, dialect, name, width)
        raise InputError(f"'{name}' cannot be read as CSV", received=str(error).splitlines()[0]) from None
    if frame.width != width or frame[frame.columns[-1]].null_count():
        _complain_of_ragged_rows(text, dialect, name, width)
    return frame


def _complain_of_ragged_rows(text: str, dialect: Dialect, name: str, width: int) -> None:
    reader = csv.reader(io.StringIO(text), delimiter=dialect.separator)
    for row in reader:
        if row and len(row) != width:
            raise InputError(
                f"line {reader.line_num} of '{name}' has {len(row)} cells",
                expected=f"{width} cells, as in the header",
                received=dialect.separator.join(row)[:80],
                remedy="correct that line; text that holds the separator must be in double quotes",
            )


def typed(frame: pl.DataFrame, dialect: Dialect) -> pl.DataFrame:
    """Text columns that hold nothing but numbers as numbers, the rest stripped of blanks."""
    return frame.with_columns([_typed(frame[name], dialect) for name in frame.columns])


def _typed(column: pl.Series, dialect: Dialect) -> pl.Series:
    if column.dtype != pl.String:
        return column
    column = column.str.strip_chars()
    marked = column.str.replace(",", ".", literal=True) if dialect.decimal_comma else column
    for dtype in (pl.Int64, pl.Float64):
        cast = marked.cast(dtype, strict=False)
        if cast.null_count() == column.null_count() and cast.null_count() < len(column):
            return cast
    return column


def read_batches(source: Any, rows: int) -> Iterator[pl.DataFrame]:
    """A table in batches of `rows`, so that a file larger than memory can be walked.

    Cells of a CSV stay text; the encoder casts them as its columns need. Anything but a file is
    read whole.
    """
    path = Path(source) if isinstance(source, (str, Path)) and str(source) not in ("-", *BUNDLED) else None
    if path is None or not path.exists() or path.is_dir() or path.stat().st_size == 0:
        yield from read_source(source).frame.iter_slices(rows)
        return
    with path.open("rb") as file:
        head = file.read(_SNIFFED)
    if head[:4] == b"PAR1":
        yield from _parquet_batches(path, rows)
        return
    yield from _csv_batches(path, head, rows)


def _parquet_batches(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    try:
        lazy = pl.scan_parquet(path)
        height = lazy.select(pl.len()).collect().item()
    except Exception as error:
        raise InputError(f"'{path.name}' is not a whole Parquet file", received=str(error).splitlines()[0]) from error
    for start in range(0, height, rows):
        yield lazy.slice(start, rows).collect()


def _csv_batches(path: Path, head: bytes, rows: int) -> Iterator[pl.DataFrame]:
    complete = head.rpartition(b"\n")[0] or head  # no half character at the end
    dialect, _ = sniff(complete, path.name)
    with path.open(encoding=dialect.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=dialect.separator)
        header = _header(complete.decode(dialect.encoding), dialect, path.name)
        next(reader, None)
        batch: list[list[str | None]] = []
        found = False
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"line {reader.line_num} of '{path.name}' has {len(row)} cells",
                    expected=f"{len(header)} cells, as in the header",
                )
            batch.append([None if cell.strip() in NULLS else cell.strip() for cell in row])
            if len(batch) == rows:
                yield _batch(batch, header, dialect)
                batch, found = [], True
        if batch:
            yield _batch(batch, header, dialect)
        elif not found:
            raise InputError(f"'{path.name}' has no rows", expected="a header and at least one row")


def _batch(rows: list[list[str | None]], header: list[str], dialect: Dialect) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
    return typed(frame, dialect) if dialect.decimal_comma else frame
