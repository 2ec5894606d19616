"""Whether the rows of a new test set lie outside of what a run has seen: in other groups, at later times."""

from __future__ import annotations

from typing import Any

import polars as pl

from luthier.data.times import time_format, times
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.time_order import dates_of
from luthier.request import RunRequest


def require_outside(rows: pl.DataFrame, read: LoadedData, asked: RunRequest) -> None:
    """InputError where new test rows are not split off as the run's own test rows would be.

    With `group` none of them is in a group that the run has rows of; with `time` none is earlier than the run's last
    row.
    """
    _require_columns(rows, asked)
    if asked.group:
        _require_new_groups(rows[asked.group], read.frame[asked.group], asked)
    if asked.time:
        _require_later(rows[asked.time], read, asked)


def said_of_inside(rows: pl.DataFrame, opened: pl.DataFrame, read: LoadedData, asked: RunRequest) -> list[str]:
    """The same of test rows that somebody brings, which are taken as they are: how many lie inside of the open rows.

    InputError where they lack the column.
    """
    _require_columns(rows, asked)
    if asked.group and (known := int(_in_known_groups(rows[asked.group], opened[asked.group]).sum())):
        template = (
            "{known} of {count} test rows are in groups of `{group}` that open rows have too: scores on them are of "
            "known groups"
        )
        return [Message(template, known=known, count=len(rows), group=asked.group)]
    if asked.time:
        moments, last = _times(rows[asked.time], opened[asked.time], read, asked)
        if earlier := int((moments < last).sum()):
            template = (
                "{earlier} of {count} test rows are earlier than the last open row by `{time}`: scores on them are not "
                "of a future"
            )
            return [Message(template, earlier=earlier, count=len(rows), time=asked.time)]
    return []


def _require_columns(rows: pl.DataFrame, asked: RunRequest) -> None:
    options = {"--group": asked.group, "--time": asked.time}
    missing = [f"{option} {name}" for option, name in options.items() if name and name not in rows.columns]
    if missing:
        template = "'{test}' cannot be the new test set of a run with {names}"
        raise InputError(
            Message(template, test=asked.test, names=" and ".join(missing)),
            expected="that column, as in the run's own table",
            received=Message("the columns {names}", names=", ".join(rows.columns[:12])),
        )


def _require_new_groups(new: pl.Series, known: pl.Series, asked: RunRequest) -> None:
    labels, again = new.cast(pl.String), _in_known_groups(new, known)
    if again.any():
        count = labels.filter(again).n_unique()
        template = "--group {group}: {known} of {count} rows of '{test}' are in groups that the run has rows of"
        raise InputError(
            Message(template, group=asked.group, known=again.sum(), count=len(new), test=asked.test),
            expected="groups that are whole on one side",
            received=Message("{count} known groups, such as {name!r}", count=count, name=labels.filter(again)[0]),
            remedy="leave those rows out of the new test set",
        )


def _in_known_groups(new: pl.Series, known: pl.Series) -> pl.Series:
    """Which rows are in a group that others have too; a row without a group is in none."""
    labels, seen = (column.cast(pl.String).fill_null("") for column in (new, known))
    return labels.is_in(seen.filter(known.is_not_null()).unique().implode()) & new.is_not_null()


def _times(new: pl.Series, known: pl.Series, read: LoadedData, asked: RunRequest) -> tuple[pl.Series, Any]:
    pattern = time_format(read.frame[asked.time], dates_of(asked))
    return times(new, pattern), times(known, pattern).max()


def _require_later(new: pl.Series, read: LoadedData, asked: RunRequest) -> None:
    moments, last = _times(new, read.frame[asked.time], read, asked)
    earlier = int((moments < last).sum())
    if earlier:
        template = "--time {time}: {earlier} of {count} rows of '{test}' are earlier than the run's last"
        raise InputError(
            Message(template, time=asked.time, earlier=earlier, count=len(new), test=asked.test),
            expected=Message("rows of {last!s} and later", last=last),
            received=Message("rows from {first!s} on", first=moments.min()),
            remedy="leave those rows out of the new test set",
        )
