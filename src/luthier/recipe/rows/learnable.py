"""Which rows outside of the sample the last networks may learn from, and why the others are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from luthier.data.large import LargeTable
from luthier.data.pieces import Pieces
from luthier.data.row_hashes import are_among, row_hashes, rows_are_told_apart
from luthier.data.times import moments, time_format, times
from luthier.errors import InputError
from luthier.messages import Message, as_message, joined_by_and
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.sample_weights import NOTHING
from luthier.recipe.rows.time_order import dates_of
from luthier.request import RunRequest


@dataclass(frozen=True)
class Learnable:
    """The rows that may be learnt from, and how many are left out, by reason; copies of held-out rows are not counted
    here, since that takes as long as reading the rows."""

    rows: Pieces
    count: int
    left_out: Mapping[str, int]


def learnable(
    whole: LargeTable, read: LoadedData, asked: RunRequest, held_out: pl.DataFrame, test: pl.DataFrame | None = None
) -> Learnable:
    """The rows outside the sample that no held-out row forbids: by its inputs, its group or its time; and none of the
    `test` rows of another file.

    InputError for rows that a table in memory would be refused for: without a time, with an impossible weight.
    """
    reasons = _reasons(read, asked, held_out)
    kept, counted = pl.lit(True), {"rows": pl.len()}
    for reason, holds in reasons.items():
        holds = holds.fill_null(False)
        counted[reason] = (kept & ~holds).sum()
        kept &= holds
    counted |= {f"bad {name}": (~holds.fill_null(False)).sum() for name, holds in _required(read, asked).items()}
    needed = [name for name in (read.task.target, asked.group, asked.time, read.weight) if name]
    frames = whole.others.of(needed).frames()
    result = pl.concat([frame.select(**counted) for frame in frames]).sum().row(0, named=True)
    for name in (asked.time, read.weight):
        if name and result[f"bad {name}"]:
            raise _unusable(name, result[f"bad {name}"], asked)
    left_out = {reason: int(result[reason]) for reason in reasons if result[reason]}
    rows = whole.others.then(lambda frame: frame.filter(kept))
    if not (asked.time or asked.group or read.copies.coarse):
        rows = rows.then(read.copy_rule.others_than(held_out))
    if test is not None:
        rows = rows.then(_others_than(read, test))
    return Learnable(rows, int(result["rows"]) - sum(left_out.values()), left_out)


def _others_than(read: LoadedData, test: pl.DataFrame) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A step that keeps the rows that are not test rows; where inputs repeat by nature, by all cells together, if these
    tell rows apart."""
    if not read.copies.coarse:
        return read.copy_rule.others_than(test)
    names = [name for name in read.frame.columns if name in test.columns]
    known, told_apart = row_hashes(test, names), rows_are_told_apart(read.cell_hashes)

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(~are_among(row_hashes(frame, names), known)) if told_apart else frame

    return step


def left_out_in_words(left_out: Mapping[str, int]) -> str:
    """What is left out, and why.

    >>> left_out_in_words({"without a value of `y`": 1200, "that copy held-out rows": 1})
    'left out are 1,200 without a value of `y` and 1 that copy held-out rows'
    """
    parts = [Message("{count:,} {reason}", count=n, reason=as_message(reason)) for reason, n in left_out.items() if n]
    return Message("left out are {rows}", rows=joined_by_and(parts)) if parts else ""


def _reasons(read: LoadedData, asked: RunRequest, held_out: pl.DataFrame) -> dict[str, pl.Expr]:
    """What must hold for a row, by what is said where it does not."""
    name = read.task.target
    target, values = pl.col(name), read.frame[name]
    result: dict[str, pl.Expr] = {Message("without a value of `{name}`", name=name): target.is_not_null()}
    if values.dtype.is_float():
        result[Message("without a value of `{name}`", name=name)] = target.is_not_nan()
        result[Message("with an infinite `{name}`", name=name)] = target.is_finite()
    if read.task.classes:
        result[Message("with a value of `{name}` that the sample does not have", name=name)] = target.cast(
            values.dtype
        ).is_in(values.unique().implode())
    elif read.task.log_scale:
        result[Message("with a `{name}` that is not positive", name=name)] = target > 0
    if read.weight:
        result[Message("with a weight of 0 in `{name}`", name=read.weight)] = pl.col(read.weight) > NOTHING
    if asked.time:
        pattern = time_format(read.frame[asked.time], dates_of(asked))
        column, first = moments(pl.col(asked.time), pattern), times(held_out[asked.time], pattern).min()
        result[Message("that are not before the held-out rows by `{name}`", name=asked.time)] = column < first
    elif asked.group:
        group, groups = pl.col(asked.group), held_out[asked.group].drop_nulls().unique()
        result[Message("in held-out groups of `{name}`", name=asked.group)] = group.is_null() | ~group.is_in(
            groups.implode()
        )
    return result


def _required(read: LoadedData, asked: RunRequest) -> dict[str, pl.Expr]:
    """What must hold for every row, by the column that it is asked of."""
    result: dict[str, pl.Expr] = {}
    if asked.time:
        pattern = time_format(read.frame[asked.time], dates_of(asked))
        result[asked.time] = moments(pl.col(asked.time), pattern).is_not_null()
    if read.weight:
        weight = pl.col(read.weight)
        result[read.weight] = weight.is_finite() & (weight >= 0)
    return result


def _unusable(name: str, rows: int, asked: RunRequest) -> InputError:
    if name == asked.time:
        return InputError(
            Message("'{name}' has {rows:,} rows without a value, outside of the sample", name=name, rows=rows),
            expected="a time in every row",
            remedy="fill or remove them, or split without --time",
        )
    return InputError(
        Message("--sample-weight {name}: this column cannot be used as sample weights", name=name),
        expected="a number of at least 0 in every row",
        received=Message("{rows:,} rows outside of the sample with something else", rows=rows),
        remedy="fill or remove those rows",
    )
