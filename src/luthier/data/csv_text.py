"""CSV as people write it: its encoding, separator and decimal mark found out, every complaint with its line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from luthier.data.numerals import with_points
from luthier.errors import InputError, in_a_line

SNIFFED = 65_536  # bytes looked at for the delimiter and the decimal mark


@dataclass(frozen=True)
class Dialect:
    """How a text file is written."""

    encoding: str
    separator: str
    decimal_comma: bool


def sniff(content: bytes, name: str) -> tuple[Dialect, tuple[str, ...]]:
    """Encoding, separator and decimal mark of a text file, and what should be said of them."""
    if b"\x00" in content[:SNIFFED]:
        raise InputError(f"'{name}' is not a text file", expected="CSV or Parquet", received="binary data")
    notes = []
    try:
        content.decode("utf-8-sig")
        encoding = "utf-8-sig"
    except UnicodeDecodeError:
        encoding = "latin-1"
        notes.append(f"'{name}' is not UTF-8, so it is read as Latin-1")
    head = content[:SNIFFED].decode(encoding, errors="replace")
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
    """A CSV file's table, its cells text as they are written, and notes on how it was read."""
    dialect, notes = sniff(content, name)
    text = content.decode(dialect.encoding)
    header = header_of(text, dialect, name)
    raw = _text_table(text, dialect, name, len(header))
    frame = raw.rename(dict(zip(raw.columns, header, strict=True)))
    return with_points(frame) if dialect.decimal_comma else frame, notes


def lines_of(text: Iterable[str], dialect: Dialect, name: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with the number of the line that it ends in. InputError where there are no rows to see."""
    reader = csv.reader(text, delimiter=dialect.separator)
    try:
        for row in reader:
            yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(
            f"line {reader.line_num + 1} of '{name}' cannot be read as CSV",
            expected="lines that end in a line feed, cells below 128 KiB, one encoding in the whole file",
            received=in_a_line(error),
        ) from None


def header_of(text: str, dialect: Dialect, name: str) -> list[str]:
    """The names of the columns; InputError where two are the same."""
    _, header = next(lines_of(io.StringIO(text), dialect, name), (1, []))
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
            encoding="utf8",
            truncate_ragged_lines=False,
        )
    except pl.exceptions.NoDataError:
        raise InputError(f"'{name}' is empty", expected="a header and at least a few rows") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _complain_of_ragged_rows(text, dialect, name, width)
        raise InputError(f"'{name}' cannot be read as CSV", received=in_a_line(error)) from None
    if frame.width != width or frame[frame.columns[-1]].null_count():
        _complain_of_ragged_rows(text, dialect, name, width)
    if frame.width != width:
        received = f"a header that can be read as {width} or as {frame.width} names, depending on its quotes"
        raise InputError(f"'{name}' cannot be read as CSV", expected="quotes around whole cells", received=received)
    return frame


def _complain_of_ragged_rows(text: str, dialect: Dialect, name: str, width: int) -> None:
    for line, row in lines_of(io.StringIO(text), dialect, name):
        if row and len(row) != width:
            raise InputError(
                f"line {line} of '{name}' has {len(row)} cells",
                expected=f"{width} cells, as in the header",
                received=dialect.separator.join(row)[:80],
                remedy="correct that line; text that holds the separator must be in double quotes",
            )
