"""What a column is: inferred from its values, said with its reason, overridden by the user."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import polars as pl

from luthier.data.typed_columns.facts import Facts, facts_by_name, facts_of, is_text
from luthier.data.typed_columns.moments import ISO, WHOLE_DAY, format_of, moment_format
from luthier.data.typed_columns.numerals import NumberStyle, commonest_style, style_of
from luthier.data.typed_columns.parsing import MOMENTS, NUMBER_MARKS, NUMBERS, WORD_MARKS, WORDS, CellParser
from luthier.errors import ConfigError, nearest
from luthier.messages import Message, joined
from luthier.records import JsonObject

Kind = Literal["number", "boolean", "category", "date", "text", "identifier", "constant", "picture"]
KINDS: tuple[str, ...] = get_args(Kind)
USED = ("number", "boolean", "category", "date", "text", "picture")
FEW_NUMBERS = 12  # integers with no more distinct values than this might be codes: it is said
MOST_LEVELS = 200
# The likeliest other kind; of the rest it is category.
_OTHERWISE = {"number": "category", "category": "text", "text": "identifier"}
_PARSERS: Mapping[str, CellParser] = {"number": NUMBERS, "date": MOMENTS}


@dataclass(frozen=True)
class Column:
    """A column's kind, whether the network sees it, and why; how its cells are read, and what it could be otherwise."""

    name: str
    kind: Kind
    used: bool
    reason: str
    parser: CellParser | None = None
    otherwise: str = ""

    @property
    def cells(self) -> CellParser:
        """How the column's cells are read."""
        return self.parser or _PARSERS.get(self.kind, WORDS)

    @property
    def override(self) -> str:
        """The option that takes the column as its likeliest other kind, quoted for a shell.

        >>> Column("cut", "category", True, "few distinct values").override
        '--column cut=text'
        """
        return "--column " + shlex.quote(f"{self.name}={self.otherwise or _OTHERWISE.get(self.kind, 'category')}")

    def sentence(self) -> str:
        """The inference, and how to override it."""
        what = self.kind if self.used else Message("{kind}, dropped", kind=self.kind)
        return Message(
            "`{name}`: {what}, because {reason}; override with {override}",
            name=self.name,
            what=what,
            reason=self.reason,
            override=self.override,
        )

    def to_json(self) -> JsonObject:
        """The column as plain JSON values."""
        facts = {name: getattr(self, name) for name in ("name", "kind", "used", "reason", "otherwise")}
        return {**facts, "parser": self.cells.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Column:
        """The column that `to_json` gave; model files of pictures of format 1 and 2 have columns without parsers."""
        parser = CellParser.from_json(value["parser"]) if "parser" in value else None
        parser = None if parser == _PARSERS.get(value["kind"], WORDS) else parser
        facts = {name: value[name] for name in ("name", "kind", "used", "reason")}
        return cls(**facts, parser=parser, otherwise=value.get("otherwise", ""))


def infer_columns(
    frame: pl.DataFrame,
    *,
    target: str,
    overrides: Mapping[str, str],
    facts: Mapping[str, Facts] | None = None,
    decimal: str = "",
) -> tuple[Column, ...]:
    """The kind of every column but the target. ConfigError lists all wrong overrides at once.

    An override is a kind; of dates also with their format, "date:%d/%m/%Y". `facts` are those of the other columns,
    where they are known; `decimal` is the mark of the file's numbers.

    >>> table = pl.DataFrame({"cut": ["fair", "good", "fair", "good"], "price": [1, 2, 3, 4]})
    >>> infer_columns(table, target="price", overrides={})[0].kind
    'boolean'
    """
    names = [name for name in frame.columns if name != target]
    known = facts or facts_by_name(frame, (name for name in names if name not in overrides), decimal)
    mistakes = [mistake for name, kind in overrides.items() if (mistake := _mistake(name, kind, names))]
    columns = []
    for name in names:
        if name not in overrides:
            columns.append(column_of(known[name]))
        elif not mistakes:
            try:
                columns.append(_overridden(frame[name], overrides[name], decimal))
            except ConfigError as error:
                mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(columns)


def _mistake(name: str, override: str, names: list[str]) -> str:
    kind, _, pattern = override.partition(":")
    if name not in names:
        mistake = Message("--column {name}={override}: there is no column '{name}'", name=name, override=override)
        return joined([mistake, nearest(name, names)])
    if kind not in KINDS:
        mistake = Message(
            "--column {name}={override}: '{kind}' is not one of {names}",
            name=name,
            override=override,
            kind=kind,
            names=", ".join(KINDS),
        )
        return joined([mistake, nearest(kind, KINDS)])
    if pattern and kind != "date":
        return Message(
            "--column {name}={override}: a format belongs to a date, such as {name}=date:%d/%m/%Y",
            name=name,
            override=override,
        )
    if pattern and not moment_format(pattern):
        return Message(
            "--column {name}={override}: '{pattern}' is not a format of dates, such as %d/%m/%Y or %Y-%m-%d %H:%M",
            name=name,
            override=override,
            pattern=pattern,
        )
    return ""


def _overridden(series: pl.Series, override: str, decimal: str) -> Column:
    kind, _, pattern = override.partition(":")
    message, parser = Message("you said so"), _PARSERS.get(kind, WORDS)
    if series.dtype == pl.Duration and kind not in ("number", "identifier", "constant"):
        template = "--column {name}={override}: its cells are lengths of time; expected number or identifier"
        raise ConfigError([Message(template, name=series.name, override=override)])
    if kind == "number" and is_text(series.dtype):
        parser = replace(NUMBERS, style=likeliest_style(series, decimal))
        if parser.style.in_words:
            message = Message("you said so: {style}", style=parser.style.in_words)
    elif kind == "date" and (is_text(series.dtype) or series.dtype.is_integer() or pattern):
        parser = replace(MOMENTS, pattern=pattern or _likeliest_format(series))
    elif kind == "boolean":
        _require_two(series)
    if kind in ("number", "date"):
        lost = parser.lost(series)
        count, known = int(lost.sum()), int(len(series) - series.null_count())
        first = str(series.filter(lost)[0]) if count else ""
        if count and count == known - _marked(series):
            raise ConfigError([_nothing_read(series.name, override, first)])
        if count:
            parser = replace(parser, lenient=True)
            template = "{count} cells that are not numbers, such as '{first}', count as missing"
            if kind == "date":
                template = "{count} cells that are not dates, such as '{first}', count as missing"
            message = joined([message, Message(template, count=count, first=first)])
    return Column(series.name, kind, kind in USED, message, parser)  # type: ignore[arg-type]


def _marked(series: pl.Series) -> int:
    if not is_text(series.dtype):
        return 0
    return int(series.cast(pl.String).str.strip_chars().str.to_lowercase().is_in(list(NUMBER_MARKS)).sum())


def _nothing_read(name: str, override: str, first: str) -> str:
    if override.startswith("date"):
        return Message(
            "--column {name}={override}: none of its cells is a date of this format, such as '{first}'; "
            "say how they are written: --column {name}=date:%d/%m/%Y",
            name=name,
            override=override,
            first=first,
        )
    return Message(
        "--column {name}={override}: none of its cells is a number; they are text, such as '{first}'",
        name=name,
        override=override,
        first=first,
    )


def _distinct(series: pl.Series) -> pl.Series:
    cells = series.cast(pl.String).str.strip_chars().drop_nulls().unique(maintain_order=True)
    return cells.filter(~cells.str.to_lowercase().is_in(list(NUMBER_MARKS)))


def likeliest_style(series: pl.Series, decimal: str = "") -> NumberStyle:
    """The style that reads most of the cells; `decimal` is the mark of the file's numbers."""
    distinct = _distinct(series)
    cells = distinct.to_list()
    first = NumberStyle(",", ".") if decimal == "," else NumberStyle()
    styles = [first, *(style for style in (style_of(cells, decimal), commonest_style(cells, decimal)) if style)]
    return min(styles, key=lambda style: int(replace(NUMBERS, style=style).lost(distinct).sum()))


def _likeliest_format(series: pl.Series) -> str:
    """The format of all cells, or else of the first cell that has one."""
    distinct = _distinct(series)
    if len(distinct) and distinct.str.contains(r"^[12]\d{7}$").all():
        return WHOLE_DAY
    result = format_of(distinct)
    singles = (format_of(distinct[k : k + 1]) for k in range(min(20, len(distinct))))
    return result or next((one for one in singles if one), ISO)


def _require_two(series: pl.Series) -> None:
    facts = facts_of(series)
    if facts.distinct > 2 and not facts.yes_or_no:
        message = Message(
            "--column {name}=boolean: it has {distinct} different values, not two; {name}=category takes them all",
            name=series.name,
            distinct=facts.distinct,
        )
        raise ConfigError([message])


def column_of(facts: Facts) -> Column:
    """The kind that a column's facts call for."""
    name = facts.name
    if facts.distinct == 0:
        return Column(name, "constant", False, "it is empty")
    if facts.distinct == 1:
        if facts.missing:
            return Column(
                name,
                "category",
                True,
                Message("it is either '{first}' or missing{gaps}", first=facts.first, gaps=_gaps(facts)),
                _words(facts),
            )
        return Column(name, "constant", False, Message("every row has '{first}'", first=facts.first))
    if facts.stored == "boolean":
        return Column(name, "boolean", True, "its values are true and false")
    if facts.stored == "temporal" or facts.date_format:
        return _date(facts)
    if facts.stored == "duration":
        return Column(name, "number", True, "its values are durations, in seconds")
    return _textual(facts) if facts.stored == "text" else _numeric(facts)


def picture_beside(name: str, rows: int, missing: int) -> Column:
    """The column of pictures of a table whose other columns are learnt from too."""
    template = (
        "its cells are paths of pictures"
        if not missing
        else ("its cells are paths of pictures, {missing} of {rows} missing")
    )
    return Column(name, "picture", True, Message(template, missing=missing, rows=rows))


def picture_columns(names: Sequence[str], picture: str, target: str) -> tuple[Column, ...]:
    """The column of pictures is what is learnt from; others stay outside."""
    others = [name for name in names if name not in (picture, target)]
    return (
        Column(picture, "picture", True, "its cells are paths of pictures"),
        *(Column(name, "identifier", False, "the model learns from the pictures alone") for name in others),
    )


def _words(facts: Facts) -> CellParser:
    """Words, of which the column's own marks count as missing too."""
    return replace(WORDS, marks=tuple(dict.fromkeys((*WORD_MARKS, *facts.marks))))


def _gaps(facts: Facts) -> str:
    """What is said of cells whose text counts as missing."""
    if not facts.marked:
        return ""
    marks = ", ".join(f"'{mark}'" for mark in facts.marks[:3])
    template = "; {marks} counts as missing ({count} cells)"
    if len(facts.marks) > 1:
        template = "; {marks} count as missing ({count} cells)"
    return Message(template, marks=marks, count=facts.marked)


def _date(facts: Facts) -> Column:
    if facts.stored == "temporal":
        reason = "its values are dates; expanded into year, month, weekday and so on"
        return Column(facts.name, "date", True, reason)
    reason = Message("its values are dates like '{first}'; expanded into parts", first=facts.first)
    if "%y" in facts.date_format:
        reason = joined([reason, Message("years of two digits are taken for 1969 to 2068")])
    if facts.other_format:
        option = shlex.quote(f"{facts.name}=date:{facts.other_format}")
        template = "read as {format}, though day and month may be the other way round: --column {option}"
        if "%y/" in option:
            template = "read as {format}, though the year may come first: --column {option}"
        reason = joined([reason, Message(template, format=facts.date_format, option=option)])
    parser = replace(MOMENTS, pattern=facts.date_format)
    return Column(facts.name, "date", True, Message("{reason}{gaps}", reason=reason, gaps=_gaps(facts)), parser)


def _numeric(facts: Facts) -> Column:
    name, distinct = facts.name, facts.distinct
    parser, gaps = replace(NUMBERS, style=NumberStyle.from_json(facts.style)), _gaps(facts)
    if facts.binary:
        return Column(name, "boolean", True, Message("its values are 0 and 1{gaps}", gaps=gaps), _words(facts))
    if facts.stored == "integer":
        if distinct == facts.rows and facts.rows > 20:
            if facts.counts:
                return Column(name, "identifier", False, "it counts the rows", parser, "number")
            if _named_like_an_identifier(name):
                return Column(name, "identifier", False, "every row has its own whole number", parser, "number")
        if distinct <= FEW_NUMBERS:
            reason = Message(
                "its values are {distinct} whole numbers; if they are codes, make it a category{gaps}",
                distinct=distinct,
                gaps=gaps,
            )
            return Column(name, "number", True, reason, parser)
    style = parser.style.in_words
    cleaned = Message(", written like '{first}': {style}", first=facts.first, style=style) if style else ""
    return Column(
        name,
        "number",
        True,
        Message(
            "its values are numbers, {distinct} distinct ones{cleaned}{gaps}",
            distinct=distinct,
            cleaned=cleaned,
            gaps=gaps,
        ),
        parser,
    )


def _named_like_an_identifier(name: str) -> bool:
    parts = name.lower().replace("-", "_").replace(" ", "_").split("_")
    return "id" in parts or "uuid" in parts or "key" in parts or name.lower().endswith("id") or "index" in parts


def _textual(facts: Facts) -> Column:
    name, rows, distinct, parser, gaps = facts.name, facts.rows, facts.distinct, _words(facts), _gaps(facts)
    if facts.yes_or_no and distinct > 2:
        reason = Message(
            "its values are spellings of yes and no, which count as two: {distinct} in all{gaps}",
            distinct=distinct,
            gaps=gaps,
        )
        return Column(name, "boolean", True, reason, parser)
    if distinct == 2:
        one, other = facts.values
        template = "its values are '{one}' and '{other}'{alike}{gaps}"
        reason = Message(template, one=one, other=other, alike=_said_alike(facts), gaps=gaps)
        return Column(name, "boolean", True, reason, parser)
    template = "; {numbers} of {rows} values are numbers, the others text"
    mixed = Message(template, numbers=facts.numbers, rows=rows) if facts.numbers else ""
    if facts.many_digits:
        mixed = Message("; its whole numbers have more digits than a number keeps apart")
    more = Message("{mixed}{alike}{gaps}", mixed=mixed, alike=_said_alike(facts), gaps=gaps)
    keep = "number" if facts.numbers > rows / 2 else "text"
    if distinct <= max(20, min(MOST_LEVELS, rows // 5)) and distinct < 0.9 * rows:
        reason = Message("it is text with few distinct values, {distinct} levels{more}", distinct=distinct, more=more)
        return Column(name, "category", True, reason, parser, keep)
    if facts.words >= 4:
        return Column(
            name, "text", True, Message("it is free text, {words:.0f} words a row", words=facts.words), parser
        )
    if distinct > 0.9 * rows:
        reason = Message(
            "almost every row has its own text, {distinct} in {rows} rows{mixed}",
            distinct=distinct,
            rows=rows,
            mixed=mixed,
        )
        return Column(name, "identifier", False, reason, parser, keep)
    if distinct <= rows // 2:
        reason = Message(
            "it is text that repeats, {distinct} levels; the rare ones share a code{more}", distinct=distinct, more=more
        )
        return Column(name, "category", True, reason, parser, keep)
    reason = Message(
        "its {distinct} values hardly repeat in {rows} rows{mixed}", distinct=distinct, rows=rows, mixed=mixed
    )
    return Column(name, "identifier", False, reason, parser, "number" if keep == "number" else "category")


def _said_alike(facts: Facts) -> str:
    """What is said of levels that differ in case or blanks alone; they may be one, or two."""
    if not facts.alike or facts.yes_or_no:
        return ""
    return Message(
        "; {names} are kept apart, correct them if they are one",
        names=" and ".join(repr(level) for level in facts.alike[:3]),
    )
