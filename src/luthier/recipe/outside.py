"""Whether the rows of a new test set lie outside of what a run has seen: in other groups, at later times."""

from __future__ import annotations

from typing import Any

import polars as pl

from luthier.data.times import time_format, times
from luthier.errors import InputError
from luthier.recipe.reading import LoadedData, dates_of
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
        message = f"{known} of {len(rows)} test rows are in groups of `{asked.group}` that open rows have too"
        return [f"{message}: scores on them are of known groups"]
    if asked.time:
        moments, last = _times(rows[asked.time], opened[asked.time], read, asked)
        if earlier := int((moments < last).sum()):
            message = f"{earlier} of {len(rows)} test rows are earlier than the last open row by `{asked.time}`"
            return [f"{message}: scores on them are not of a future"]
    return []


def _require_columns(rows: pl.DataFrame, asked: RunRequest) -> None:
    options = {"--group": asked.group, "--time": asked.time}
    missing = [f"{option} {name}" for option, name in options.items() if name and name not in rows.columns]
    if missing:
        raise InputError(
            f"'{asked.test}' cannot be the new test set of a run with {' and '.join(missing)}",
            expected="that column, as in the run's own table",
            received=f"the columns {', '.join(rows.columns[:12])}",
        )


def _require_new_groups(new: pl.Series, known: pl.Series, asked: RunRequest) -> None:
    labels, again = new.cast(pl.String), _in_known_groups(new, known)
    if again.any():
        count = labels.filter(again).n_unique()
        raise InputError(
            f"--group {asked.group}: {again.sum()} of {len(new)} rows of '{asked.test}' are in groups that the run "
            "has rows of",
            expected="groups that are whole on one side",
            received=f"{count} known group{'s' * (count > 1)}, such as {labels.filter(again)[0]!r}",
            remedy="leave those rows out of the new test set",
        )


def _in_known_groups(new: pl.Series, known: pl.Series) -> pl.Series:
    """Which rows are in a group that others have too; a row without a group is in none."""
    labels, seen = (column.cast(pl.String).fill_null("") for column in (new, known))
    return labels.is_in(seen.filter(known.is_not_null()).unique().implode()) & new.is_not_null()


def _times(new: pl.Series, known: pl.Series, read: LoadedData, asked: RunRequest) -> tuple[pl.Series, Any]:
    """The times of rows, and the last one of others."""
    pattern = time_format(read.frame[asked.time], dates_of(asked))
    return times(new, pattern), times(known, pattern).max()


def _require_later(new: pl.Series, read: LoadedData, asked: RunRequest) -> None:
    moments, last = _times(new, read.frame[asked.time], read, asked)
    earlier = int((moments < last).sum())
    if earlier:
        raise InputError(
            f"--time {asked.time}: {earlier} of {len(new)} rows of '{asked.test}' are earlier than the run's last",
            expected=f"rows of {last!s} and later",
            received=f"rows from {moments.min()!s} on",
            remedy="leave those rows out of the new test set",
        )
