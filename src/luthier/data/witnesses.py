"""Rows of a table on the disk that show what its target holds, so that a sample with them decides as all rows would."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from luthier.data.typed_columns.task import MOST_CLASSES
from luthier.messages import Message

PER_CLASS = 3  # rows of a class: one for each part of the split
MOST_ADDED = 0.1  # of the sample, for rows of classes
PER_KIND = 3  # rows whose target is a number with a fraction, or no number at all
NAMED = 5


def witnesses(numbered: pl.LazyFrame, place: str, target: str, drawn: pl.Series) -> tuple[list[int], tuple[str, ...]]:
    """The places of rows that were not drawn but must not be missing, and a note on them.

    Of a target with few distinct values these are rows of each value that the draw has missed or hardly has; of others
    the lowest and highest number, numbers with fractions, and what is not a number. `place` is the column of the rows'
    numbers, `drawn` holds those of the sample.
    """
    dtype = numbered.collect_schema()[target]
    cell = pl.col(target).str.strip_chars() if dtype == pl.String else pl.col(target)
    known = numbered.select(pl.col(place), cell.alias(target)).filter(pl.col(target).is_not_null())
    number = pl.col(target).cast(pl.Float64, strict=False) if dtype == pl.String or dtype.is_numeric() else pl.lit(None)
    facts = pl.col(target).cast(pl.String).approx_n_unique(), number.is_not_null().mean()
    distinct, numbers = known.select(facts[0], facts[1].alias("numbers")).collect(engine="streaming").row(0)
    few = distinct * PER_CLASS <= MOST_ADDED * len(drawn)
    if few or (distinct <= MOST_CLASSES and (numbers or 0) < 0.5):
        return _of_classes(known, place, target, drawn, PER_CLASS if few else 1)
    return _of_numbers(known, place, target) if numbers else [], ()


def _of_classes(
    known: pl.LazyFrame, place: str, target: str, drawn: pl.Series, wanted: int
) -> tuple[list[int], tuple[str, ...]]:
    # Three passes that hold a number for each class, and of rare ones their rows: not every row's place at once.
    drawn_ones = known.filter(pl.col(place).is_in(drawn.implode()))
    counts, seen = (
        one.group_by(target).agg(pl.len().alias(name)).collect(engine="streaming")
        for one, name in ((known, "rows"), (drawn_ones, "drawn"))
    )
    values = counts.join(seen, on=target, how="left").with_columns(pl.col("drawn").fill_null(0))
    rare = values.filter(pl.col("drawn") < pl.min_horizontal("rows", pl.lit(wanted))).sort(target)
    if not rare.height:
        return [], ()
    missed = rare.filter(pl.col("drawn") == 0)[target].to_list()
    note = Message(
        "`{target}` has {count} rare values, so rows with them were added to the sample",
        target=target,
        count=rare.height,
    )
    rows = known.filter(pl.col(target).is_in(rare[target].implode())).collect(engine="streaming")
    first = rows.sort(place).group_by(target).head(wanted)
    return first[place].to_list(), (note + (f": {_listed(missed)}" if missed else ""),)


def _of_numbers(known: pl.LazyFrame, place: str, target: str) -> list[int]:
    number = pl.col(target).cast(pl.Float64, strict=False).fill_nan(None)
    low, high = known.select(number.min().alias("low"), number.max().alias("high")).collect(engine="streaming").row(0)
    kinds = (
        (number == low, 1),
        (number == high, 1),
        (number.is_finite() & (number != number.round()), PER_KIND),
        (number.is_null(), PER_KIND),
    )
    result: list[int] = []
    for holds, count in kinds:
        result += known.filter(holds).head(count).select(place).collect(engine="streaming")[place].to_list()
    return result


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(f"'{value}'" for value in values[:NAMED])
    return shown + (Message(" and {count} more", count=len(values) - NAMED) if len(values) > NAMED else "")
