"""Which level of a category a cell means: by its text as written, else by the value that it has, typed or as text.

A number, a truth value, a date or a time that comes typed means the level of that value, where exactly one level has
it: 2134 is 02134 where no other level is 2134. So a row means the same from CSV, from a typed frame and from JSON, and
what one cell means does not depend on the cells beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from luthier.errors import InputError
from luthier.messages import Message
from luthier.shortest_decimals import as_written

UNKNOWN, MISSING, FIRST_LEVEL = 0, 1, 2
TRUE, FALSE = ("true", "yes", "t", "y", "on", "1"), ("false", "no", "f", "n", "off", "0")
FEW = 64  # cells for which a table of distinct ones takes longer than it saves
EXACT = 2**53  # below it floating-point numbers hold every whole number
_WHOLE = re.compile(r"[-+]?\d{1,60}")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_WITH_COMMA = re.compile(r"[-+]?(?:\d+,(?!\d{3}$)\d+|0,\d+)")  # 1,234 may be thousands
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?")
_SPELT = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}
_WORDS = {**dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False)}


@dataclass(frozen=True)
class Levels:
    """The levels of a category, as text without blanks around it.

    Code 0 stands for a level that is not among them, 1 for a missing cell, and levels follow in their order.

    >>> levels = Levels(("02134", "10001"))
    >>> levels.codes(pl.Series(["02134", "2134", "9", None])).tolist()
    [2, 2, 0, 1]
    >>> levels.codes(pl.Series([2134.0, 2134.5])).tolist()
    [2, 0]
    """

    names: tuple[str, ...]

    def codes(self, cells: pl.Series) -> np.ndarray:
        """The code of each cell [N]; text comes without blanks around it, a missing cell as null."""
        return _by_distinct(cells, self.code)

    def code(self, value: Any) -> int:
        """The code of one cell.

        >>> Levels(("no", "yes", "perhaps")).code(True)
        3
        """
        if value is None:
            return MISSING
        if isinstance(value, str):
            result = self._texts.get(value)
            return result if result is not None else self._by_value(value_of(value))
        return self._by_value(value)

    def _by_value(self, value: Any) -> int:
        if isinstance(value, timedelta):
            return self._texts.get(text_of(value), UNKNOWN)
        if isinstance(value, float) and abs(value) >= EXACT:
            return self._rounded.get(value, UNKNOWN)
        for known in (_key(value), _other_key(value)):
            if known in self._values:
                return self._values[known]
        return UNKNOWN

    @cached_property
    def _texts(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names, FIRST_LEVEL)}

    @cached_property
    def _values(self) -> dict[Any, int]:
        pairs = [(value, code) for name, code in self._texts.items() if (value := _level_value(name)) is not None]
        return _unambiguous((_key(value), code) for value, code in pairs)

    @cached_property
    def _rounded(self) -> dict[float, int]:
        """Levels by their number, as floating-point numbers hold it: large ones may come to the same."""
        pairs = ((value_of(name), code) for name, code in self._texts.items())
        return _unambiguous((float(value), code) for value, code in pairs if isinstance(value, int | float))


@dataclass(frozen=True)
class TruthWords:
    """Spellings of yes and no, in any case, as two levels: code 2 is no, 3 is yes.

    >>> TruthWords().codes(pl.Series(["Yes", "no", "TRUE", "1.0", "perhaps", None])).tolist()
    [3, 2, 3, 3, 0, 1]
    """

    @staticmethod
    def hold(words: Iterable[str]) -> bool:
        """Whether all of these words are among them, and no two alone mean the same."""
        codes = [TruthWords().code(word) for word in words]
        return UNKNOWN not in codes and not (len(codes) == 2 and codes[0] == codes[1])

    def codes(self, cells: pl.Series) -> np.ndarray:
        """The code of each cell [N], as of `Levels`."""
        return _by_distinct(cells, self.code)

    def code(self, value: Any) -> int:
        """The code of one cell."""
        if value is None:
            return MISSING
        if isinstance(value, str):
            truth = _SPELT.get(value.lower())
            value = value_of(value) if truth is None else truth
        return FIRST_LEVEL + int(value) if isinstance(value, int | float | Decimal) and value in (0, 1) else UNKNOWN


@dataclass(frozen=True)
class OneWord:
    """The word for yes of a model file that does not say the word for no: until format 3 all other text was no.

    >>> OneWord("male").codes(pl.Series(["male", "female", None])).tolist()
    [3, 2, 1]
    """

    yes: str

    def codes(self, cells: pl.Series) -> np.ndarray:
        """The code of each cell [N], as of `Levels`. InputError for a cell whose meaning cannot be known."""
        return _by_distinct(cells, self.code)

    def code(self, value: Any) -> int:
        """The code of one cell."""
        if value is None:
            return MISSING
        truth = _SPELT.get(self.yes.lower())
        if isinstance(value, str) and (value == self.yes or truth is None):
            return FIRST_LEVEL + (value == self.yes)
        meant = TruthWords().code(value)
        if truth is None or meant == UNKNOWN or (isinstance(value, str) and meant == FIRST_LEVEL + truth):
            raise InputError(
                Message("this model file does not say whether '{value}' is '{yes}'", value=value, yes=self.yes),
                expected=Message("'{yes}' as training had it, or the word for its opposite", yes=self.yes),
                remedy="fit again: newer model files keep both words",
            )
        return meant if truth else 2 * FIRST_LEVEL + 1 - meant


def _by_distinct(cells: pl.Series, code: Callable[[Any], int]) -> np.ndarray:
    """The code of each cell, worked out once for each distinct one."""
    if cells.dtype == pl.Null:
        return np.full(len(cells), MISSING, dtype=np.int64)
    if len(cells) <= FEW:
        return np.array([code(value) for value in values_of(cells)], dtype=np.int64)
    distinct = cells.unique()
    codes = [code(value) for value in values_of(distinct)]
    return cells.replace_strict(distinct, codes, return_dtype=pl.Int64).to_numpy()


def in_order(words: Iterable[str]) -> tuple[str, str]:
    """Two words as no and yes: what is a spelling of either is taken so, else they stand in their order.

    >>> in_order(["true", "unknown"]), in_order(["male", "female"])
    (('unknown', 'true'), ('female', 'male'))
    """
    ordered = sorted(words)
    first, last = ordered[0], ordered[-1]
    swapped = _SPELT.get(first.lower()) is True or _SPELT.get(last.lower()) is False
    return (last, first) if swapped else (first, last)


def value_of(text: str) -> Any:
    """The number, truth value, moment or time of day that a text writes; None for other text.

    >>> value_of("007"), value_of("1,50"), value_of("True"), value_of("9:30"), value_of("red")
    (7, 1.5, True, datetime.time(9, 30), None)
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) or _WITH_COMMA.fullmatch(text):
        return float(text.replace(",", "."))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text[:4].isdigit() and text[4:5] == "-":
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    return _time_of(text)


def _time_of(text: str) -> time | None:
    match = _TIME.fullmatch(text)
    if not match or int(match[1]) > 23 or max(int(match[2]), int(match[3] or 0)) > 59:
        return None
    return time(int(match[1]), int(match[2]), int(match[3] or 0), int((match[4] or "").ljust(6, "0")))


def values_of(cells: pl.Series) -> list[Any]:
    """Cells as Python values; a number of 32 bits is the one that people write for it, 0.1 and not 0.10000000149."""
    if cells.dtype == pl.Float32:
        cells = pl.Series(cells.name, as_written(cells.to_numpy()))
    if cells.dtype.is_float():
        cells = cells.fill_nan(None)
    return cells.to_list()


def text_of(value: Any) -> str:
    """A typed cell as a level's text: the shortest that writes its value.

    >>> text_of(2.0), text_of(2.5), text_of(True), text_of(datetime(2024, 3, 1))
    ('2', '2.5', 'true', '2024-03-01')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT else repr(value)
    if isinstance(value, datetime):
        value = _naive(value)
        return value.date().isoformat() if value == datetime(value.year, value.month, value.day) else str(value)
    return str(value)


def texts_of(cells: pl.Series) -> pl.Series:
    """Cells of any type as levels' texts.

    >>> texts_of(pl.Series([1.0, 2.5, float("nan")])).to_list()
    ['1', '2.5', None]
    """
    if cells.dtype == pl.String:
        return cells
    distinct = cells.unique()
    written = [None if value is None else text_of(value) for value in values_of(distinct)]
    return cells.replace_strict(distinct, pl.Series(written, dtype=pl.String), return_dtype=pl.String)


def _key(value: Any) -> Any:
    """What values are compared by: 1 and 1.0 are the same number, True is not one of them, moments are in UTC."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return _naive(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    return value


def _other_key(value: Any) -> Any:
    """A truth value as the number that stands for it, and the other way round."""
    if isinstance(value, bool):
        return int(value)
    return str(bool(value)) if isinstance(value, int | float) and value in (0, 1) else None


def _level_value(name: str) -> Any:
    return _WORDS.get(name.lower(), value_of(name))


def _naive(moment: datetime) -> datetime:
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)


def _unambiguous(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """What each value means; no level where several have it."""
    result: dict[Any, int] = {}
    for value, code in pairs:
        result[value] = UNKNOWN if value in result else code
    return result
