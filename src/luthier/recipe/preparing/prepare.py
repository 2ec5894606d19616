"""Before step 1: read the source, infer its columns and the task, split the rows, seal the test part.

Everything here is quick and follows from the source and the seed, so a resumed run does it again
instead of storing it, and the ledger checks that it came out the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
import polars as pl

from luthier.assess.fingerprints import Fingerprints, Secret
from luthier.assess.row_record import RowRecord
from luthier.data import Column, Source, Task, check_table
from luthier.data.large import HEAD, beside_rows
from luthier.data.row_bytes import row_bytes
from luthier.data.split import PARTS
from luthier.data.typed_columns.measured_target import target_facts
from luthier.data.typed_columns.task import positive_facts
from luthier.data.word_pieces import Words
from luthier.errors import InputError
from luthier.kinds import task_of
from luthier.messages import Message, joined
from luthier.recipe.decisions.column_type import ColumnEvidence
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.row_parts import TextEvidence
from luthier.recipe.decisions.target_task import PositiveEvidence, TaskEvidence
from luthier.recipe.preparing.joint_targets import JointTargets
from luthier.recipe.rows.computed_once import said_of
from luthier.recipe.rows.full_training_rows import FullTrainingRows, full_training_rows_of
from luthier.recipe.rows.known_rows import fingerprints_of_test, line_of, record_in, record_of
from luthier.recipe.rows.learnable import left_out_in_words
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.recipe.rows.reading import BESIDE, GROUPED, WEIGHED, LoadedData, weights_of
from luthier.recipe.rows.sealed_file import values_of_test
from luthier.recipe.rows.stored_splits import write_splits
from luthier.records import Finding, Said, found, noted
from luthier.request import RunRequest
from luthier.rows import Rows
from luthier.saved import RunFolder
from luthier.storage import write_bytes

PICTURE_COPIES = 3  # of a row's pixels: as decoded, of a part, and of both open parts together


@dataclass(frozen=True)
class Prepared(Parts):
    """The data of a run: its rows in two open parts and a sealed one, of which there is no frame."""

    source: Source
    columns: tuple[Column, ...]
    task: Task
    record: RowRecord  # what the run has to do with its rows
    full_training_rows: FullTrainingRows | None  # all training rows, where those of the part are a sample
    joint: JointTargets | None  # where several targets share their networks

    @property
    def open_rows(self) -> np.ndarray:
        """The numbers of the training rows, then of the validation rows."""
        return np.concatenate([self.splits.training, self.splits.validation])

    @property
    def open_part(self) -> Rows:
        """The training rows, then the validation rows."""
        return self.training.joined(self.validation)

    def memory_beside(self, memory: int) -> int:
        """Bytes of `memory` that networks may take beside the rows."""
        return beside_rows(memory, self._held)

    @cached_property
    def _held(self) -> float:
        """Bytes that the rows take in a run."""
        rows = len(self.training) + len(self.validation) + len(self.sealed)
        cells = row_bytes(self.frames["training"].head(HEAD), self.task.target, len(self.task.classes))
        return rows * (cells + (PICTURE_COPIES * prod(self.encoder.shape) if "pixels" in self.training.inputs else 0))


def prepare(read: LoadedData, asked: RunRequest, folder: RunFolder, secret: Secret) -> Said[Prepared]:
    """Split, encode and seal, and say what was inferred."""
    yield from _say_what_was_inferred(read, asked)
    parts, record = _split_and_recorded(read, asked, folder, secret)
    yield from decided(0, parts.split)
    for finding in _findings(read, asked, parts, record):
        yield found(0, finding)
    for words in parts.encoder.texts:
        known = bool(asked.backbone) and read.beside is None
        yield from _say_what_is_read(words, parts.frames["validation"], known)
    for sentence in said_of(parts.encoder, asked):
        yield noted(0, sentence)
    weights = parts.training.weights_array
    if not read.heads:  # of several targets each one's own run looks
        for finding in check_table(parts.frames["training"], read.columns, read.task, weights):
            yield found(0, finding)
    return Prepared(
        **{**vars(parts), "frames": {name: parts.frames[name] for name in ("training", "validation")}},
        source=read.source,
        columns=read.columns,
        task=read.task,
        record=record,
        full_training_rows=(yield from _everything(read, asked, parts)),
        joint=_joint(read, parts),
    )


def _joint(read: LoadedData, parts: Parts) -> JointTargets | None:
    if not read.heads:
        return None
    opened = parts.training.joined(parts.validation)
    return JointTargets.fit(read.heads, opened.targets, opened.weights)


def _split_and_recorded(
    read: LoadedData, asked: RunRequest, folder: RunFolder, secret: Secret
) -> tuple[Parts, RowRecord]:
    """The parts and the record of a run: those in its folder, else new ones, which are kept there."""
    record = _recorded(folder)
    if record is not None:
        return parts_of(read, asked, folder), record
    line = line_of(asked, secret)
    parts = parts_of(read, asked, folder, line=line)
    test = Fingerprints.none()
    if read.test is not None:
        test = fingerprints_of_test(read, values_of_test(read), line).rows(parts.test_rows)
    record = record_of(read, asked, parts.splits, test, line)
    write_bytes(folder.seal, record.shortened().to_bytes())
    write_splits(folder.splits, parts.splits, read.frame.height)
    return parts, record


def _recorded(folder: RunFolder) -> RowRecord | None:
    """The record of an earlier sitting; a damaged one is made anew."""
    try:
        return record_in(folder) if folder.splits.exists() else None
    except InputError:
        return None


def _findings(read: LoadedData, asked: RunRequest, parts: Parts, record: RowRecord) -> list[Finding]:
    result = [Finding("unknown-line", "warning", why, {}, "seal other rows with --test FILE") for why in record.unknown]
    rows, left_out = len(parts.sealed), len(parts.splits.left_out)
    if left_out:
        template = "{left_out} of the {rows} test rows are known to the run and left out"
        sentence = Message(template, left_out=left_out, rows=rows + left_out)
        evidence = {"known": left_out, "rows": rows + left_out}
        result.append(Finding("known-test-rows", "warning", sentence, evidence, "seal rows that no run has seen"))
    opened = len(parts.splits.training) + len(parts.splits.validation)
    if also := read.frame.height - opened - len(parts.splits.test):
        sentence = Message("1 row of the table is also in --test and not learnt from")
        if also > 1:
            sentence = Message("{rows} rows of the table are also in --test and not learnt from", rows=also)
        remedy = "name a table without the test rows"
        result.append(Finding("test-rows-in-table", "warning", sentence, {"rows": also}, remedy))
    if not asked.seals:
        sentence = Message("no row is sealed: what is delivered is estimated by rows that also chose it")
        remedy = "judge it on new rows: luthier branch RUN --step 5 --new-test FILE"
        result.append(Finding("nothing-sealed", "note", sentence, {}, remedy))
    wanted = round(asked.test_share * read.frame.height)
    if asked.warm_start and read.test is None and rows < 0.5 * wanted:
        template = "only {rows} rows are left that the earlier run has not learnt from; {wanted} were wanted to test on"
        sentence = Message(template, rows=rows, wanted=wanted)
        remedy = "add new rows, or seal others with --test FILE"
        result.append(Finding("few-fresh-rows", "warning", sentence, {"rows": rows, "wanted": wanted}, remedy))
    return result


def _everything(read: LoadedData, asked: RunRequest, parts: Parts) -> Said[FullTrainingRows | None]:
    """All training rows, where what decides is a sample of them."""
    training, validation, test = (parts.frames[name] for name in PARTS)
    if read.test is None:
        held_out = pl.concat([validation, test], how="diagonal_relaxed")
        result = full_training_rows_of(read, asked, training, held_out, parts.encoder)
    else:
        result = full_training_rows_of(read, asked, training, validation, parts.encoder, test)
    if result is not None and read.source.whole is not None:
        sentence = Message(
            "decisions use a sample; of the {rows:,} rows of the table the final networks train on "
            "{count:,}, read from disk",
            rows=read.source.whole.rows,
            count=len(result),
        )
        if message := left_out_in_words(result.left_out):
            sentence = joined([sentence, Message("of those outside of the sample {rows}", rows=message)])
        yield noted(0, sentence)
    return result


def _say_what_was_inferred(read: LoadedData, asked: RunRequest) -> Said[None]:
    overrides, warm = asked.columns, bool(asked.warm_start)
    for note in (*read.source.notes, *read.notes):
        yield noted(0, note)
    if read.dropped_rows:
        template = "{dropped_rows} rows without a value of `{target}` left out"
        yield noted(
            0, Message(template, dropped_rows=read.dropped_rows, target="`, `".join(task.target for task in read.tasks))
        )
    for column in read.columns:
        overridden = (
            warm
            or read.pictures is not None
            or column.kind == "picture"
            or column.name in overrides
            or column.reason in (GROUPED, WEIGHED, BESIDE)
        )
        evidence = ColumnEvidence(column.name, *(_asked(column) if overridden else (read.facts[column.name],)))
        yield from decided(0, evidence, synced=False)  # of thousands of columns each would take milliseconds
    if read.heads:  # each one's own run says how it is read
        names = ", ".join(task.target for task in read.heads)
        yield noted(0, Message("{count} targets share their networks: {names}", count=len(read.heads), names=names))
        return
    target, weights = read.frame[read.task.target], weights_of(read.frame, read.weight)
    facts = target_facts(target, read.task.kind if warm or asked.order else asked.task, weights)
    if read.task.traits.is_ordered and not facts.scale:
        facts = replace(facts, scale=read.task.classes, scaled_by="type")
    how = read.task.reason.removeprefix(task_of(facts)[1]).removeprefix("; ")
    yield from decided(0, TaskEvidence(facts, read.task.log_scale, how))
    if len(read.task.classes) == 2:
        facts_of_two = positive_facts(
            target, read.task, weights, read.task.positive_name if asked.warm_start else asked.positive
        )
        yield from decided(0, PositiveEvidence(facts_of_two, asked.warm_start))


def _asked(column: Column) -> tuple[None, str, str]:
    return None, column.kind, column.reason


def _say_what_is_read(words: Words, validation: pl.DataFrame, known: bool) -> Said[None]:
    lost = words.figures(validation)
    sizes = words.pieces, len(words.pairs), words.length
    yield from decided(0, TextEvidence(words.name, *sizes, cut=lost["cut"], unknown=lost["unknown"], known=known))
