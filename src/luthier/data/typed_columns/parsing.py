"""The one place where a raw cell becomes a value: a parser for each column, fixed at fitting and kept with the model.

Every reader hands its cells over as they came, text from CSV, types from Parquet, frames and JSON; what they mean is
decided here, cell by cell, so a row is encoded the same by whatever way it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import polars as pl
from polars import selectors as cs

from luthier.data.typed_columns.levels import FEW, texts_of
from luthier.data.typed_columns.moments import ISO, moment, regular_moments
from luthier.data.typed_columns.numerals import NumberStyle, seconds_of
from luthier.errors import InputError
from luthier.messages import Message
from luthier.records import JsonObject

Reads = Literal["number", "moment", "word"]
# What people and programs write into a cell that has no value. Among numbers in any case; a level may be called "None"
# or "-", so of words only those count that programs alone write.
WORD_MARKS = (
    *("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NaT", "<NA>", "null", "NULL", "Null", "?", "#DIV/0!", "#VALUE!"),
    *(
        "#REF!",
        "#NAME?",
        "#NUM!",
        "#NULL!",
        "#ERROR!",
        "#SPILL!",
        "#CALC!",
        "<NULL>",
        "<null>",
        "(null)",
        "[null]",
        "\\N",
    ),
)
NUMBER_MARKS = (
    *("", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "nat", "<na>", "null", "nil", "none", "missing", "unknown", "?"),
    *("-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "*", "#div/0!", "#value!", "#ref!", "#name?", "#num!"),
    *(
        "#null!",
        "#error!",
        "#spill!",
        "#calc!",
        "<null>",
        "(null)",
        "[null]",
        "\\n",
        "<nan>",
        "-nan",
        "undefined",
        "tbd",
    ),
    *("n.a", "n/d", "nd", "n.d.", "n.d", "1.#ind", "-1.#ind", "1.#qnan", "\u2026", "??", "???", "**", "***", "#"),
    *(
        "not available",
        "not applicable",
        "not reported",
        "not set",
        "no data",
        "blank",
        "(blank)",
        "empty",
        "(missing)",
    ),
    *("not known", "(empty)", "(none)", "n.v.", "k.a.", "k. a.", "keine angabe", "(leer)"),
    *("#nv", "#wert!", "#bezug!", "#zahl!", "#n/d", "#valeur!", "#nombre!", "#¡valor!", "#¡div/0!", "#¡num!"),
    *("无", "暂无", "缺失", "未知", "无数据"),
)
_WHAT = {"number": "numbers", "moment": "dates", "word": "text"}
LEAST_SCALE = 1e-30  # of a target: single precision holds 1e-38 to 1e38


@dataclass(frozen=True)
class CellParser:
    """How a column's cells are read: as numbers in a style, as moments by a pattern, or as words.

    Text that is one of `marks` counts as missing, among numbers and moments in any case. Where a parser is `lenient`,
    so does what cannot be read: it was so at fitting, when it was counted and said.
    """

    reads: Reads = "word"
    style: NumberStyle = field(default_factory=NumberStyle)
    pattern: str = ""
    lenient: bool = False
    marks: tuple[str, ...] = WORD_MARKS

    def written(self, cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """The cell as it came, text without blanks around it, missing where it says so."""
        if dtype in (pl.Categorical, pl.Enum):
            cell, dtype = cell.cast(pl.String), pl.String()
        if dtype == pl.String:
            text = cell.str.strip_chars()
            looked_up = text if self.reads == "word" else text.str.to_lowercase()
            return pl.when(~looked_up.is_in(list(self.marks))).then(text)
        return cell.fill_nan(None) if dtype.is_float() else cell

    def value(self, cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
        """The cell's value: Float64, Datetime of microseconds in UTC, or for words the cell as it was written."""
        written = self.written(cell, dtype)
        if self.reads == "word":
            return written
        plain = pl.String() if dtype in (pl.Categorical, pl.Enum) else dtype
        if self.reads == "moment":
            return moment(written, plain, self.pattern)
        return _number(written, plain, self.style)

    def values(self, cells: pl.Series) -> pl.Series:
        """The values of a column. InputError for what cannot be read, unless that counts as missing here.

        >>> NUMBERS.values(pl.Series("dose", ["1.5", " n/a", "2"])).to_list()
        [1.5, None, 2.0]
        """
        if self.reads == "number" and cells.dtype == pl.Float64:
            result, lost = cells.fill_nan(None), None
        else:
            result, lost = self._read(cells)
        if lost is not None and not self.lenient and lost.any():
            raise self._unreadable(cells, lost)
        if self.reads == "number":
            require_finite(result.to_frame())
        return result

    def words(self, cells: pl.Series) -> pl.Series:
        """Words as they were written, typed cells as they are, null where one is missing."""
        if cells.dtype == pl.String and len(cells) <= FEW:
            return pl.Series(cells.name, [self.word(value) for value in cells.to_list()], dtype=pl.String)
        return self._read(cells)[0]

    def word(self, value: Any) -> Any:
        """One cell of `words`.

        >>> WORDS.word(" NA"), WORDS.word(" yes "), WORDS.word(True)
        (None, 'yes', True)
        """
        if not isinstance(value, str):
            return None if value != value else value
        text = value.strip()
        return None if text in self.marks else text

    def texts(self, cells: pl.Series) -> pl.Series:
        """Words as text, whatever type they came in."""
        return texts_of(self.words(cells))

    def is_plain(self, dtype: pl.DataType) -> bool:
        """Whether cells of this type are the text of numbers as programs write them, nearly all of them."""
        return self.reads == "number" and self.style.plain and dtype == pl.String

    def known(self, cells: pl.Series) -> pl.Series:
        """The values of a column, null for what cannot be read."""
        if self.reads == "number" and cells.dtype == pl.Float64:
            return cells.fill_nan(None)
        return self._read(cells)[0]

    def lost(self, cells: pl.Series) -> pl.Series:
        """Which cells say something that cannot be read."""
        return self._read(cells)[1]

    def _read(self, cells: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The values, and which cells say something that cannot be read."""
        result = self._read_regular(cells) if cells.dtype == pl.String else None
        if result is None:
            return self._read_slowly(cells)
        others = (result.is_null() & cells.is_not_null()).arg_true()
        lost = pl.repeat(False, len(cells), eager=True)
        if len(others):
            values, unread = self._read_slowly(cells.gather(others))
            result, lost = result.scatter(others, values), lost.scatter(others, unread)
        return result, lost

    def _read_regular(self, cells: pl.Series) -> pl.Series | None:
        """The values of text that is written as programs write it, null for the rest, which is looked at further."""
        if self.reads == "number" and self.style.plain:
            return cells.cast(pl.Float64, strict=False).fill_nan(None)
        if self.reads == "number":
            return cells.to_frame("cell").select(self.style.regular(pl.col("cell"))).to_series().alias(cells.name)
        return regular_moments(cells, self.pattern) if self.reads == "moment" else None

    def _read_slowly(self, cells: pl.Series) -> tuple[pl.Series, pl.Series]:
        cell = pl.col("cell")
        written, value = self.written(cell, cells.dtype), self.value(cell, cells.dtype)
        lost = written.is_not_null() & value.is_null()
        result = cells.to_frame("cell").select(value.alias("value"), lost.alias("lost"))
        return result["value"].alias(cells.name), result["lost"]

    def _unreadable(self, cells: pl.Series, lost: pl.Series) -> InputError:
        what, row = _WHAT[self.reads], int(lost.arg_true()[0])
        known = self.style.in_words if self.reads == "number" else self.pattern
        return InputError(
            Message("column '{name}' has text where training had {what}", name=cells.name, what=what)
            if cells.dtype == pl.String
            else Message(
                "column '{name}' has {lower} cells where training had {what}",
                name=cells.name,
                lower=str(cells.dtype).lower(),
                what=what,
            ),
            expected=f"{what} ({known})" if known else what,
            received=Message("'{cells}' in row {row}", cells=cells[row], row=row + 1),
            remedy="correct these cells, or leave them empty where a value is missing",
        )

    def to_json(self) -> JsonObject:
        """The parser as plain JSON values."""
        facts = {"reads": self.reads, "style": self.style.to_json(), "pattern": self.pattern, "lenient": self.lenient}
        return {**facts, "marks": list(self.marks)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CellParser:
        """The parser that `to_json` gave."""
        style, marks = NumberStyle.from_json(value["style"]), tuple(map(str, value["marks"]))
        return cls(value["reads"], style, str(value["pattern"]), bool(value["lenient"]), marks)


NUMBERS = CellParser("number", marks=NUMBER_MARKS)
MOMENTS = replace(NUMBERS, reads="moment", pattern=ISO)
WORDS = CellParser()


def require_finite(frame: pl.DataFrame) -> None:
    """InputError for the first column of floats with numbers that are not finite."""
    floats = frame.select(cs.float())
    if not floats.width:
        return
    found = floats.select(pl.all().is_infinite().any()).row(0)
    for numbers in [floats[name] for name, infinite in zip(floats.columns, found, strict=True) if infinite]:
        rows = numbers.is_infinite().fill_null(False).arg_true()
        raise InputError(
            Message("column '{name}' has infinite values", name=numbers.name),
            expected="finite numbers, or nothing where a value is missing",
            received=Message(
                "{count} infinite values, the first in row {row}"
                if len(rows) > 1
                else "{count} infinite value, the first in row {row}",
                count=len(rows),
                row=rows[0] + 1,
            ),
            remedy="leave those cells empty, or correct them",
        )


def require_scale(values: pl.Series) -> None:
    """InputError for numbers that single precision cannot hold, or hardly."""
    numbers = values.cast(pl.Float64).to_numpy()
    low, high = float(numbers.min()), float(numbers.max())
    largest = max(-low, high)
    if high / 2 - low / 2 > LEAST_SCALE and largest < 1 / LEAST_SCALE:
        return
    raise InputError(
        Message(
            "the target `{name}` has numbers too large to be computed with"
            if largest >= 1
            else "the target `{name}` has numbers too small to be computed with",
            name=values.name,
        ),
        expected=Message(
            "numbers that differ by more than {least:g}, none beyond {most:g}", least=LEAST_SCALE, most=1 / LEAST_SCALE
        ),
        received=Message("numbers from {low:g} to {high:g}", low=low, high=high),
        remedy="give them in another unit: multiply the column by a power of ten",
    )


def _number(cell: pl.Expr, dtype: pl.DataType, style: NumberStyle) -> pl.Expr:
    """Numbers of any type; a duration in seconds, a time of day in seconds since midnight."""
    if dtype == pl.String:
        return style.number(cell)
    if dtype == pl.Decimal:  # by way of its text, which is rounded once
        return cell.cast(pl.String).cast(pl.Float64)
    if isinstance(dtype, pl.Duration):
        return seconds_of(cell.dt.total_microseconds().cast(pl.Float64))
    if dtype == pl.Time:
        return seconds_of((cell.cast(pl.Int64) // 1000).cast(pl.Float64))
    if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        return cell.cast(pl.Float64)
    return pl.lit(None, dtype=pl.Float64)
