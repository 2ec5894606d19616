"""Texts without a word, or with more than is read of them: counted and said, and refused where that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from luthier.errors import InputError
from luthier.messages import Message, joined

LONG = 100_000  # letters, of which tokens and vectors read some 20,000 at most
WRITTEN = r"[\p{L}\p{N}]"  # what words and numbers are made of


def odd_texts(frame: pl.DataFrame, names: Sequence[str], *, strict: bool) -> tuple[Message, ...]:
    """What is to be said of these columns of text. InputError with `strict` where there is anything.

    >>> odd_texts(pl.DataFrame({"said": ["a film", " ", None]}), ["said"], strict=False)
    ('2 of 3 texts of `said` are empty or missing',)
    """
    notes = tuple(note for name in names for note in _notes(frame[name].cast(pl.String).fill_null(""), name))
    if strict and notes:
        raise InputError(
            joined(notes),
            expected=Message("texts with letters or digits, of at most {letters:,} letters", letters=LONG),
            remedy="leave these rows out, or leave out --strict",
        )
    return notes


def _notes(texts: pl.Series, name: str) -> list[Message]:
    blank = texts.str.strip_chars() == ""
    facts = {"rows": len(texts), "name": name}
    unwritten = int((~blank & ~texts.str.contains(WRITTEN)).sum())
    found = [
        (int(blank.sum()), "{count} of {rows} texts of `{name}` are empty or missing", {}),
        (unwritten, "{count} of {rows} texts of `{name}` have neither letters nor digits, such as emoji alone", {}),
        (
            int((texts.str.len_chars() > LONG).sum()),
            "{count} of {rows} texts of `{name}` are longer than {letters:,} letters, of which most is not read",
            {"letters": LONG},
        ),
    ]
    return [Message(template, count=count, **facts, **others) for count, template, others in found if count]
