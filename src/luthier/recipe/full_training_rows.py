"""All rows to learn from where a sample decides: those outside the sample that no held-out row forbids.

They are measured in one pass, encoded in a second, and the final networks train on them. N rows, F numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor

from luthier.data import Dataset, Encoder, TableEncoder, encode_target
from luthier.data.encoded import EncodedRows, encoded
from luthier.data.large import LargeTable, measured, walk
from luthier.data.split import is_coarse
from luthier.data.times import moments, time_format, times
from luthier.engine import Part
from luthier.recipe.config import FitConfig
from luthier.recipe.reading import LoadedData, dates_of, weights_of
from luthier.storage import cache_folder, json_text, sha256

MEASURES = 5  # share missing, mean, deviation, lowest, highest


@dataclass(frozen=True)
class FullTrainingRows:
    """All training rows, encoded on the disk, and what was measured of their numbers [5, F]."""

    rows: EncodedRows
    measured: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class StreamedInputs:
    """Encoded rows as networks take them: a stream's rows."""

    rows: EncodedRows
    through: Callable[[Dataset], Part]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> Part:
        """Rows from one number up to another."""
        return self.through(self.rows.read(start, stop))


def full_training_rows_of(
    read: LoadedData, asked: FitConfig, training: pl.DataFrame, held_out: pl.DataFrame, encoder: Encoder
) -> FullTrainingRows | None:
    """All rows that may be learnt from; None where the table is in memory as a whole.

    Left out are rows whose inputs a held-out row has, whose group it is in, or whose time is not before it; and those
    whose target no row of the sample has.
    """
    whole = read.source.whole
    if whole is None:
        return None
    assert isinstance(encoder, TableEncoder)
    others = learnable(whole, read, asked, held_out)
    names = [column.name for column in encoder.columns]
    known = measured(pl.concat([others.select(names), training.lazy().select(names)]), read.columns)
    table, indices = _unmeasured(encoder), encoder.places()
    for name, values in known.items():
        table[:, indices[name][0][0]] = torch.tensor(values, dtype=torch.float64)

    def pieces() -> Iterator[Dataset]:
        yield dataset(training, encoder, read, asked.weight)
        for piece in walk(others):
            yield dataset(piece, encoder, read, asked.weight)

    key = json_text([read.source.fingerprint, encoder.to_json(), asked.model_dump(mode="json", exclude={"budget"})])
    folder = cache_folder("tables") / sha256(key.encode())[:32]
    rows = encoded(folder, pieces, classes=bool(read.task.classes), weighted=bool(asked.weight))
    return FullTrainingRows(rows, table)


def _unmeasured(encoder: TableEncoder) -> Tensor:
    return torch.full((MEASURES, len(encoder.number_names)), torch.nan, dtype=torch.float64)


def learnable(whole: LargeTable, read: LoadedData, asked: FitConfig, held_out: pl.DataFrame) -> pl.LazyFrame:
    """The rows outside the sample that a network may learn from."""
    target = pl.col(read.task.target)
    lazy = whole.others.filter(target.is_not_null())
    dtype = read.frame.schema[read.task.target]
    if dtype.is_float():
        lazy = lazy.filter(target.is_finite())
    if read.task.classes:
        classes = read.frame[read.task.target].unique()
        lazy = lazy.filter(target.cast(classes.dtype).is_in(classes.implode()))
    elif read.task.log_scale:
        lazy = lazy.filter(target > 0)
    if asked.weight:
        lazy = lazy.filter(pl.col(asked.weight).cast(pl.Float64, strict=False) >= 0)
    if asked.time:
        pattern = time_format(read.frame[asked.time], dates_of(asked))
        return lazy.filter(moments(pl.col(asked.time), pattern) < times(held_out[asked.time], pattern).min())
    if asked.group:
        group = pl.col(asked.group)
        return lazy.filter(group.is_null() | ~group.is_in(held_out[asked.group].drop_nulls().unique().implode()))
    inputs = [column.name for column in read.columns if column.used]
    if is_coarse(read.frame.drop(read.task.target)):
        return lazy
    return lazy.join(held_out.lazy().select(inputs).unique(), on=inputs, how="anti", nulls_equal=True)


def dataset(frame: pl.DataFrame, encoder: Encoder, read: LoadedData, weight: str) -> Dataset:
    """Rows of a table, encoded."""
    numbers, codes = encoder.encode(frame)
    known = weights_of(frame, weight)
    weights = None if known is None else torch.tensor(known, dtype=torch.float32)
    return Dataset(numbers, codes, encode_target(frame[read.task.target], read.task), weights)
