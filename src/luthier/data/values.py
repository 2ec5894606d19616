"""A table's cells as its columns' parsers read them: what is split and measured, in memory or on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.facts import is_text
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.data.typed_columns.parsing import CellParser, require_finite
from luthier.data.typed_columns.task import Task, target_values


def with_values(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The rows with numbers as numbers, dates as dates, and other text without blanks around it.

    InputError for cells that cannot be read, of a column that is used.

    >>> with_values(pl.DataFrame({"x": ["1.5", "-"]}), [Column("x", "number", True, "")])["x"].to_list()
    [1.5, None]
    """
    schema = frame.schema  # worked out once: each look takes as long as there are columns
    known = [column for column in columns if column.name in schema]
    numbers = _plain_numbers(frame, schema, {column.name: column.cells for column in known})
    require_finite(numbers)
    done = set(numbers.columns)
    rest = [_values(frame[column.name], column) for column in known if column.name not in done]
    return frame.with_columns(numbers).with_columns(rest)


def _plain_numbers(frame: pl.DataFrame, schema: pl.Schema, read: Mapping[str, CellParser]) -> pl.DataFrame:
    """At once the number columns that are floats, or text as programs write it with no cell that cannot be read: one
    column after another takes as long as ten thousand calls do."""
    floats = [name for name, parser in read.items() if parser.reads == "number" and schema[name].is_float()]
    texts = [name for name, parser in read.items() if parser.is_plain(schema[name])]
    if not floats and not texts:
        return pl.DataFrame()
    casts = frame.select(pl.col(floats + texts).cast(pl.Float64, strict=False))
    gaps = np.flatnonzero(np.isnan(casts.to_numpy()).any(0))  # of ten thousand columns few, and each costs a call
    casts = casts.with_columns(casts[:, gaps].select(pl.all().fill_nan(None))) if len(gaps) else casts
    if not texts:
        return casts
    before, now = (one.select(texts).null_count().row(0) for one in (frame, casts))
    return casts.drop([name for name, one, other in zip(texts, before, now, strict=True) if other > one])


def _values(cells: pl.Series, column: Column) -> pl.Series:
    parser = column.cells
    if parser.reads == "word":
        return parser.words(cells)
    if cells.dtype.is_integer() and parser.reads == "number":
        return cells
    return (parser if column.used else replace(parser, lenient=True)).values(cells)


def styles_of(columns: Sequence[Column], task: Task | None = None) -> dict[str, NumberStyle]:
    """The style of each column that is read as numbers, and of the target where it is.

    >>> styles_of([Column("x", "number", True, ""), Column("kind", "category", True, "")])["x"].plain
    True
    """
    result = {column.name: column.cells.style for column in columns if column.cells.reads == "number"}
    if task is not None and (not task.is_classes or task.label_kind in ("integer", "float")):
        result[task.target] = task.cells.style
    return result


def with_target(frame: pl.DataFrame, task: Task) -> pl.DataFrame:
    """The rows with the target as the task has it, null where it has no value."""
    return frame.with_columns(target_values(frame[task.target], task).alias(task.target))


def with_any_target(frame: pl.DataFrame, tasks: Sequence[Task]) -> tuple[pl.DataFrame, pl.Series]:
    """The rows that have one of the targets at least, with their values, and which rows these are [N]."""
    for task in tasks:
        frame = with_target(frame, task)
    there = frame.select(pl.any_horizontal(pl.col(task.target).is_not_null() for task in tasks)).to_series()
    return frame.filter(there), there


def values_as_known(frame: pl.DataFrame, columns: Sequence[Column], task: Task) -> pl.DataFrame:
    """Both for rows outside of the sample that columns were inferred from: what cannot be read counts as missing."""
    schema = frame.schema  # worked out once: each look takes as long as there are columns
    read = {column.name: column.cells for column in columns if column.name in schema}
    numbers = _plain_numbers(frame, schema, read)
    done = set(numbers.columns)
    done |= {name for name, parser in read.items() if schema[name].is_integer() and parser.reads == "number"}
    cells = [read[name].known(frame[name]).alias(name) for name in read if name not in done]
    target = _target(task, schema[task.target]).alias(task.target)
    return frame.with_columns(numbers).with_columns(*cells, target)


def _target(task: Task, dtype: pl.DataType) -> pl.Expr:
    cell = task.cells.value(pl.col(task.target), dtype)
    if task.is_classes and is_text(dtype) and task.label_kind in ("integer", "float"):
        return task.cells.style.number(cell).cast(pl.Int64 if task.label_kind == "integer" else pl.Float64)
    return cell
