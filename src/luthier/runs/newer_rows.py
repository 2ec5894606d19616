"""Of a table that grows, the rows since a moment: what a check on a schedule looks at."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import replace

import polars as pl

from luthier.data import Source
from luthier.data.times import time_format
from luthier.data.typed_columns.moments import moment
from luthier.data.typed_columns.parsing import NUMBERS
from luthier.errors import InputError
from luthier.messages import Message

LAST = "last"  # since the newest row of the last check


def newer(source: Source, column: str, since: str, checked_until: str, given: str = "") -> tuple[Source, str]:
    """The rows whose `column` is at `since` or later, and the newest moment among them, empty where rows have no time.

    Of `last` those later than `checked_until`, where there is one. `given` is the format of the column's dates where it
    was named. All rows without `since`. InputError where the column is not there or has cells without a time, and for a
    moment that is not of its kind.

    >>> from luthier.data import read_source
    >>> days = [dt.date(2026, 10, day) for day in (1, 2, 3)]
    >>> table = read_source(pl.DataFrame({"day": days, "x": [1.0, 2.0, 3.0]}))
    >>> newer(table, "day", "2026-10-02", "")[0].frame["x"].to_list()
    [2.0, 3.0]
    >>> newer(table, "day", "last", "2026-10-02")[0].frame["x"].to_list()
    [3.0]
    """
    frame = source.frame
    if column not in frame.columns:
        if not since:
            return source, ""
        raise InputError(
            Message("--since {since}: the rows have no column '{column}' of times", since=since, column=column)
            if column
            else Message("--since {since}: of when?", since=since),
            expected="a column that says when a row came",
            received=Message("the columns {columns}", columns=", ".join(frame.columns[:12])),
            remedy="name it with --time COLUMN",
        )
    try:
        pattern, values = as_times(frame[column], given)
    except InputError:
        if since:
            raise
        return source, ""
    if since and (since != LAST or checked_until):
        start = _start(checked_until if since == LAST else since, values, pattern)
        wanted = values > start if since == LAST else values >= start
        source, values = replace(source, frame=frame.filter(wanted)), values.filter(wanted)
    if values.is_empty():
        return source, ""
    latest: object = values.max()
    return source, latest.isoformat(sep=" ") if isinstance(latest, dt.datetime) else f"{latest:.17g}"


def as_times(cells: pl.Series, given: str) -> tuple[str, pl.Series]:
    """The format of cells that are text, and the cells as numbers or as moments in UTC without a zone."""
    known = NUMBERS.known(cells)
    values = cells if known.null_count() else known
    pattern = time_format(values, given)
    if values.dtype.is_numeric():
        return "", values.cast(pl.Float64)
    return pattern, values.to_frame("x").select(moment(pl.col("x"), values.dtype, pattern)).to_series()


def _start(text: str, values: pl.Series, pattern: str) -> float | dt.datetime:
    """A moment as it is written for a column of such values: in the column's format, or in ISO 8601."""
    if values.dtype.is_numeric():
        with suppress(ValueError):
            return float(text)
        raise InputError(
            Message("--since {text} is not a number", text=text),
            expected="a number, as the column of times holds, or last",
        )
    cell = pl.DataFrame({"x": [text.strip()]})
    start: dt.datetime | None = cell.select(moment(pl.col("x"), pl.String(), pattern)).item()
    if start is None:
        raise InputError(
            Message("--since {text} is not a date", text=text), expected="2026-10-01, 2026-10-01 14:00, or last"
        )
    return start
