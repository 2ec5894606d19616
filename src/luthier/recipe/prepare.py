"""Before step 1: read the source, infer its columns and the task, split the rows, seal the test part.

Everything here is quick and follows from the source and the seed, so a resumed run does it again
instead of storing it, and the ledger checks that it came out the same.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from luthier import storage
from luthier.assess import SealedTest, Units
from luthier.data import (
    Column,
    Dataset,
    Encoder,
    PictureEncoder,
    Source,
    Splits,
    TableEncoder,
    Task,
    check_table,
    read_source,
    split_rows,
    target_facts,
    with_target,
    with_values,
)
from luthier.data.levels import texts_of
from luthier.data.split import PARTS, group_numbers
from luthier.data.task import positive_facts, positive_of
from luthier.data.times import time_format, times
from luthier.data.word_pieces import Words
from luthier.errors import InputError
from luthier.recipe.config import FitConfig
from luthier.recipe.full_training_rows import FullTrainingRows, dataset, full_training_rows_of
from luthier.recipe.learnable import left_out_in_words
from luthier.recipe.ledger import Ledger
from luthier.recipe.outside import require_outside
from luthier.recipe.reading import (
    BESIDE,
    GROUPED,
    WEIGHED,
    LoadedData,
    dates_of,
    listed,
    model_of,
    weights_of,
)
from luthier.recipe.sample_weights import CountedRows, require_weights, varied
from luthier.records import Decision
from luthier.saved import RunFolder


@dataclass(frozen=True)
class Prepared:
    """The data of a run: two open parts, one sealed."""

    source: Source
    columns: tuple[Column, ...]
    task: Task
    encoder: Encoder
    training: Dataset
    validation: Dataset
    training_frame: pl.DataFrame
    validation_frame: pl.DataFrame
    test_rows: np.ndarray  # their numbers in the table; what stands in them is sealed
    sealed: SealedTest
    units: Mapping[str, Units]  # of each part: what new data would bring anew
    together: np.ndarray  # as in Parts
    full_training_rows: FullTrainingRows | None = None  # all training rows, where those above are a sample


@dataclass(frozen=True)
class Parts:
    """The rows of a run in three parts: as a table, and encoded. `how` says how they were split, `notes` what was
    special about it; `units` are what new data would bring anew, of each part."""

    splits: Splits
    frames: Mapping[str, pl.DataFrame]
    encoder: Encoder
    training: Dataset
    validation: Dataset
    sealed: SealedTest
    units: Mapping[str, Units]
    how: str
    notes: tuple[str, ...]
    together: np.ndarray  # of the training and validation rows: those with the same number, from 0, are copies


def parts_of(read: LoadedData, asked: FitConfig) -> Parts:
    """Split and encode; the same request gives the same parts. Nothing is written."""
    splits = split_rows(
        read.frame,
        task=read.task,
        seed=asked.seed,
        group=asked.group,
        time=asked.time,
        dates=dates_of(asked),
        copies=read.copies,
    )
    splits = _without_test(splits, asked) if asked.new_test else splits
    frames = {name: read.frame[getattr(splits, name)] for name in PARTS}
    notes = splits.notes
    if asked.new_test:
        frames["test"], message = _new_rows(asked.new_test, read, asked.weight)
        notes = (*notes, *message)
        require_outside(frames["test"], read, asked)
    if asked.warm_start:
        encoder: Encoder = model_of(asked.warm_start).encoder
    elif read.pictures is not None:
        encoder = PictureEncoder(read.columns, read.pictures.shape, read.pictures)
    else:
        encoder = TableEncoder.fit(frames["training"], read.columns)
    training, validation = (dataset(frames[name], encoder, read.task, read.weight) for name in PARTS[:2])
    test = dataset(frames["test"], encoder, read.task, varied(frames["test"], asked.weight) or read.weight)
    _require_different(training, read.task)
    units = {
        name: _units(frame, read, asked, read.copies.together[getattr(splits, name)]) for name, frame in frames.items()
    }
    how = _how_split(read, asked, frames, units)
    opened = np.concatenate([splits.training, splits.validation])
    together = np.unique(read.copies.together[opened], return_inverse=True)[1]
    return Parts(splits, frames, encoder, training, validation, SealedTest(test), units, how, notes, together)


def _require_different(training: Dataset, task: Task) -> None:
    """InputError where the training rows have one value of a regression's target."""
    values = training.targets
    if task.kind == "regression" and values is not None and bool((values == values[0]).all()):
        raise InputError(
            f"every training row has the same `{task.target}`",
            expected="a target with different values",
            received=f"{values[0].item():g} in all {len(values)} training rows",
        )


def _units(frame: pl.DataFrame, read: LoadedData, asked: FitConfig, copies: np.ndarray) -> Units:
    """Groups where rows come in groups, an order where they come in time; else rows, a row and its copies as one."""
    if asked.group in frame.columns:
        return Units("groups", group_numbers(frame[asked.group]))
    if asked.time in frame.columns:
        pattern = time_format(read.frame[asked.time], dates_of(asked))
        return Units("blocks", times(frame[asked.time], pattern).rank("ordinal").to_numpy())
    if len(copies) != frame.height:  # new test rows
        copies = read.copy_rule.copies(frame).together
    return Units("rows", copies) if len(np.unique(copies)) < len(copies) else Units()


def _without_test(splits: Splits, asked: FitConfig) -> Splits:
    """The same rows in two parts, since others are sealed."""
    none = splits.test[:0]
    if asked.previous:  # what that run has learnt from stays what it was
        joined = np.sort(np.concatenate([splits.validation, splits.test]))
        note = f"the old test rows join the validation set; '{asked.new_test}' is the new test set"
        return Splits(splits.training, joined, none, (*splits.notes, note))
    joined = np.sort(np.concatenate([splits.training, splits.validation]))
    note = f"'{asked.new_test}' is the test set, so that set is for validation and the other two for training"
    return Splits(joined, splits.test, none, (*splits.notes, note))


def prepare(read: LoadedData, asked: FitConfig, folder: RunFolder, ledger: Ledger) -> Prepared:
    """Split, encode and seal, and write what was inferred into the ledger."""
    _say_what_was_inferred(read, asked, ledger)
    parts = parts_of(read, asked)
    _store(parts.splits, read.frame.height, folder)
    sizes = {"training": len(parts.training), "validation": len(parts.validation), "test": len(parts.sealed)}
    ledger.decide(
        Decision(
            step=0,
            topic="split",
            chosen=part_sizes_in_words(sizes),
            reason=parts.how + "".join(f"; {note}" for note in parts.notes),
            evidence={"seed": asked.seed, **sizes},
            override="--seed",
            rule="parts of the split",
        )
    )
    for words in parts.encoder.texts:
        _say_what_is_read(words, parts.frames["validation"], ledger)
    weights = None if parts.training.weights is None else parts.training.weights.numpy()
    for finding in check_table(parts.frames["training"], read.columns, read.task, weights):
        ledger.find(finding, step=0)
    return Prepared(
        source=read.source,
        columns=read.columns,
        task=read.task,
        encoder=parts.encoder,
        training=parts.training,
        validation=parts.validation,
        training_frame=parts.frames["training"],
        validation_frame=parts.frames["validation"],
        test_rows=np.arange(len(parts.sealed)) if asked.new_test else parts.splits.test,
        sealed=parts.sealed,
        units=parts.units,
        together=parts.together,
        full_training_rows=_everything(read, asked, parts, ledger),
    )


def _everything(read: LoadedData, asked: FitConfig, parts: Parts, ledger: Ledger) -> FullTrainingRows | None:
    held_out = pl.concat([parts.frames["validation"], parts.frames["test"]], how="diagonal_relaxed")
    result = full_training_rows_of(read, asked, parts.frames["training"], held_out, parts.encoder)
    if result is not None and read.source.whole is not None:
        sentence = (
            f"decisions use a sample; of the {read.source.whole.rows:,} rows of the table the final networks train on "
            f"{len(result):,}, read from disk"
        )
        if message := left_out_in_words(result.left_out):
            sentence += f"; of those outside of the sample {message}"
        ledger.add("note", {"step": 0, "sentence": sentence})
    return result


def _say_what_was_inferred(read: LoadedData, asked: FitConfig, ledger: Ledger) -> None:
    overrides, warm = asked.columns, bool(asked.warm_start)
    for note in (*read.source.notes, *read.notes):
        ledger.add("note", {"step": 0, "sentence": note})
    if read.dropped_rows:
        ledger.add(
            "note",
            {
                "step": 0,
                "sentence": f"{read.dropped_rows} rows without a value of `{read.task.target}` left out",
            },
        )
    for column in read.columns:
        overridden = (
            warm or read.pictures is not None or column.name in overrides or column.reason in (GROUPED, WEIGHED, BESIDE)
        )
        ledger.decide(
            Decision(
                step=0,
                topic=f"column `{column.name}`",
                chosen=column.kind if column.used else f"{column.kind}, dropped",
                reason=column.reason,
                evidence={"asked": column.kind} if overridden else read.facts[column.name].to_json(),
                override=column.override,
                rule="as asked" if overridden else "kind of column",
            )
        )
    scale = "; it is positive and skewed, so the model predicts its logarithm" if read.task.log_scale else ""
    target, weights = read.frame[read.task.target], weights_of(read.frame, read.weight)
    evidence = asdict(target_facts(target, read.task.kind if warm else asked.task, weights))
    reason = f"{read.task.reason}{scale}"
    ledger.decide(
        Decision(0, "task", read.task.kind, reason, evidence=evidence, override="--task", rule="task of the target"),
    )
    if len(read.task.classes) == 2:
        _say_what_is_positive(read, asked, ledger)


def _say_what_is_positive(read: LoadedData, asked: FitConfig, ledger: Ledger) -> None:
    """Which class thresholds, costs and F1 are about."""
    task, other = read.task, read.task.classes[1 - read.task.positive_index]
    weights = weights_of(read.frame, read.weight)
    facts = positive_facts(
        read.frame[task.target], task, weights, task.positive_name if asked.warm_start else asked.positive
    )
    reason = f"'{asked.warm_start}' took it so" if asked.warm_start else positive_of(facts)[1]
    ledger.decide(
        Decision(
            step=0,
            topic="positive class",
            chosen=task.positive_name,
            reason=reason,
            evidence=asdict(facts),
            override=f"--positive {shlex.quote(other)}",
            rule="positive class",
        )
    )


def _how_split(
    read: LoadedData, asked: FitConfig, frames: Mapping[str, pl.DataFrame], units: Mapping[str, Units]
) -> str:
    """How the parts came about, with the shares that they have, and in what order of time they lie."""
    sizes = [frame.height for frame in frames.values()]
    shares = "{:.0f}, {:.0f} and {:.0f} %".format(*(100 * size / sum(sizes) for size in sizes))
    if asked.time:
        return f"{shares} of the rows in their order of time{_in_time(read, asked, frames)}"
    if asked.group:
        return f"{shares} of the rows in whole groups, as near to 60, 20 and 20 % as groups allow"
    alike = "the classes in equal shares" if read.task.classes else "the target's range in equal shares"
    return f"{shares} of the rows, shuffled with the run's seed, {alike}"


def _in_time(read: LoadedData, asked: FitConfig, frames: Mapping[str, pl.DataFrame]) -> str:
    """Where the later parts begin, and how many rows of an earlier part lie after that."""
    if any(asked.time not in frame.columns for frame in frames.values()):
        return ""
    pattern = time_format(read.frame[asked.time], dates_of(asked))
    training, validation, test = (times(frame[asked.time], pattern) for frame in frames.values())
    message = f": validation begins at {validation.min()!s}, the test part at {test.min()!s}"
    for name, earlier, later, first in (
        ("training", training, "validation", validation.min()),
        ("validation", validation, "test", test.min()),
    ):
        after = int((earlier >= first).sum())
        message += f"; {after or 'no'} {name} row{'s' * (after > 1)} lie{'s' * (after < 2)} after the first {later} row"
    return message


def _new_rows(path: str, read: LoadedData, weight: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Fresh rows of the same table, with a target, none of which the run has seen; and what is said of them."""
    rows = CountedRows.of(read_source(path, target=read.task.target).frame, weight)
    result = with_target(rows.frame, read.task)
    result = result.filter(result[read.task.target].is_not_null())
    needed = [column.name for column in read.columns if column.used or column.name == weight]
    missing = [name for name in needed if name not in result.columns]
    if missing:
        raise InputError(
            f"'{path}' cannot be the new test set: {len(missing)} columns are missing",
            expected="the columns of training",
            received=f"no {listed(missing)}",
        )
    if weight:
        require_weights(result, weight)
    names = [name for name in read.frame.columns if name in result.columns]
    result = with_values(result.select(names), read.columns)
    known = set(_comparable(read.frame.select(names)).hash_rows(seed=0).to_list())
    again = sum(value in known for value in _comparable(result).hash_rows(seed=0))
    if result.height == 0 or again > result.height // 2:
        raise InputError(
            f"'{path}' is not a new test set",
            expected="new rows with a target",
            received=f"{result.height} rows with a target, {again} of them already known to the run",
        )
    return result, rows.notes


def _comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows whose checksums are the same where their values are, whatever type they came in."""
    return frame.with_columns(pl.selectors.numeric().cast(pl.Float64)).select(
        [texts_of(frame[name]) if not frame[name].dtype.is_numeric() else pl.col(name) for name in frame.columns]
    )


def _say_what_is_read(words: Words, validation: pl.DataFrame, ledger: Ledger) -> None:
    result = {"pieces": words.pieces, "pairs": len(words.pairs), "length": words.length, **words.figures(validation)}
    ledger.decide(
        Decision(
            step=0,
            topic=f"words of `{words.name}`",
            chosen=words_in_words(result),
            reason="the pieces come from byte-pair encoding of the training rows, the pairs occur in at least two of "
            "them, "
            f"and 98 % of them fit the length; {result['cut']:.1%} of the validation rows are truncated, "
            f"{result['unknown']:.2%} of their pieces are unknown",
            evidence=result,
            rule="pieces of the text",
        )
    )


def words_in_words(found: Mapping[str, Any]) -> str:
    """What of a text is read."""
    return f"{found['pieces']} word pieces and {found['pairs']} pairs; the first {found['length']} of each row are read"


def part_sizes_in_words(sizes: Mapping[str, int]) -> str:
    """How many rows each part has."""
    return f"{sizes['training']} training, {sizes['validation']} validation, {sizes['test']} sealed test rows"


def _store(splits: Splits, rows: int, folder: RunFolder) -> None:
    part = np.full(rows, "training", dtype=object)
    part[splits.validation], part[splits.test] = "validation", "test"
    table = pl.DataFrame({"row": np.arange(rows), "part": part.astype(str)})
    with storage.explained(folder.splits):
        table.write_parquet(folder.splits)
