"""A column that orders the rows by time: its cells as moments, or an error that says which format to name."""

from __future__ import annotations

import polars as pl

from luthier.data.typed_columns.moments import formats_like, in_format
from luthier.errors import InputError
from luthier.messages import Message, joined


def time_format(values: pl.Series, given: str = "") -> str:
    """How the cells of a column say a time: the format that was `given`, or the only one that reads all of them.

    Empty for cells that have an order of their own: dates, moments, numbers. InputError for a cell without a time, for
    text in no known format, and for dates whose day and month cannot be told apart.

    >>> time_format(pl.Series("when", ["06/17/2019", "07/01/2019"]))
    '%m/%d/%Y'
    """
    if values.null_count():
        raise InputError(
            Message("'{name}' has {null_count} rows without a value", name=values.name, null_count=values.null_count()),
            expected="a time for each row",
            remedy="fill or remove them, or split without --time",
        )
    if values.dtype.is_temporal() or values.dtype.is_numeric():
        return ""
    tried = [given] if given else formats_like(str(values[0]).strip())
    unread = {pattern: values.filter(times(values, pattern).is_null()) for pattern in tried}
    reading = _that_differ(values, [pattern for pattern, left in unread.items() if not len(left)])
    remedy = Message("name the format: --column {name}=date:%d/%m/%Y", name=values.name)
    if not reading:
        nearest = min(unread, key=lambda pattern: len(unread[pattern]))
        raise InputError(
            Message(
                "--time {name}: '{unread}' is not a date in {format}",
                name=values.name,
                unread=unread[nearest][0],
                format=given or Message("a known format"),
            ),
            expected="dates such as 2021-05-31 or 2021-05-31 14:00 in every row, or numbers that grow with time",
            remedy=remedy,
        )
    if len(reading) > 1:
        raise InputError(
            Message(
                "--time {name}: '{value}' can be read as {formats}",
                name=values.name,
                value=values[0],
                formats=joined(reading, "{first} and as {rest}"),
            ),
            expected="dates whose day and month cannot be mistaken",
            remedy=Message(
                "name the format: --column {name}=date:{one} or date:{other}",
                name=values.name,
                one=reading[0],
                other=reading[1],
            ),
        )
    return reading[0]


def moments(cell: pl.Expr, pattern: str) -> pl.Expr:
    """Cells as they are ordered by time: themselves, or moments in UTC where `time_format` gave a pattern."""
    if not pattern:
        return cell
    return in_format(cell.cast(pl.String).str.strip_chars(), pattern)


def times(values: pl.Series, pattern: str) -> pl.Series:
    """`moments` of a column."""
    return values.to_frame("x").select(moments(pl.col("x"), pattern))["x"].alias(values.name)


def _that_differ(values: pl.Series, patterns: list[str]) -> list[str]:
    """The formats that read different times: "13 May 2021" has May for a short and for a long name."""
    first: dict[int, str] = {}
    for pattern in patterns:
        first.setdefault(hash(tuple(times(values, pattern).to_physical())), pattern)
    return list(first.values())
