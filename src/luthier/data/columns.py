"""What a column is: inferred from its values, said with its reason, overridden by the user."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import polars as pl

from luthier.errors import ConfigError, nearest

Kind = Literal["number", "boolean", "category", "date", "text", "identifier", "constant", "picture"]
KINDS: tuple[str, ...] = get_args(Kind)
USED = ("number", "boolean", "category", "date", "text", "picture")
TRUE, FALSE = ("true", "yes", "t", "y", "on", "1"), ("false", "no", "f", "n", "off", "0")
FEW_NUMBERS = 12  # integers with no more distinct values than this might be codes: it is said
MOST_LEVELS = 200
# The likeliest other kind; of the rest it is category.
_OTHERWISE = {"number": "category", "category": "text", "text": "identifier"}
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y",
    "%d/%m/%Y",
)


@dataclass(frozen=True)
class Column:
    """A column's kind, whether the network sees it, and why."""

    name: str
    kind: Kind
    used: bool
    reason: str
    date_format: str = ""

    @property
    def override(self) -> str:
        """The option that takes the column as its likeliest other kind, quoted for a shell.

        >>> Column("cut", "category", True, "few distinct values").override
        '--column cut=text'
        """
        other = _OTHERWISE.get(self.kind, "category")
        return "--column " + shlex.quote(f"{self.name}={other}")

    def sentence(self) -> str:
        """The inference, and how to override it."""
        what = self.kind if self.used else f"{self.kind}, dropped"
        return f"`{self.name}`: {what}, because {self.reason}; override with {self.override}"

    def to_json(self) -> dict[str, Any]:
        """The column as plain JSON values."""
        return asdict(self)


def infer_columns(frame: pl.DataFrame, *, target: str, overrides: Mapping[str, str]) -> tuple[Column, ...]:
    """The kind of every column but the target. ConfigError lists all wrong overrides at once.

    >>> table = pl.DataFrame({"cut": ["fair", "good", "fair", "good"], "price": [1, 2, 3, 4]})
    >>> infer_columns(table, target="price", overrides={})[0].kind
    'boolean'
    """
    names = [name for name in frame.columns if name != target]
    mistakes = [
        f"--column {name}={kind}: there is no column '{name}'; {nearest(name, names)}".rstrip("; ")
        for name, kind in overrides.items()
        if name not in names
    ]
    mistakes += [
        f"--column {name}={kind}: '{kind}' is not one of {', '.join(KINDS)}; {nearest(kind, KINDS)}".rstrip("; ")
        for name, kind in overrides.items()
        if kind not in KINDS
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(
        _overridden(frame[name], overrides[name]) if name in overrides else column_of(facts_of(frame[name]))
        for name in names
    )


def _overridden(series: pl.Series, kind: str) -> Column:
    result = _date_format(series) if kind == "date" else ""
    if kind == "date" and not result and not series.dtype.is_temporal():
        raise ConfigError([f"--column {series.name}=date: its values are in none of the formats {DATE_FORMATS}"])
    if kind == "number" and series.dtype == pl.String:
        bad = series.filter(series.cast(pl.Float64, strict=False).is_null() & series.is_not_null())
        if len(bad):
            raise ConfigError([f"--column {series.name}=number: {len(bad)} values are text, such as '{bad[0]}'"])
    return Column(series.name, kind, kind in USED, "you said so", result or "")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Facts:
    """What is asked of a column's values before its kind is decided; kept as the evidence for it.

    `stored` is "boolean", "temporal", "integer", "float" or "text". `counts` says that each value is one more
    than the one above it, `words` how many there are in a row of text on average, `numbers` how many texts
    are numbers; `values` are those of a text that has two.
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

    def to_json(self) -> dict[str, Any]:
        """The facts as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """The facts that `to_json` gave."""
        return cls(**{**value, "values": tuple(value["values"])})


def facts_of(series: pl.Series) -> Facts:
    """The facts of a column."""
    known = series.drop_nulls()
    distinct = known.n_unique()
    facts = Facts(series.name, _stored(series.dtype), len(known), series.null_count(), distinct)
    if distinct:
        facts = replace(facts, first=str(known[0])[:30])
    if distinct < 2 or facts.stored in ("boolean", "temporal"):
        return facts
    if facts.stored in ("integer", "float"):
        counts = facts.stored == "integer" and bool((known.diff().drop_nulls() == 1).all())
        return replace(facts, binary=distinct == 2 and set(known.unique().to_list()) == {0, 1}, counts=counts)
    text = known.cast(pl.String)
    words = sorted(text.unique().to_list()) if distinct < 5 else []
    return replace(
        facts,
        yes_or_no={word.lower() for word in words} <= {*TRUE, *FALSE} and len({word.lower() for word in words}) == 2,
        values=tuple(words) if distinct == 2 else (),
        date_format=_date_format(series),
        words=float(text.str.count_matches(r"\S+").mean() or 0.0),  # type: ignore[arg-type]
        numbers=int(text.cast(pl.Float64, strict=False).is_not_null().sum()),
    )


def _stored(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_temporal():
        return "temporal"
    if dtype.is_numeric():
        return "integer" if dtype.is_integer() else "float"
    return "text"


def column_of(facts: Facts) -> Column:
    """The kind that a column's facts call for."""
    name = facts.name
    if facts.distinct == 0:
        return Column(name, "constant", False, "it is empty")
    if facts.distinct == 1:
        if facts.missing:
            return Column(name, "category", True, f"its only value is '{facts.first}'; the other rows are missing")
        return Column(name, "constant", False, f"every row has '{facts.first}'")
    if facts.stored == "boolean":
        return Column(name, "boolean", True, "its values are true and false")
    if facts.stored == "temporal":
        return Column(name, "date", True, "its values are dates; expanded into year, month, weekday and other parts")
    return _textual(facts) if facts.stored == "text" else _numeric(facts)


def _numeric(facts: Facts) -> Column:
    name, distinct = facts.name, facts.distinct
    if facts.binary:
        return Column(name, "boolean", True, "its values are 0 and 1")
    if facts.stored == "integer":
        if distinct == facts.rows and facts.rows > 20:
            if facts.counts:
                return Column(name, "identifier", False, "it numbers the rows")
            if _named_like_an_identifier(name):
                return Column(name, "identifier", False, "every row has a different whole number")
        if distinct <= FEW_NUMBERS:
            reason = f"it has {distinct} distinct whole numbers; if they are codes, make it a category"
            return Column(name, "number", True, reason)
    return Column(name, "number", True, f"it has {distinct} distinct numbers")


def _named_like_an_identifier(name: str) -> bool:
    parts = name.lower().replace("-", "_").replace(" ", "_").split("_")
    return "id" in parts or "uuid" in parts or "key" in parts or name.lower().endswith("id") or "index" in parts


def _textual(facts: Facts) -> Column:
    name, rows, distinct = facts.name, facts.rows, facts.distinct
    if distinct == 2:
        words = " and ".join(f"'{value}'" for value in facts.values)
        return Column(name, "boolean", True, f"its values are {words}")
    if facts.yes_or_no:
        return Column(name, "boolean", True, "its values mean yes and no")
    if facts.date_format:
        reason = f"its values are dates like '{facts.first}'; expanded into parts"
        return Column(name, "date", True, reason, facts.date_format)
    mixed = f"; {facts.numbers} of {rows} values are numbers, the others text" if facts.numbers else ""
    if distinct <= max(20, min(MOST_LEVELS, rows // 5)) and distinct < 0.9 * rows:
        return Column(name, "category", True, f"it is text with {distinct} distinct values{mixed}")
    if facts.words >= 4:
        return Column(name, "text", True, f"it is free text with {facts.words:.0f} words per row")
    if distinct > 0.9 * rows:
        return Column(
            name, "identifier", False, f"almost every row has a different text: {distinct} values in {rows} rows{mixed}"
        )
    if distinct <= rows // 2:
        return Column(
            name, "category", True, f"it is text with {distinct} repeated values; the rare ones share one level"
        )
    return Column(name, "identifier", False, f"it has {distinct} distinct values in {rows} rows{mixed}")


def _date_format(series: pl.Series) -> str:
    if series.dtype != pl.String:
        return ""
    known = series.drop_nulls()
    sample = known.head(200)
    for pattern in DATE_FORMATS:
        if sample.str.to_datetime(pattern, strict=False).null_count() == 0 and len(sample):
            parsed = known.str.to_datetime(pattern, strict=False)
            if parsed.null_count() == 0:
                return pattern
    return ""
