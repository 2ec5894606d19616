"""A table's column of pictures beside its other columns: named by content, decoded once, missing ones counted."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import polars as pl

from luthier.data import Column
from luthier.data.pictures import PictureStore, common_shape, store_of, with_content_names
from luthier.data.typed_columns.columns import picture_beside
from luthier.errors import InputError
from luthier.messages import Message, joined

NAMED = 5  # unreadable pictures that are named
MOST_MISSING = 0.5  # of the rows, where strict


class PicturesBeside(NamedTuple):
    """The table with the pictures that can be read, what the column is, the pictures, and what is to be said."""

    frame: pl.DataFrame
    column: Column
    store: PictureStore
    notes: tuple[str, ...]


def pictures_beside(frame: pl.DataFrame, name: str, side: int, *, strict: bool) -> PicturesBeside:
    """Read the column of pictures; those that cannot be read count as missing.

    InputError with `strict` for one that cannot be read, or where more than half are missing; and where all are.
    """
    written = frame[name].to_list()
    frame = with_content_names(frame, name)
    references = frame[name].to_list()
    known = list(dict.fromkeys(reference for reference in references if reference))
    store = store_of(known, common_shape(known, side))
    why = {known[row]: reason for row, reason in store.problems.items()}
    lost = {
        Path(cell).name if isinstance(cell, str) else "bytes": why.get(reference or "", "there is no such file")
        for cell, reference in zip(written, references, strict=True)
        if cell and (reference is None or reference in why)
    }
    unread = sum(bool(cell) and (ref is None or ref in why) for cell, ref in zip(written, references, strict=True))
    there = [reference if reference not in why else None for reference in references]
    missing, notes = sum(reference is None for reference in there), tuple[str, ...]()
    if unread:
        named = [f"'{file}' ({reason})" for file, reason in list(lost.items())[:NAMED]]
        more = Message(" and {count} more", count=len(lost) - NAMED) if len(lost) > NAMED else ""
        template = "{count} of {rows} pictures cannot be read: {names}{more}"
        message = Message(template, count=unread, rows=frame.height, names=", ".join(named), more=more)
        if strict or missing == frame.height:
            raise InputError(message, expected="pictures of 8 or 16 bits, PNG or JPEG", remedy="repair or remove them")
        notes = (Message("{message}; they count as missing", message=message),)
    if missing > MOST_MISSING * frame.height:
        message = Message("`{name}` has no picture in {missing} of {rows} rows", name=name, missing=missing,
                          rows=frame.height)  # fmt: skip
        if strict:
            raise InputError(
                message,
                expected="a picture in half of the rows or more",
                remedy=Message("add them, or leave the column out with --column {name}=identifier", name=name),
            )
        notes = (*notes, joined([message, Message("it says little about the others")]))
    frame = frame.with_columns(pl.Series(name, there, dtype=pl.String))
    return PicturesBeside(frame, picture_beside(name, frame.height, missing), store, notes)
