"""Numbers as people write them: 1,163.74; $1,200; 12.5 %; 1.234,56; (1,234); 12 kg; 1.2M; a minus sign of U+2212.

The style of a column is found once, from all its cells, and said; every later cell is read in that style.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from luthier.messages import Message, joined
from luthier.records import JsonObject

# The decimal mark and what stands between thousands, likeliest first: 1,234 is more often a thousand than a fraction.
MARKS = ((".", ""), (".", ","), (",", ""), (",", "."), (".", "'"), (",", "'"), (".", " "), (",", " "))
OF_COMMAS = ((",", "."), (",", "'"), (",", " "))  # tried first where a file's other numbers have decimal commas
SAMPLED = 500  # cells that suggest a style, which all cells then must follow
MINUS = "\u2212\u2010\u2011\u2012\u2013"  # signs that stand for a minus
BLANKS = " \u00a0\u202f\u2009"
APOSTROPHES = "'\u2019"
# Signs of East Asian keyboards, as wide as a character: what they are, and what programs write.
WIDE = dict(zip("０１２３４５６７８９．，－＋％（）￥＄", "0123456789.,-+%()¥$", strict=True))
CURRENCIES = (
    *("$", "€", "£", "¥", "₹", "₩", "₽", "₺", "₫", "₪", "฿", "₿", "zł", "kr", "Fr.", "R$", "US$", "Rs.", "Rs"),
    *("USD", "EUR", "GBP", "JPY", "CHF", "CNY", "RMB", "INR", "AUD", "CAD", "NZD", "SEK", "NOK", "DKK", "PLN"),
)
UNITS = (
    *("%", "‰", "°", "°C", "°F", "kg", "g", "mg", "lb", "lbs", "oz", "km", "m", "cm", "mm", "mi", "ft", "in", "m²"),
    *("m2", "sqm", "sqft", "km/h", "mph", "l", "ml", "kWh", "kW", "W", "V", "Hz", "kHz", "MHz", "GHz", "KB", "MB"),
    *("GB", "TB", "px", "ms", "s", "min", "h", "bar", "hPa", "kPa", "mmHg", "ppm", "bpm"),
)
_POWERS = (("k", 3), ("m", 6), ("b", 9), ("bn", 9), ("kb", 3), ("mb", 6), ("gb", 9), ("tb", 12))
_POWERS_CHINESE = (("千", 3), ("万", 4), ("萬", 4), ("亿", 8), ("億", 8))
MAGNITUDES = {letters: 10.0**power for letters, power in (*_POWERS, *_POWERS_CHINESE)}  # in any case, after a number
_CELL = re.compile(
    rf"(?P<open>\()?\s*[-+]?\s*(?P<before>[^\d\s.,()+\-][^\d+\-(]{{0,3}})??\s*(?P<inner>\()?[-+]?"
    rf"(?P<number>[.,]?\d(?:[\d.,{BLANKS}{APOSTROPHES}]*\d)?[.,]?(?:[eE][-+]?\d+)?)"
    r"(?P<after>\s*[^\d\s.,()\-]\D{0,11})??(?P<minus>\s?-)?\s*(?P<close>\))?"
)
_CLOCK = re.compile(r"(?:(\d{1,6}) days?,? )?(\d{1,3}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?(?:\s?([AaPp])[Mm])?")


@dataclass(frozen=True)
class NumberStyle:
    """How a column's numbers are written: the decimal mark, what stands between thousands ("": nothing), what stands
    before and after them, and whether brackets mean a minus, or one may stand after the number. With `magnitudes` 1.2K
    is 1200. A `clock` is a time of day or a length of time, in seconds."""

    decimal: str = "."
    thousands: str = ""
    before: str = ""
    after: str = ""
    brackets: bool = False
    clock: bool = False
    minus_after: bool = False
    magnitudes: bool = False

    @property
    def plain(self) -> bool:
        """Whether this is how programs write numbers."""
        return self == NumberStyle()

    @property
    def in_words(self) -> str:
        """What is cleaned from a cell before it is a number; empty for plain numbers."""
        message: list[str] = [Message("'{affix}' is left out", affix=one) for one in (self.before, self.after) if one]
        if self.thousands:
            message.append(Message("'{mark}' stands between thousands", mark=self.thousands))
        if self.decimal != ".":
            message.append(Message("the decimal mark is a comma"))
        if self.brackets:
            message.append(Message("brackets mean a minus"))
        if self.minus_after:
            message.append(Message("a minus may stand after the number"))
        if self.magnitudes:
            message.append(Message("K, M and B stand for thousands, millions and billions"))
        if self.clock:
            message.append(Message("hours and minutes count in seconds since midnight"))
        return joined(message, "{first}, {rest}")

    @property
    def rewrites(self) -> list[tuple[str, str]]:
        """What is taken away around a tidied number, in order: regular expressions, and what stands for their match."""
        return [
            *([(r"^([^(]{0,4})\((.*)\)$", "-${1}${2}")] if self.brackets else []),
            *([(r"^([^-]*\d[^-]*?)\s?-$", "-${1}")] if self.minus_after else []),
            *([(rf"^([-+]?)\s*{re.escape(self.before)}\s*", "${1}")] if self.before else []),
            *([(rf"\s*{re.escape(self.after)}$", "")] if self.after else []),
        ]

    def number(self, text: pl.Expr) -> pl.Expr:
        """Text without blanks around it as Float64; null where it is not a number.

        >>> cells = pl.DataFrame({"x": ["$1,200", "(3)", "4.5", "many", "1,20"]})
        >>> style = NumberStyle(thousands=",", before="$", brackets=True)
        >>> cells.select(style.number(pl.col("x")))["x"].to_list()
        [1200.0, -3.0, 4.5, None, None]
        """
        if self.clock:
            return _clock(text)
        text, scale = _tidied(text), pl.lit(1.0)
        for written, plain in self.rewrites:
            text = text.str.replace(written, plain)
        if self.magnitudes:
            letters = text.str.extract(r"\d[.,]?\s?([^\d\s.,]{1,2})$").str.to_lowercase()
            scale = letters.replace_strict(MAGNITUDES, default=None, return_dtype=pl.Float64)
            scale = pl.when(letters.is_null()).then(1.0).otherwise(scale)
            text = text.str.replace(r"(\d[.,]?)\s?[^\d\s.,]{1,2}$", "${1}")
        if self.thousands:
            grouped = text.str.contains(f"^[-+]?{grouped_in(self.decimal, self.thousands)}$")
            alone = text.str.replace_all(f"[{alike(self.thousands)}]", "")
            text = pl.when(grouped).then(alone).otherwise(text)
        if self.decimal != ".":
            written = rf"^[-+]?\d*{re.escape(self.decimal)}\d*(?:[eE][-+]?\d+)?$"
            pointed = pl.when(text.str.contains(written)).then(text.str.replace(self.decimal, ".", literal=True))
            # A point is a plain number's, unless it stands between thousands: there 1.5 is no number at all.
            text = pointed.when(text.str.contains(r"\.") & pl.lit(self.thousands == ".")).then(None).otherwise(text)
        return text.cast(pl.Float64, strict=False) * scale

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

    def to_json(self) -> JsonObject:
        """What is not plain, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value != getattr(NumberStyle(), name)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NumberStyle:
        """The style that `to_json` gave."""
        return cls(**value)


def style_of(cells: Sequence[str], decimal: str = "") -> NumberStyle | None:
    """The style that distinct cells are written in, those that are not numbers left aside; None where there is none.

    1.234 is one thousand and more where `decimal`, the mark of the file's numbers, is a comma.

    >>> style_of(["1.234,56", "999,00"]).in_words
    "'.' stands between thousands, the decimal mark is a comma"
    >>> style_of(["k1", "k2"]) is None
    True
    """
    result = [match for cell in cells[:SAMPLED] if (match := _CELL.fullmatch(tidied(cell)))]
    if not result:
        return NumberStyle(clock=True) if _are_times(cells[:SAMPLED]) else None
    before, after = ({affixes[side] for match in result if (affixes := _affixes(match))[side]} for side in (0, 1))
    magnitudes = _are_magnitudes(after)
    if len(before) > 1 or (len(after) > 1 and not magnitudes):
        return None
    start, end = "".join(before), "" if magnitudes else "".join(after)
    if start and start not in CURRENCIES:
        return None
    # A unit that is not known stands after every number, and after a blank where its language has blanks.
    apart = all(match["after"] and (match["after"][0] in BLANKS or not end.isascii()) for match in result)
    if end and end not in (*CURRENCIES, *UNITS) and not apart:
        return None
    marks = _marks([match["number"] for match in result], decimal)
    if marks is None:
        return None
    brackets = any((match["open"] or match["inner"]) and match["close"] for match in result)
    minus_after = any(match["minus"] for match in result)
    return NumberStyle(*marks, start, end, brackets, minus_after=minus_after, magnitudes=magnitudes)


def commonest_style(cells: Sequence[str], decimal: str = "") -> NumberStyle | None:
    """The style of the cells that have the commonest signs before and after their numbers, as `style_of`.

    >>> commonest_style(["12 kg", "3 lb", "7 kg"]).in_words
    "'kg' is left out"
    """
    affixes = {cell: _affixes(match) for cell in cells if (match := _CELL.fullmatch(tidied(cell)))}
    counts = Counter(affixes.values()).most_common(1)
    return style_of([cell for cell, signs in affixes.items() if signs == counts[0][0]] if counts else cells, decimal)


def _affixes(match: re.Match[str]) -> tuple[str, str]:
    return (match["before"] or "").strip(), (match["after"] or "").strip()


def _are_magnitudes(after: set[str]) -> bool:
    """Whether letters after numbers multiply them; one of them alone may be a unit, 5 m."""
    return (
        bool(after) and {one.lower() for one in after} <= set(MAGNITUDES) and (len(after) > 1 or not after & {*UNITS})
    )


def _are_times(cells: Sequence[str]) -> bool:
    """Whether all are times of day or lengths of time; 75:30 beside 1:02:30 would be minutes, which is not guessed."""
    known = [match for cell in cells if (match := _CLOCK.fullmatch(cell))]
    mixed = len({match[4] is None for match in known}) > 1
    return len(known) == len(cells) and not (mixed and any(match[4] is None and int(match[2]) > 23 for match in known))


def _clock(cell: pl.Expr) -> pl.Expr:
    """12:30, 12:30:15.5, 1:30 PM or 2 days 03:00:00 in seconds."""
    parts = cell.str.extract_groups(f"^{_CLOCK.pattern}$").struct
    days, hours, minutes, seconds = (parts.field(str(k)).cast(pl.Float64) for k in (1, 2, 3, 4))
    half = parts.field("5").str.to_lowercase()
    hours = pl.when(half.is_not_null() & ~hours.is_between(1, 12)).then(None).otherwise(hours)
    hours = pl.when(half.is_null()).then(hours).otherwise(hours % 12 + 12.0 * (half == "p"))
    whole = days.fill_null(0) * 86400 + hours * 3600 + minutes * 60
    return seconds_of(1e6 * whole + (1e6 * seconds.fill_null(0)).round())


def seconds_of(microseconds: pl.Expr) -> pl.Expr:
    """Whole microseconds as seconds, rounded once: to divide by one number, Polars multiplies by its rounded inverse.

    >>> pl.DataFrame({"x": [3_660_000_000.0]}).select(seconds_of(pl.col("x"))).item()
    3660.0
    """
    return microseconds / (0 * microseconds + 1e6)


def tidied(cell: str) -> str:
    """A cell with the minus, the digits and the marks that programs write; 12.- is 12.

    >>> tidied("\u221212"), tidied("￥１２.-")
    ('-12', '¥12')
    """
    cell = re.sub(f"[{MINUS}]", "-", cell).translate({ord(sign): plain for sign, plain in WIDE.items()})
    return re.sub(r"(\d)[.,]-{1,2}$", r"\1", cell)


def _tidied(cell: pl.Expr) -> pl.Expr:
    cell = cell.str.replace_all(f"[{MINUS}]", "-").str.replace_many(list(WIDE), list(WIDE.values()))
    return cell.str.replace(r"(\d)[.,]-{1,2}$", "${1}")


def _marks(numbers: Iterable[str], decimal: str) -> tuple[str, str] | None:
    """The decimal mark and what stands between thousands; None where the numbers do not agree."""
    numbers, likeliest = list(numbers), OF_COMMAS if decimal == "," else ()
    fitting = (marks for marks in (*likeliest, *MARKS) if all(_fits(number, *marks) for number in numbers))
    return next(fitting, None)


def _fits(number: str, decimal: str, thousands: str) -> bool:
    fraction = rf"\d*{re.escape(decimal)}?\d*(?:[eE][-+]?\d+)?"
    return re.fullmatch(f"{fraction}|{grouped_in(decimal, thousands)}" if thousands else fraction, number) is not None


def grouped_in(decimal: str, thousands: str) -> str:
    """A regular expression for numbers with thousands apart; with commas also as in India, 12,34,567."""
    mark = f"[{alike(thousands)}]"
    whole = rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+" + (r"|[1-9]\d?(?:,\d{2})+,\d{3}" if thousands == "," else "")
    return rf"(?:{whole})(?:{re.escape(decimal)}\d*)?"


def alike(thousands: str) -> str:
    """The characters, for a regular expression's class, that stand between thousands where this one does."""
    return re.escape(BLANKS if thousands in BLANKS else APOSTROPHES if thousands in APOSTROPHES else thousands)


def in_marks_of(frame: pl.DataFrame, styles: Mapping[str, NumberStyle], decimal: str) -> pl.DataFrame:
    """A table whose numbers have another `decimal` mark than columns' styles: theirs, and nothing between thousands.

    Cells that are not numbers stay as they are, and so do all where the mark is the style's, or is not known.

    >>> german = pl.DataFrame({"x": ["1,5", "1.234,56 €", "2.000", "a, b"]})
    >>> in_marks_of(german, {"x": NumberStyle()}, ",")["x"].to_list()
    ['1.5', '1234.56 €', '2000', 'a, b']
    """
    other = [name for name, style in styles.items() if decimal and style.decimal != decimal and not style.clock]
    texts = [name for name in other if frame.schema.get(name) == pl.String]
    return frame.with_columns([_remarked(pl.col(name), decimal, styles[name].decimal) for name in texts])


def _remarked(cell: pl.Expr, before: str, after: str) -> pl.Expr:
    between, text = "," if before == "." else ".", cell.str.strip_chars()
    whole = rf"\d*|[1-9]\d{{0,2}}(?:{re.escape(between)}\d{{3}})+"
    number = rf"^[^\d.,]*(?:{whole})(?:{re.escape(before)}\d+)?(?:[eE][-+]?\d+)?[^\d.,]*$"
    cleaned = text.str.replace_all(between, "", literal=True).str.replace(before, after, literal=True)
    return pl.when(text.str.contains(number)).then(cleaned).otherwise(cell)
