"""Whether the rows of a new test set lie outside of what a run has seen: in other groups, at later times."""

from __future__ import annotations

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
    options = {"--group": asked.group, "--time": asked.time}
    missing = [f"{option} {name}" for option, name in options.items() if name and name not in rows.columns]
    if missing:
        raise InputError(
            f"'{asked.new_test}' cannot be the new test set of a run with {' and '.join(missing)}",
            expected="that column, as in the run's own table",
            received=f"the columns {', '.join(rows.columns[:12])}",
        )
    if asked.group:
        _require_new_groups(rows[asked.group], read.frame[asked.group], asked)
    if asked.time:
        _require_later(rows[asked.time], read.frame[asked.time], asked)


def _require_new_groups(new: pl.Series, known: pl.Series, asked: RunRequest) -> None:
    labels, seen = (column.cast(pl.String).fill_null("") for column in (new, known))
    again = labels.is_in(seen.filter(known.is_not_null()).unique().implode()) & new.is_not_null()
    if again.any():
        count = labels.filter(again).n_unique()
        raise InputError(
            f"--group {asked.group}: {again.sum()} of {len(new)} rows of '{asked.new_test}' are in groups that the run "
            "has rows of",
            expected="groups that are whole on one side",
            received=f"{count} known group{'s' * (count > 1)}, such as {labels.filter(again)[0]!r}",
            remedy="leave those rows out of the new test set",
        )


def _require_later(new: pl.Series, known: pl.Series, asked: RunRequest) -> None:
    pattern = time_format(known, dates_of(asked))
    moments, last = times(new, pattern), times(known, pattern).max()
    earlier = int((moments < last).sum())
    if earlier:
        raise InputError(
            f"--time {asked.time}: {earlier} of {len(new)} rows of '{asked.new_test}' are earlier than the run's last",
            expected=f"rows of {last!s} and later",
            received=f"rows from {moments.min()!s} on",
            remedy="leave those rows out of the new test set",
        )
