"""What is asked of a column's cells before its type is decided; kept as the evidence for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from luthier.data.typed_columns.levels import FALSE, TRUE, texts_of
from luthier.data.typed_columns.moments import format_of, is_ambiguous
from luthier.data.typed_columns.numerals import NumberStyle, commonest_style, style_of
from luthier.data.typed_columns.parsing import NUMBER_MARKS, NUMBERS, WORDS
from luthier.records import JsonObject

DIGITS = 15  # a floating-point number keeps all whole numbers of so many
FEW_PLACES = 1000  # between which large whole numbers are rounded; of more the rounding is small
MOST_TRUTHS = 20  # spellings of yes and no that are looked at
MOST_NAMED = 20  # marks of missing cells that are kept, beside those that always count
MOST_COMPARED = 2000  # levels that are compared with each other
CELLS = 1 << 20  # of text that are read as numbers together
# A letter of these scripts stands for a word: no blanks are written between their words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_A_WORD = rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+"


@dataclass(frozen=True)
class Facts:
    """The facts of a column.

    `stored` is "boolean", "temporal", "duration", "integer", "float" or "text": what cells are after the cleaning of
    `style`, where they came as text. `counts` says that each value is one more than the one above it, `words` how many
    there are in a row of text on average, `numbers` how many texts are numbers; `values` are those of a text that has
    two.
    `marks` are texts that count as missing, in `marked` cells; `alike` are levels that differ in case or blanks alone;
    `other_format` has day and month, or year, the other way round and reads the same texts. `many_digits` says that
    these are whole numbers beyond 2^53 of which some would be the same as floating-point numbers: they stay text.
    """

    name: str
    stored: str
    rows: int
    missing: int
    distinct: int
    first: str = ""
    binary: bool = False
    counts: bool = False
    yes_or_no: bool = False
    values: tuple[str, ...] = ()
    date_format: str = ""
    words: float = 0.0
    numbers: int = 0
    style: Mapping[str, Any] = field(default_factory=dict)
    marked: int = 0
    marks: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    other_format: str = ""
    many_digits: bool = False

    def to_json(self) -> JsonObject:
        """The facts as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """The facts that `to_json` gave."""
        lists = ("values", "marks", "alike")
        return cls(**{**value, **{name: tuple(value.get(name, ())) for name in lists}})


def is_text(dtype: pl.DataType) -> bool:
    """Whether cells of this type are text, as CSV's are, or levels of a dictionary."""
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def facts_of(series: pl.Series, decimal: str = "") -> Facts:
    """The facts of a column, of whatever type its cells came; `decimal` is the mark of its file's numbers.

    >>> facts_of(pl.Series("dose", ["1.5", "n/a", "2"])).stored
    'float'
    """
    if is_text(series.dtype):
        return _facts_of_text(series, decimal)
    if series.dtype.is_integer() and _too_long(texts_of(series.drop_nulls().unique())):
        return _facts_of_text(texts_of(series), decimal)
    known = (series.fill_nan(None) if series.dtype.is_float() else series).drop_nulls()
    distinct = known.n_unique()
    facts = Facts(series.name, _stored(series.dtype), len(known), len(series) - len(known), distinct)
    if distinct:
        facts = replace(facts, first=str(known[0])[:30])
    if distinct < 2 or facts.stored not in ("integer", "float"):
        return facts
    if series.dtype == pl.Time:
        facts = replace(facts, style=NumberStyle(clock=True).to_json())
    values = texts_of(known.unique()).to_list() if distinct == 2 else []
    return replace(_of_numbers(facts, known), values=tuple(sorted(values)))


def facts_by_name(frame: pl.DataFrame, names: Iterable[str], decimal: str = "") -> dict[str, Facts]:
    """The facts of the columns with these names, those of numbers worked out together: one after another takes as long
    as ten thousand calls do.

    >>> facts_by_name(pl.DataFrame({"dose": [1.5, None, 2.0]}), ["dose"])["dose"].missing
    1
    """
    types, wanted = frame.schema, list(names)
    floats = [name for name in wanted if types[name].is_float()]
    known = _of_floats(frame.select(pl.col(floats).fill_nan(None))) if floats else {}
    if decimal != ",":
        texts, together = [name for name in wanted if types[name] == pl.String], max(1, CELLS // max(1, frame.height))
        for start in range(0, len(texts) if together > 1 else 0, together):
            known |= _of_fractions(frame.select(texts[start : start + together]))
    cells = {one.name: one for one in frame.get_columns()}
    return {name: known.get(name) or facts_of(cells[name], decimal) for name in wanted}


def _of_floats(known: pl.DataFrame) -> dict[str, Facts]:
    """The facts of columns of floats that have more than two values."""
    missing, distinct, first = (
        known.select(one).row(0)
        for one in (pl.all().null_count(), pl.all().drop_nulls().n_unique(), pl.all().drop_nulls().first())
    )
    facts = [
        Facts(name, "float", known.height - gaps, gaps, values, str(one)[:30])
        for name, gaps, values, one in zip(known.columns, missing, distinct, first, strict=True)
    ]
    return {one.name: one for one in facts if one.distinct > 2}


def _of_fractions(cells: pl.DataFrame) -> dict[str, Facts]:
    """The facts of columns of text whose cells are finite numbers, some of them with a fraction, of more than two
    values: so written none is a mark, a whole number with too many digits, or in another style."""
    numbers = cells.select(pl.all().cast(pl.Float64, strict=False))
    values = numbers.to_numpy()
    gaps, lost = (np.array(one.null_count().row(0)) for one in (cells, numbers))
    fractions = ((values != np.floor(values)) & ~np.isnan(values)).any(0)
    is_finite = np.isfinite(values).sum(0) == len(values) - gaps
    some = [name for name, one in zip(cells.columns, (gaps == lost) & is_finite & fractions, strict=True) if one]
    if not some:
        return {}
    style, found = NumberStyle().to_json(), _of_floats(numbers.select(some))
    first = cells.select(pl.col(some).drop_nulls().first().str.strip_chars()).row(0, named=True)
    return {name: replace(one, first=first[name][:30], style=style) for name, one in found.items()}


def _facts_of_text(series: pl.Series, decimal: str) -> Facts:
    cells = series.cast(pl.String).str.strip_chars()
    cells = cells.set(cells == "", None)
    counts = cells.drop_nulls().value_counts(sort=True, name="cells")
    distinct = counts[series.name]
    is_mark = distinct.str.to_lowercase().is_in(list(NUMBER_MARKS))
    many_digits = _too_long(distinct.filter(~is_mark))
    style = None if many_digits else _number_style(distinct.filter(~is_mark), decimal)
    if style is not None:
        return _facts_of_written_numbers(cells, counts, is_mark, style)
    pattern = format_of(distinct.filter(~is_mark))
    if not pattern:
        is_mark = distinct.is_in(list(WORDS.marks))
    facts = _without_marks(cells, counts, is_mark)
    if pattern:
        return replace(facts, date_format=pattern, other_format=is_ambiguous(distinct.filter(~is_mark), pattern))
    words = _of_words(facts, counts.filter(~is_mark), decimal)
    return replace(words, many_digits=True, numbers=0) if many_digits else words


def _too_long(distinct: pl.Series) -> bool:
    """Whether texts are whole numbers that come to few floating-point numbers, different ones to the same.

    >>> _too_long(pl.Series(["9007199254740992", "9007199254740993"])), _too_long(pl.Series(["1", "01", "1e20"]))
    (True, False)
    """
    long = distinct.filter(distinct.str.len_bytes() > DIGITS)
    if not len(long) or not distinct.str.contains(r"^[-+]?\d+$").all():
        return False
    values = long.cast(pl.Float64).unique().to_numpy()
    places = (values.max() - values.min()) / np.spacing(np.abs(values).max())
    return bool(places < FEW_PLACES) and long.str.replace(r"^\+?0*", "").n_unique() > len(values)


def _without_marks(cells: pl.Series, counts: pl.DataFrame, is_mark: pl.Series) -> Facts:
    known, marked = counts.filter(~is_mark), counts.filter(is_mark)
    rows = int(known["cells"].sum())
    first = next((cell for cell in cells if cell is not None and cell not in set(marked[cells.name])), "")
    result = Facts(cells.name, "text", rows, len(cells) - rows, known.height, str(first)[:30])
    return replace(result, marked=int(marked["cells"].sum()), marks=tuple(marked[cells.name][:MOST_NAMED].to_list()))


def _number_style(distinct: pl.Series, decimal: str) -> NumberStyle | None:
    """The style in which all of these texts are numbers; None where they are not."""
    if not len(distinct):
        return None
    plain = None if distinct.cast(pl.Float64, strict=False).null_count() else NumberStyle()
    if plain and decimal != ",":
        return plain
    style = style_of(distinct.to_list(), decimal)
    if style is None or replace(NUMBERS, style=style).lost(distinct).any():
        return plain
    return style


def _facts_of_written_numbers(cells: pl.Series, counts: pl.DataFrame, is_mark: pl.Series, style: NumberStyle) -> Facts:
    facts = replace(_without_marks(cells, counts, is_mark), style=style.to_json())
    known = replace(NUMBERS, style=style).values(cells).drop_nulls()
    whole = not counts.filter(~is_mark)[cells.name].str.contains(r"^[-+]?\d+$").not_().any()
    written = counts.filter(~is_mark)[cells.name].to_list() if facts.distinct == 2 else []
    facts = replace(
        facts, stored="integer" if whole else "float", distinct=known.n_unique(), values=tuple(sorted(written))
    )
    return _of_numbers(facts, known)


def _of_numbers(facts: Facts, known: pl.Series) -> Facts:
    counts = facts.stored == "integer" and len(known) > 1 and bool((known.diff().drop_nulls() == 1).all())
    return replace(facts, binary=facts.distinct == 2 and set(known.unique().to_list()) == {0, 1}, counts=counts)


def _of_words(facts: Facts, counts: pl.DataFrame, decimal: str) -> Facts:
    """What texts are like, by their distinct values."""
    distinct, cells = counts[facts.name], counts["cells"]
    if facts.distinct < 2:
        return facts
    lowered = set(distinct.str.to_lowercase().to_list()) if facts.distinct <= MOST_TRUTHS else set()
    poles = lowered & set(TRUE), lowered & set(FALSE)
    return replace(
        facts,
        yes_or_no=bool(lowered and all(poles) and lowered <= {*TRUE, *FALSE}),
        values=tuple(sorted(distinct.to_list())) if facts.distinct == 2 else (),
        words=float((distinct.str.count_matches(_A_WORD) * cells).sum()) / max(1, facts.rows),
        numbers=int(cells.filter(_are_numbers(distinct, decimal)).sum()),
        alike=_alike(distinct),
    )


def _are_numbers(distinct: pl.Series, decimal: str) -> pl.Series:
    """Which texts are numbers, in the style of most of those that are."""
    style = commonest_style(distinct.to_list()[:MOST_COMPARED], decimal) or NumberStyle()
    return replace(NUMBERS, style=style).known(distinct).is_not_null()


def _alike(distinct: pl.Series) -> tuple[str, ...]:
    """The first levels that differ in case or blanks alone."""
    if len(distinct) > MOST_COMPARED:
        return ()
    folded = distinct.str.to_lowercase().str.replace_all(r"\s+", "")
    twice = folded.filter(folded.is_duplicated())
    return tuple(sorted(distinct.filter(folded == twice[0]).to_list())) if len(twice) else ()


def _stored(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.Date, pl.Datetime):
        return "temporal"
    if dtype == pl.Duration:
        return "duration"
    if dtype.is_numeric() or dtype == pl.Time:
        return "integer" if dtype.is_integer() else "float"
    return "text"
