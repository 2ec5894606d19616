"""Numbers as people write them: 1,163.74; $1,200; 12.5 %; 1.234,56; (1,234); 12 kg; a minus sign of U+2212.

The style of a column is found once, from all its cells, and said; every later cell is read in that style.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import polars as pl

# The decimal mark and what stands between thousands, likeliest first: 1,234 is more often a thousand than a fraction.
MARKS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", "'"), (",", "'"), (".", " "), (",", " "))
Table = TypeVar("Table", pl.DataFrame, pl.LazyFrame)
SAMPLED = 500  # cells that suggest a style, which all cells then must follow
MINUS = "\u2212\u2010\u2011\u2012\u2013"  # signs that stand for a minus
BLANKS = " \u00a0\u202f\u2009"
APOSTROPHES = "'\u2019"
CURRENCIES = (
    *(
        "$",
        "€",
        "£",
        "¥",
        "₹",
        "₩",
        "₽",
        "₺",
        "₫",
        "₪",
        "฿",
        "zł",
        "kr",
        "Fr.",
        "R$",
        "US$",
        "Rs.",
        "USD",
        "EUR",
        "GBP",
    ),
    *("JPY", "CHF", "CNY", "RMB", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN"),
)
UNITS = (
    *("%", "‰", "°", "°C", "°F", "kg", "g", "mg", "lb", "lbs", "oz", "km", "m", "cm", "mm", "mi", "ft", "in", "m²"),
    *("m2", "sqm", "sqft", "km/h", "mph", "l", "ml", "kWh", "kW", "W", "V", "Hz", "kHz", "MHz", "GHz", "KB", "MB"),
    *("GB", "TB", "px", "ms", "s", "min", "h", "bar", "hPa", "kPa", "mmHg", "ppm", "bpm"),
)
_CELL = re.compile(
    rf"(?P<open>\()?\s*[-+]?\s*(?P<before>[^\d\s.,()+\-][^\d+\-]{{0,3}})??\s*[-+]?"
    rf"(?P<number>[.,]?\d(?:[\d.,{BLANKS}{APOSTROPHES}]*\d)?[.,]?)"
    r"(?P<after>\s*[^\d\s.,()]\D{0,11})??\s*(?P<close>\))?"
)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?")


@dataclass(frozen=True)
class NumberStyle:
    """How a column's numbers are written: the decimal mark, what stands between thousands ("": nothing), what stands
    before and after them, and whether brackets mean a minus. A `clock` is a time of day, in seconds since midnight."""

    decimal: str = "."
    thousands: str = ""
    before: str = ""
    after: str = ""
    brackets: bool = False
    clock: bool = False

    @property
    def plain(self) -> bool:
        """Whether this is how programs write numbers."""
        return self == NumberStyle()

    @property
    def in_words(self) -> str:
        """What is cleaned from a cell before it is a number; empty for plain numbers."""
        message = [f"'{affix}' is left out" for affix in (self.before, self.after) if affix]
        if self.thousands:
            message.append(f"'{self.thousands}' stands between thousands")
        if self.decimal != ".":
            message.append("the decimal mark is a comma")
        if self.brackets:
            message.append("brackets mean a minus")
        if self.clock:
            message.append("a time of day counts in seconds since midnight")
        return ", ".join(message)

    def number(self, text: pl.Expr) -> pl.Expr:
        """Text without blanks around it as Float64; null where it is not a number.

        >>> cells = pl.DataFrame({"x": ["$1,200", "(3)", "4.5", "many", "1,20"]})
        >>> style = NumberStyle(thousands=",", before="$", brackets=True)
        >>> cells.select(style.number(pl.col("x")))["x"].to_list()
        [1200.0, -3.0, 4.5, None, None]
        """
        if self.clock:
            return _clock(text)
        text = text.str.replace_all(f"[{MINUS}]", "-")
        if self.brackets:
            text = text.str.replace(r"^\((.*)\)$", "-${1}")
        if self.before:
            text = text.str.replace(rf"^([-+]?)\s*{re.escape(self.before)}\s*", "${1}")
        if self.after:
            text = text.str.replace(rf"\s*{re.escape(self.after)}$", "")
        decimal = re.escape(self.decimal)
        if self.thousands:
            group = f"[{_alike(self.thousands)}]"
            grouped = rf"^[-+]?[1-9]\d{{0,2}}(?:{group}\d{{3}})+(?:{decimal}\d*)?$"
            text = pl.when(text.str.contains(grouped)).then(text.str.replace_all(group, "")).otherwise(text)
        if self.decimal != ".":
            written = rf"^[-+]?\d*{decimal}\d*$"
            pointed = pl.when(text.str.contains(written)).then(text.str.replace(self.decimal, ".", literal=True))
            # A point is a plain number's, unless it stands between thousands: there 1.5 is no number at all.
            text = pointed.when(text.str.contains(r"\.") & pl.lit(self.thousands == ".")).then(None).otherwise(text)
        return text.cast(pl.Float64, strict=False)

    def regular(self, text: pl.Expr) -> pl.Expr:
        """`number` of text that is written as programs write this style, null for all other text: one look, no search.

        >>> cells = pl.DataFrame({"x": ["$1,200", "-$3.5", "(3)", "$ 4", " $5"]})
        >>> cells.select(NumberStyle(thousands=",", before="$").regular(pl.col("x")))["x"].to_list()
        [1200.0, -3.5, None, None, None]
        """
        if self.clock:
            return _clock(text)
        whole = rf"[1-9]\d{{0,2}}(?:{re.escape(self.thousands)}\d{{3}})+|\d+" if self.thousands else r"\d+"
        written = rf"^-?{re.escape(self.before)}(?:{whole})(?:{re.escape(self.decimal)}\d+)?{re.escape(self.after)}$"
        bare = text
        for affix in (self.before, self.after, self.thousands):
            bare = bare.str.replace_all(affix, "", literal=True) if affix else bare
        bare = bare if self.decimal == "." else bare.str.replace(self.decimal, ".", literal=True)
        return pl.when(text.str.contains(written)).then(bare.cast(pl.Float64, strict=False))

    def to_json(self) -> dict[str, Any]:
        """What is not plain, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value != getattr(NumberStyle(), name)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NumberStyle:
        """The style that `to_json` gave."""
        return cls(**value)


def style_of(cells: Sequence[str]) -> NumberStyle | None:
    """The style that distinct cells are written in, those that are not numbers left aside; None where there is none.

    >>> style_of(["1.234,56", "999,00"])
    NumberStyle(decimal=',', thousands='.', before='', after='', brackets=False, clock=False)
    >>> style_of(["k1", "k2"]) is None
    True
    """
    result = [match for cell in cells[:SAMPLED] if (match := _CELL.fullmatch(_without_minus(cell)))]
    if not result:
        return NumberStyle(clock=True) if all(map(_CLOCK.fullmatch, cells[:SAMPLED])) else None
    before, after = ({(match[side] or "").strip() for match in result} - {""} for side in ("before", "after"))
    apart = all(match["after"] is None or match["after"][0] in BLANKS for match in result)
    if len(before) > 1 or len(after) > 1:
        return None
    start, end = "".join(before), "".join(after)
    if start and start not in CURRENCIES:
        return None
    if end and end not in (*CURRENCIES, *UNITS) and not (apart and all(match["after"] for match in result)):
        return None
    marks = _marks([match["number"] for match in result])
    if marks is None:
        return None
    return NumberStyle(*marks, start, end, any(match["open"] and match["close"] for match in result))


def _clock(cell: pl.Expr) -> pl.Expr:
    """A time of day, 12:30 or 12:30:15.5, in seconds since midnight."""
    parts = cell.str.extract_groups(f"^{_CLOCK.pattern}$").struct
    hours, minutes, seconds = (parts.field(str(k)).cast(pl.Float64) for k in (1, 2, 3))
    return hours * 3600 + minutes * 60 + seconds.fill_null(0)


def _without_minus(cell: str) -> str:
    return re.sub(f"[{MINUS}]", "-", cell)


def _marks(numbers: Iterable[str]) -> tuple[str, str] | None:
    """The decimal mark and what stands between thousands; None where the numbers do not agree."""
    numbers = list(numbers)
    fitting = (marks for marks in MARKS if all(_fits(number, *marks) for number in numbers))
    return next(fitting, None)


def _fits(number: str, decimal: str, thousands: str) -> bool:
    point = re.escape(decimal)
    fraction = rf"(?:\d*{point}?\d*(?:[eE][-+]?\d+)?)"
    grouped = rf"|[1-9]\d{{0,2}}(?:[{_alike(thousands)}]\d{{3}})+(?:{point}\d*)?" if thousands else ""
    return re.fullmatch(fraction + grouped, number) is not None


def _alike(thousands: str) -> str:
    """The characters, for a regular expression's class, that stand between thousands where this one does."""
    alike = BLANKS if thousands in BLANKS else APOSTROPHES if thousands in APOSTROPHES else thousands
    return re.escape(alike)


def with_points(frame: Table) -> Table:
    """A table of text from a file of decimal commas: cells that are numbers get points, cell by cell.

    >>> with_points(pl.DataFrame({"x": ["1,5", "1.234,56", "2.000", "a, b"]}))["x"].to_list()
    ['1.5', '1234.56', '2000', 'a, b']
    """
    texts = [name for name, dtype in frame.collect_schema().items() if dtype == pl.String]
    return frame.with_columns([_with_points(pl.col(name)).alias(name) for name in texts])


def _with_points(cell: pl.Expr) -> pl.Expr:
    text = cell.str.strip_chars()
    number = r"^[-+]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?(?:[eE][-+]?\d+)?$"
    cleaned = text.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    return pl.when(text.str.contains(number)).then(cleaned).otherwise(cell)
