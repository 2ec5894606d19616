"""The rows of a run in three parts, as a table and encoded. N rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from luthier.assess import SealedTest, Units
from luthier.data import Encoder, FrozenEncoder, Splits, Task, encoder_of
from luthier.data.copies import Copies, picture_copies
from luthier.data.pictures import alike, checksums, sketches
from luthier.data.split import PARTS, VALIDATION, group_numbers
from luthier.data.times import time_format, times
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe.decisions.row_parts import SplitEvidence
from luthier.recipe.rows.computed_once import frozen_features, keep_vectors
from luthier.recipe.rows.draw_parts import drawn
from luthier.recipe.rows.full_training_rows import dataset
from luthier.recipe.rows.known_rows import Line
from luthier.recipe.rows.reading import LoadedData, model_of
from luthier.recipe.rows.sample_weights import varied
from luthier.recipe.rows.sealed_file import values_of_test
from luthier.recipe.rows.stored_splits import read_splits
from luthier.recipe.rows.time_order import dates_of
from luthier.request import RunRequest
from luthier.rows import Rows
from luthier.saved import RunFolder


@dataclass(frozen=True)
class Parts:
    """The rows of a run in three parts: as a table, and encoded. `split` says how they came about; `units` are what new
    data would bring anew, of each part."""

    splits: Splits
    frames: Mapping[str, pl.DataFrame]
    encoder: Encoder
    training: Rows
    validation: Rows
    sealed: SealedTest
    units: Mapping[str, Units]
    split: SplitEvidence
    together: np.ndarray  # of the training and validation rows: those with the same number, from 0, are copies
    test_rows: np.ndarray  # the numbers of the test rows, in the table or in the file of other test rows


def parts_of(
    read: LoadedData, asked: RunRequest, folder: RunFolder | None = None, *, line: Line | None = None
) -> Parts:
    """Split and encode; nothing is written. The parts are those in the run's `folder`, else they are drawn: the same
    request gives the same ones, of rows that are not open in the `line` that the run comes from."""
    kept = None if folder is None else read_splits(folder.splits, read.frame.height)
    splits = drawn(read, asked, line or Line.none()) if kept is None else kept
    frames = {name: read.frame[getattr(splits, name)] for name in PARTS}
    test_rows = splits.test
    if read.test is not None:
        values = values_of_test(read)
        test_rows = np.setdiff1d(np.arange(values.height), splits.left_out)
        frames["test"] = values[test_rows]
    if read.encoder is not None:
        encoder = read.encoder
    elif asked.heads and folder is not None and folder.bundle.exists():
        encoder = model_of(str(folder.path)).encoder  # of networks that learnt from rows without this target too
    elif asked.warm_start:
        encoder = model_of(asked.warm_start).encoder
    else:
        encoder = _encoder(read, asked, frames["training"])
    keep_vectors(encoder, read.frame, asked)
    training, validation = (dataset(frames[name], encoder, read.task, read.weight, read.heads) for name in PARTS[:2])
    test_weight = varied(frames["test"], asked.sample_weight) or read.weight
    test = dataset(frames["test"], encoder, read.task, test_weight, read.heads)
    _require_different(training, read.task)
    opened = np.concatenate([splits.training, splits.validation])
    opened_frame = pl.concat([frames["training"], frames["validation"]])
    copies = {name: read.copies.together[getattr(splits, name)] for name in PARTS}
    if read.test is not None:
        copies["test"] = _copies_in_test(frames["test"], test, read).together
    units = {name: _units(frame, read, asked, copies[name]) for name, frame in frames.items()}
    units["open"] = _units(opened_frame, read, asked, read.copies.together[opened])
    split = _split(splits, read, asked, frames)
    together = np.unique(read.copies.together[opened], return_inverse=True)[1]
    return Parts(splits, frames, encoder, training, validation, SealedTest(test), units, split, together, test_rows)


def _encoder(read: LoadedData, asked: RunRequest, training: pl.DataFrame) -> Encoder:
    """What encodes rows like these training rows, with the backbone that sees pictures beside other columns."""
    store = read.pictures or read.beside
    options: dict[str, Any] = {"text_model": asked.text_model, "store": store}
    if asked.backbone and store is None:
        options["backbone"] = asked.backbone
    if asked.backbone and read.beside is not None:
        features = frozen_features(read, asked, training)
        return FrozenEncoder.learnt(training, read.columns, features=features, **options)
    return encoder_of(training, read.columns, **options)


def _require_different(training: Rows, task: Task) -> None:
    """InputError where the training rows have one value of a regression's target."""
    values = training.targets
    if not task.is_classes and values is not None and values.ndim == 1 and bool((values == values[0]).all()):
        raise InputError(
            Message("every training row has the same `{target}`", target=task.target),
            expected="a target with different values",
            received=Message("{value:g} in all {count} training rows", value=values[0].item(), count=len(values)),
        )


def _copies_in_test(frame: pl.DataFrame, test: Rows, read: LoadedData) -> Copies:
    if read.pictures is None:
        return read.copy_rule.copies(frame)
    pixels = test.inputs["pixels"].numpy()
    return picture_copies(checksums(pixels), alike(sketches(pixels)))


def _units(frame: pl.DataFrame, read: LoadedData, asked: RunRequest, copies: np.ndarray) -> Units:
    """Groups where rows come in groups, an order where they come in time; else rows, a row and its copies as one."""
    if not frame.height:
        return Units()
    if asked.group in frame.columns:
        return Units("groups", group_numbers(frame[asked.group]))
    if asked.time in frame.columns:
        pattern = time_format(read.frame[asked.time], dates_of(asked))
        return Units("blocks", times(frame[asked.time], pattern).rank("ordinal").to_numpy())
    return Units("rows", copies) if len(np.unique(copies)) < len(copies) else Units()


def _split(splits: Splits, read: LoadedData, asked: RunRequest, frames: Mapping[str, pl.DataFrame]) -> SplitEvidence:
    """How the parts came about, and in what order of time they lie."""
    by: Any = "time" if asked.time else "groups" if asked.group else "classes" if read.task.classes else "values"
    training, validation, test = (frames[name].height for name in PARTS)
    sealed = 100 * asked.test_share
    opened = 100 - sealed
    wanted = (opened - opened * VALIDATION, opened * VALIDATION, sealed) if asked.seals and read.test is None else ()
    evidence = SplitEvidence(training, validation, test, asked.seed, by, notes=splits.notes, wanted=wanted)
    if any(asked.time not in frame.columns or not frame.height for frame in frames.values()):
        return evidence
    pattern = time_format(read.frame[asked.time], dates_of(asked))
    learnt, chosen, tested = (times(frame[asked.time], pattern) for frame in frames.values())
    late = int((learnt >= chosen.min()).sum()), int((chosen >= tested.min()).sum())
    return replace(evidence, begins=(f"{chosen.min()!s}", f"{tested.min()!s}"), late=late)
