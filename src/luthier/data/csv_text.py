"""CSV as people write it: rows of text cells as written, an empty cell null, every complaint with its line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from itertools import chain, islice
from pathlib import Path

import polars as pl

from luthier.data.csv_regular import read_regular
from luthier.data.dialect import LONGEST, MOST_TITLES, Dialect, sniff
from luthier.data.text_bytes import TextBytes, look_through
from luthier.errors import InputError
from luthier.messages import Message, joined

SNIFFED = 1 << 16  # bytes by which the dialect is found; more where they hold less than three lines
BLOCK = 1 << 24  # bytes that are read together
CELLS = 1 << 20  # that Python's csv reads together
NAMED = 8  # columns that are named
_END = "\0end"  # two cells of it are a row after the last one: an open quote would swallow its separator


@dataclass(frozen=True)
class CsvFile:
    """A file of rows, or its content, and how it is written. Read as a whole or piece by piece, its cells are the
    same: those that Python's csv module gives."""

    content: TextBytes
    dialect: Dialect

    @property
    def notes(self) -> tuple[str, ...]:
        """A line on how it is read, where it is not plain CSV."""
        result = (*self.dialect.in_words, *self.content.in_words)
        return (
            (Message("'{name}' is read as: {names}", name=self.content.name, names=", ".join(result)),)
            if result
            else ()
        )

    @property
    def columns(self) -> list[str]:
        """The names of its columns. InputError where two are the same."""
        return self._header[0]

    def frame(self) -> pl.DataFrame:
        """All rows: columns of text. InputError where there are none, or one has another number of cells."""
        return pl.concat(self.frames())

    def frames(self, block: int = BLOCK) -> Iterator[pl.DataFrame]:
        """All rows, those of `block` bytes at a time; see `frame`."""
        rows = 0
        for frame in self._frames(block):
            rows += frame.height
            if frame.height:
                yield frame
        if not rows:
            raise InputError(
                Message("'{name}' has no rows", name=self.content.name), expected="a header and at least a few rows"
            )

    @cached_property
    def _header(self) -> tuple[list[str], int, int]:
        """The names of the columns, the bytes of the header and of what is above it, and the line below it."""
        sizes: list[int] = []

        def lines() -> Iterator[str]:
            for line in _lines(self.content.pieces()):
                sizes.append(len(line.encode()))
                yield line

        rows = self.dialect.numbered(islice(lines(), self.dialect.titles, None), self.content.name)
        cells = next((row for _, row in rows if not _is_blank(row)), None)
        if cells is None:
            raise InputError(
                Message("'{name}' is empty", name=self.content.name), expected="a header and at least a few rows"
            )
        return named(cells, self.content.name), sum(sizes), len(sizes) + 1

    def _frames(self, block: int) -> Iterator[pl.DataFrame]:
        """Blocks of regular rows by Polars; from the first other one on, Python's csv reads to the end."""
        columns, start, line = self._header
        pieces, rest = chain(_from(self.content.pieces(block), start), [b""]), b""
        regular, enough = not (self.dialect.escaped or self.dialect.spaced), 0
        for piece in pieces:
            rest += piece
            if piece and len(rest) < enough:
                continue
            if not piece and rest and not rest.endswith(b"\n"):
                rest += b"\n"
            result = read_regular(rest, self.dialect.separator, columns) if regular and len(rest) < LONGEST else None
            if result is None:
                yield from self._by_csv(chain([rest], pieces), line)
                return
            frame, end = result
            yield frame
            line += _ends(rest[:end])
            rest = rest[end:]
            enough = 0 if end else 2 * len(rest)  # a row is longer than a block
        if rest:
            yield from self._by_csv([rest], line)

    def _by_csv(self, pieces: Iterable[bytes], first: int) -> Iterator[pl.DataFrame]:
        name, width = self.content.name, len(self.columns)
        rows: list[list[str]] = []
        end = self.dialect.separator.join([_END, _END])
        for line, row in self.dialect.numbered(chain(_lines(pieces), [end]), name, first):
            if row == [_END, _END]:
                break
            if row and row[-1].endswith(_END):
                raise InputError(
                    Message("the quote that opens in line {line:,} of '{name}' is never closed", line=line, name=name),
                    expected="quotes around whole cells; a quote inside of one is doubled",
                    received=row[-1].removesuffix(end).strip()[:60],
                    remedy="correct that line",
                )
            if len(row) == width:
                rows.append(row)
            elif not _is_blank(row):
                raise self._ragged(line, row)
            if len(rows) * width >= CELLS:
                yield _from_rows(rows, self.columns)
                rows = []
        yield _from_rows(rows, self.columns)

    def _ragged(self, line: int, row: Sequence[str]) -> InputError:
        remedy = "correct that line; text that holds the separator must be in double quotes"
        if line <= MOST_TITLES + 1 and len(row) > len(self.columns):
            remedy = joined([Message(remedy), Message("lines above the header must go")])
        return InputError(
            Message("line {line:,} of '{name}' has {count} cells", line=line, name=self.content.name, count=len(row)),
            expected=Message("{count} cells, as in the header", count=len(self.columns)),
            received=self.dialect.separator.join(row)[:80],
            remedy=remedy,
        )


def open_csv(source: Path | bytes, name: str, dialect: Dialect | None = None) -> CsvFile:
    """A file of rows, or its content: how it is packed, encoded and written, unless its `dialect` is known.

    InputError where it is not text.

    >>> open_csv(b"a;b\\n1,5;x\\n", "x.csv").frame().rows()
    [('1,5', 'x')]
    """
    content = look_through(source, name)
    if dialect is not None:
        return CsvFile(content, dialect)
    head, truncated = b"", False
    for piece in content.pieces(SNIFFED):
        if len(head) >= SNIFFED and (head.count(b"\n") + head.count(b"\r") > 2 or len(head) > LONGEST):
            truncated = True
            break
        head += piece
    return CsvFile(content, sniff(head.decode(errors="ignore"), truncated=truncated))


def named(cells: Sequence[str], name: str) -> list[str]:
    """The names of columns by the cells of a header. InputError where two are the same, or one is a pattern.

    >>> named(["size ", ""], "x.csv")
    ['size', 'column_2']
    """
    names = [cell.strip() or f"column_{i + 1}" for i, cell in enumerate(cells)]
    require_names(names, f"'{name}'")
    return names


def require_names(names: Iterable[str], what: str) -> None:
    """InputError for columns of the same name, and for names that Polars takes for a pattern of names."""
    names = list(names)
    patterns = [name for name in names if name == "*" or (name.startswith("^") and name.endswith("$"))]
    if patterns:
        raise InputError(
            Message("{what} has columns whose names stand for other columns", what=what),
            expected="names other than * and ^...$",
            received=", ".join(patterns[:NAMED]),
            remedy="rename them",
        )
    twice = [column for column, count in Counter(names).items() if count > 1]
    if twice:
        more = f" and {len(twice) - NAMED} more" if len(twice) > NAMED else ""
        raise InputError(
            Message("{what} has columns of the same name", what=what),
            expected="distinct column names",
            received=Message("more than once: {names}{more}", names=", ".join(twice[:NAMED]), more=more),
            remedy="rename or remove them",
        )


def _is_blank(row: Sequence[str]) -> bool:
    """Whether a line holds nothing; a row of separators is a row, with nothing in its cells."""
    return len(row) < 2 and not "".join(row).strip()


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines with their ends, which are carriage returns, line feeds or both."""
    rest = b""
    for piece in pieces:
        rest += piece
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1  # a feed may follow a return at the very end
        yield from StringIO(rest[:end].decode(), newline="")
        rest = rest[end:]
    yield from StringIO(rest.decode(), newline="")


def _ends(text: bytes) -> int:
    """How many lines end in a text."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def _from(pieces: Iterable[bytes], start: int) -> Iterator[bytes]:
    """A text from one byte on."""
    for piece in pieces:
        if piece[start:]:
            yield piece[start:]
        start = max(0, start - len(piece))


def _from_rows(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> pl.DataFrame:
    cells = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return pl.DataFrame(
        [
            pl.Series(name, [cell or None for cell in column], dtype=pl.String)
            for name, column in zip(columns, cells, strict=True)
        ]
    )
