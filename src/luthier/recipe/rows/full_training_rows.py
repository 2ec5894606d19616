"""All rows to learn from where a sample decides: those outside the sample that no held-out row forbids.

They are encoded in one pass and measured as such, and the final networks train on them. N rows, F numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor

from luthier.data import Encoder, Task, encode_target
from luthier.data.encoded import EncodedRows, encoded
from luthier.data.large import measured, require_finite_outside
from luthier.errors import InputError
from luthier.recipe.rows.learnable import learnable
from luthier.recipe.rows.reading import LoadedData, weights_of
from luthier.request import RunRequest
from luthier.rows import Rows
from luthier.storage import cache_folder, json_text, sha256

MEASURES = 5  # share missing, mean, deviation, lowest, highest


@dataclass(frozen=True)
class FullTrainingRows:
    """All training rows, encoded on the disk, what was measured of their numbers [5, F], and what is not among them."""

    rows: EncodedRows
    measured: Tensor
    left_out: Mapping[str, int] = field(default_factory=dict)  # rows outside of the sample, by reason

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class StreamedInputs:
    """Encoded rows as networks take them: a stream's rows."""

    rows: EncodedRows
    through: Callable[[Rows], Rows]

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> Rows:
        """Rows from one number up to another."""
        return self.through(self.rows.read(start, stop))


def full_training_rows_of(
    read: LoadedData,
    asked: RunRequest,
    training: pl.DataFrame,
    held_out: pl.DataFrame,
    encoder: Encoder,
    test: pl.DataFrame | None = None,
) -> FullTrainingRows | None:
    """All rows that may be learnt from; None where the table is in memory as a whole.

    Left out are rows whose inputs a held-out row has, whose group it is in, or whose time is not before it; those whose
    target cannot be learnt; and `test` rows of another file. InputError for infinite numbers, and for what a table in
    memory is refused for.
    """
    whole = read.source.whole
    if whole is None:
        return None
    if read.task.traits.is_labels:
        raise InputError(
            "labels are learnt from a table in memory",
            received="a table of which memory holds a sample",
            remedy="more --memory, or a part of its rows",
        )
    result = learnable(whole, read, asked, held_out, test)
    others = result.rows

    def pieces() -> Iterator[Rows]:
        yield dataset(training, encoder, read.task, read.weight)
        for piece in others.frames():
            require_finite_outside(piece, read.columns)
            yield dataset(piece, encoder, read.task, read.weight)

    key = json_text([read.source.fingerprint, encoder.to_json(), asked.model_dump(mode="json", exclude={"budget"})])
    folder = cache_folder("tables") / sha256(key.encode())[:32]
    rows = encoded(folder, pieces, classes=bool(read.task.classes), weighted=bool(read.weight))
    table = torch.full((MEASURES, len(encoder.number_names)), torch.nan, dtype=torch.float64)
    indices = encoder.places()
    numbers = [indices[column.name]["numbers"][0] for column in encoder.columns if column.kind == "number"]
    table[:, numbers] = torch.from_numpy(measured(block[:, numbers] for block in rows.blocks()))
    copies = result.count + training.height - len(rows)
    return FullTrainingRows(rows, table, {**result.left_out, "that copy held-out rows": copies})


def dataset(frame: pl.DataFrame, encoder: Encoder, task: Task, weight: str, heads: Sequence[Task] = ()) -> Rows:
    """Rows of a table, encoded; `weight` is the column of their weights, empty where all count alike.

    Several `heads` have targets [N, T], NaN where a row lacks one.
    """
    known = weights_of(frame, weight)
    weights = None if known is None else torch.tensor(known, dtype=torch.float64)
    targets = encode_targets(frame, heads) if heads else encode_target(frame[task.target], task)
    return Rows(encoder.encode(frame), targets, weights)


def encode_targets(frame: pl.DataFrame, tasks: Sequence[Task]) -> Tensor:
    """Targets as networks with several heads see them, float64 [N, T]; NaN where a row lacks one."""
    result = torch.full((frame.height, len(tasks)), torch.nan, dtype=torch.float64)
    for t, task in enumerate(tasks):
        known = frame[task.target].is_not_null()
        result[torch.from_numpy(known.to_numpy().copy()), t] = encode_target(
            frame[task.target].filter(known), task
        ).double()
    return result
