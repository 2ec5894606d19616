"""The cells of a target: numbers where all of them are, else words."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from luthier.data.typed_columns.columns import likeliest_style
from luthier.data.typed_columns.facts import facts_of, is_text
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.typed_columns.parsing import NUMBERS, WORD_MARKS, WORDS, CellParser
from luthier.errors import InputError
from luthier.kinds import KINDS
from luthier.messages import Message, joined

# A class may be called NA: in a target of words those cells are a class, and it is said.
CLASS_WORDS = replace(WORDS, marks=tuple(mark for mark in WORD_MARKS if mark not in ("NA", "N/A", "n/a")))


def read_target(series: pl.Series, asked: str | None = None, decimal: str = "") -> tuple[pl.Series, CellParser, str]:
    """A target's cells as numbers where all of them are, or where a kind of number was `asked` for, else as words.

    They are null where a value is missing. With them come their parser, and what is to be said of the reading.
    `decimal` is the mark of the file's numbers.

    >>> read_target(pl.Series("price", ["$1,200", "$85"]))[0].to_list()
    [1200.0, 85.0]
    """
    numbers = asked is not None and not KINDS[asked].is_classes
    if asked is not None and KINDS[asked].is_labels:
        return CLASS_WORDS.texts(series), CLASS_WORDS, ""
    if not is_text(series.dtype):
        length = (asked is None or numbers) and (isinstance(series.dtype, pl.Duration) or series.dtype == pl.Time)
        parser = NUMBERS if numbers or series.dtype == pl.Decimal or length else CLASS_WORDS
        values = NUMBERS.values(series) if parser is NUMBERS else CLASS_WORDS.words(series)
        return values, parser, "it counts in seconds" if length else ""
    facts = facts_of(series, decimal)
    if numbers and facts.stored not in ("integer", "float"):
        return _as_numbers(series, decimal)
    if facts.stored in ("integer", "float") and (numbers or not _are_codes(series, facts.stored)):
        parser = replace(NUMBERS, style=NumberStyle.from_json(facts.style))
        values = parser.values(series)
        return (values.cast(pl.Int64) if facts.stored == "integer" else values), parser, parser.style.in_words
    words = CLASS_WORDS.texts(series)
    named = sorted(set(words.drop_nulls().unique()) & set(WORD_MARKS))
    template = "'{name}' is taken for a class; leave those cells empty if they have no value"
    said = [Message(template, name=name) for name in named]
    if facts.alike:
        alike = joined(map(repr, facts.alike[:3]), "{first} and {rest}")
        said.append(Message("{names} are classes of their own; correct them if they are one", names=alike))
    return words, CLASS_WORDS, joined(said)


def _are_codes(series: pl.Series, stored: str) -> bool:
    """Whether whole numbers are written as numbers are not, 007: their classes keep their text."""
    written = series.cast(pl.String).str.strip_chars()
    return stored == "integer" and bool(written.str.contains(r"^[-+]?0\d").any())


def _as_numbers(series: pl.Series, decimal: str) -> tuple[pl.Series, CellParser, str]:
    """Text as numbers, as far as it is; InputError where none of it is."""
    parser = replace(NUMBERS, style=likeliest_style(series, decimal), lenient=True)
    lost, values = parser.lost(series), parser.values(series)
    first = str(series.filter(lost)[0]) if lost.any() else ""
    if values.null_count() == len(values):
        raise InputError(
            Message("the target `{name}` is text", name=series.name),
            expected="numbers for a regression",
            received=f"'{first}'",
        )
    template = "{count} cells that are not numbers, such as '{first}', count as missing"
    message = Message(template, count=int(lost.sum()), first=first) if first else ""
    return values, parser, "; ".join(one for one in (parser.style.in_words, message) if one)
