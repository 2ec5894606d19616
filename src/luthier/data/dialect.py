"""How the rows of a text file are written, found once from its first lines: separator, quotes, lines above the header.

Python's csv module says what a cell is. Each separator is tried; the one that makes the most rows equally long wins.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from luthier.errors import InputError, in_a_line
from luthier.messages import Message

SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}  # that are tried, the likeliest first
MOST_TITLES = 20  # lines above the header
LOOKED_AT = 200  # rows whose cells are looked at
LONGEST = 1 << 28  # bytes of a cell
_NAMED = re.compile(r'"?sep=(\\t|\t|[^\w\s"\\])"?\s*', re.IGNORECASE)
_DECIMAL_POINT = re.compile(r"[-+]?\d*\.\d+(e[-+]?\d+)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?(\d*|\d{1,3}(\.\d{3})+),\d+(e[-+]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}([.,]\d{3})+")
_NUMBER = re.compile(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Dialect:
    """How a text file is written.

    `decimal` is the mark that its numbers show, "." or ","; empty where they show none. `titles` lines stand above the
    header, the first of them may be `sep=;`. With `escaped` a backslash takes the meaning from the character after it;
    with `spaced` a quoted cell may have blanks before its quote.
    """

    separator: str = ","
    decimal: str = ""
    titles: int = 0
    names_separator: bool = False
    escaped: bool = False
    spaced: bool = False

    def numbered(self, lines: Iterable[str], name: str = "", first: int = 1) -> Iterator[tuple[int, list[str]]]:
        """The cells of each row, and the number of the line that it begins in, counted from `first`.

        Read by Python's csv module: the definition that faster readers must agree with. InputError for a cell that
        no memory should hold.
        """
        csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
        escape = "\\" if self.escaped else None
        reader = csv.reader(lines, delimiter=self.separator, escapechar=escape, skipinitialspace=self.spaced)
        line = first
        try:
            for row in reader:
                yield line, row
                line = first + reader.line_num
        except csv.Error as error:
            raise InputError(
                Message("line {line:,} of '{name}' cannot be read as CSV", line=line, name=name),
                expected=Message("cells of at most {longest} MiB", longest=LONGEST >> 20),
                received=in_a_line(error),
                remedy="a quote that opens there may never be closed",
            ) from None

    def rows(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The cells of each row."""
        return (row for _, row in self.numbered(lines))

    @property
    def in_words(self) -> tuple[str, ...]:
        """Whatever is not plain CSV."""
        skipped = self.titles - self.names_separator
        result = {
            Message("separator {mark}", mark=Message(SEPARATORS.get(self.separator, repr(self.separator)))): (
                self.separator != ","
            ),
            Message("decimal commas"): self.decimal == ",",
            Message("backslashes as escapes"): self.escaped,
            Message("quotes after blanks"): self.spaced,
            Message("its first line names the separator"): self.names_separator,
            Message("{count} title lines skipped" if skipped > 1 else "{count} title line skipped", count=skipped): (
                skipped > 0
            ),
        }
        return tuple(words for words, holds in result.items() if holds)


def sniff(text: str, *, truncated: bool = False) -> Dialect:
    """The dialect of a file that begins so; the last row of a `truncated` text is not looked at.

    >>> found = sniff("Sales of May\\n\\nname;price\\nMüller, Hans;1,5\\nMaier, Eva;2,5\\n")
    >>> found.in_words
    ("separator ';'", 'decimal commas', '2 title lines skipped')
    """
    lines = list(io.StringIO(text, newline=""))
    named = _NAMED.fullmatch(lines[0]) if lines else None
    separators = ["\t" if "t" in named[1] else named[1]] if named else list(SEPARATORS)
    tried = [
        _Tried.best(lines, Dialect(separator, names_separator=named is not None), truncated) for separator in separators
    ]
    best = max(tried, key=lambda one: one.rank)
    if best.width < 2 and not named:
        first = next((line for line in lines if line.strip()), "")
        best = max(tried, key=lambda one: first.count(one.dialect.separator))
    dialect = best.dialect
    body = "".join(lines[dialect.titles :])
    return replace(
        dialect,
        decimal=_decimal_mark(best.rows[1:LOOKED_AT], dialect.separator),
        escaped=dialect.escaped or _escapes_quotes(body, dialect.separator),
        spaced=_quotes_after_blanks(body, dialect.separator),
    )


@dataclass(frozen=True)
class _Tried:
    """The first rows as one dialect reads them: most have `width` cells, these are a `share` of all lines' rows."""

    dialect: Dialect
    rows: Sequence[Sequence[str]]
    width: int
    share: float

    @classmethod
    def best(cls, lines: Sequence[str], dialect: Dialect, truncated: bool) -> _Tried:
        """With backslashes before separators as escapes only where that makes more rows equally long."""
        plain = cls._of(lines, dialect, truncated)
        if not any("\\" + dialect.separator in line for line in lines):
            return plain
        escaped = cls._of(lines, replace(dialect, escaped=True), truncated)
        return escaped if escaped.rank[:3] > plain.rank[:3] else plain

    @classmethod
    def _of(cls, lines: Sequence[str], dialect: Dialect, truncated: bool) -> _Tried:
        """Without the lines above the header, where what is below bears them out."""
        start = int(dialect.names_separator)
        whole = cls._below(lines, start, 0, dialect, truncated)
        for width in (2, whole.width):
            titles = _titles(lines[start:], dialect, width)
            if width > 2 and titles and lines[start + titles - 1].strip():
                continue  # a title with separators has a blank line below it; else it is a header that is too short
            below = cls._below(lines, start, titles, dialect, truncated) if titles else whole
            if titles and len(below.rows) > 1 and below.agrees and below.width > 1 and below.share > 0.5:
                return below
        return whole

    @classmethod
    def _below(cls, lines: Sequence[str], start: int, titles: int, dialect: Dialect, truncated: bool) -> _Tried:
        skipped = sum(bool(line.strip()) for line in lines[start : start + titles])
        dialect = replace(dialect, titles=start + titles)
        rows = list(dialect.rows(lines[dialect.titles :]))
        rows = [row for row in (rows[:-1] if truncated and len(rows) > 1 else rows) if row]
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        return cls(dialect, rows, width, count / max(1, len(rows) + skipped))

    @property
    def agrees(self) -> bool:
        """Whether the header is as long as most rows."""
        return bool(self.rows) and len(self.rows[0]) == self.width

    @property
    def rank(self) -> tuple[bool, bool, float, float, int]:
        """What is compared between dialects, the most telling first."""
        return self.width > 1, self.agrees, self.share, _tidy(self.rows[1:LOOKED_AT]), self.width


def _titles(lines: Sequence[str], dialect: Dialect, width: int) -> int:
    """How many lines stand above the first with so many cells, two of them filled.

    None where all of them are blank or a quote opens there; a spreadsheet fills them up with separators, which is a
    title only beside three columns or more.
    """
    for count, line in enumerate(lines[: MOST_TITLES + 1]):
        cells = next(dialect.rows([line]), [])
        if len(cells) < width or sum(bool(cell.strip()) for cell in cells) < 2:
            continue
        above = lines[:count]
        padded = any(dialect.separator in one for one in above)
        unsure = any(one.count('"') % 2 for one in above) or not "".join(above).strip()
        return 0 if unsure or (padded and len(cells) < 3) else count
    return 0


def _tidy(rows: Sequence[Sequence[str]]) -> float:
    """The share of cells that are numbers, or hold none of the separators."""
    cells = [cell.strip() for row in rows for cell in row]
    tidy = sum(bool(_NUMBER.fullmatch(cell)) or not any(mark in cell for mark in SEPARATORS) for cell in cells)
    return tidy / max(1, len(cells))


def _decimal_mark(rows: Sequence[Sequence[str]], separator: str) -> str:
    """The decimal mark of most numbers with a fraction; empty where cells do not show it.

    1,234 and 1.234 may be thousands: the one counts only beside semicolons, which people use where the comma is the
    decimal mark, the other only beside commas.
    """
    cells = [cell.strip() for row in rows for cell in row]
    commas, points = (
        sum(bool(written.fullmatch(cell)) and (separator == sure or not _THOUSANDS.fullmatch(cell)) for cell in cells)
        for written, sure in ((_DECIMAL_COMMA, ";"), (_DECIMAL_POINT, ","))
    )
    if commas > points:
        return "," if separator != "," else ""
    return "." if points > commas else ""


def _escapes_quotes(text: str, separator: str) -> bool:
    """Whether a quoted cell holds a backslash and a quote that does not end it; a doubled quote is none."""
    mark = re.escape(separator)
    return bool(re.search(rf'(?:^|{mark})"(?:[^"\\]|\\.)*\\"[^{mark}\r\n"]', text, re.MULTILINE | re.DOTALL))


def _quotes_after_blanks(text: str, separator: str) -> bool:
    """Whether cells are quoted after blanks, all of them to their ends."""
    mark = re.escape(separator)
    if not re.search(rf'{mark} +"', text):
        return False
    cell = re.compile(rf'(?:"(?:[^"]|"")*"|[^{mark}\r\n]*)(?:{mark}|\r?\n|\r|\Z)')
    starts = [
        result.start()
        for result in cell.finditer(text)
        if result[0].lstrip(" ").startswith('"') and result[0][0] == " "
    ]
    whole = re.compile(rf' +"(?:[^"]|"")*" *(?:{mark}|\r|\n|\Z)')
    return bool(starts) and all(whole.match(text, start) for start in starts)
