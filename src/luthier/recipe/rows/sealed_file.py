"""The rows of a file that are sealed in place of a part of the source's: read as the run reads its own, and which of
them the source has too. N rows.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from luthier.data import with_values
from luthier.data.row_hashes import are_among, row_hashes
from luthier.data.values import with_any_target
from luthier.errors import InputError, listed
from luthier.messages import Message
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.sample_weights import require_weights
from luthier.recipe.rows.sealed_source import without_target


def values_of_test(read: LoadedData) -> pl.DataFrame:
    """The usable test rows. InputError for columns that are missing, cells that cannot be read, and no rows."""
    assert read.test is not None
    rows = read.counted_rows(read.test)
    result, _ = with_any_target(rows.frame, read.tasks)
    if not result.height:
        received = Message("{count} rows without a value of it", count=read.test.frame.height)
        raise without_target(read.test.name, read.task.target, received)
    needed = [column.name for column in read.columns if column.used or column.name == read.counted]
    missing = [name for name in needed if name not in result.columns]
    if missing:
        template = "'{name}' cannot be the new test set: {count} columns are missing"
        raise InputError(
            Message(template, name=read.test.name, count=len(missing)),
            expected="the columns of training",
            received=Message("no {names}", names=listed(missing)),
        )
    if read.counted:
        require_weights(result, read.counted)
    names = [name for name in read.frame.columns if name in result.columns]
    return with_values(result.select(names), read.columns)


def near(read: LoadedData, rows: pl.DataFrame, others: pl.DataFrame) -> np.ndarray:
    """Which rows are near copies of others, with the same target and times [N]."""
    result = np.zeros(rows.height, dtype=bool)
    if read.pictures is None and read.copy_rule.names:
        for mine, theirs in zip(_with_targets(read, rows), _with_targets(read, others), strict=True):
            result |= are_among(mine, theirs)
    return result


def _with_targets(read: LoadedData, values: pl.DataFrame) -> list[np.ndarray]:
    """What near copies share whose target and times are the same, in each way of rounding."""
    times = {column.name for column in read.columns if column.used} - set(read.copy_rule.names)
    rest = row_hashes(values, [read.task.target, *sorted(times)])
    return [key + rest for key in read.copy_rule.keys(values)]
