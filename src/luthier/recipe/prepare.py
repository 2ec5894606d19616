"""Before step 1: read the source, infer its columns and the task, split the rows, seal the test part.

Everything here is quick and follows from the source and the seed, so a resumed run does it again
instead of storing it, and the ledger checks that it came out the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luthier import storage
from luthier.assess import METRICS, Costs, SealedTest
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
    encode_target,
    facts_of,
    infer_columns,
    infer_task,
    read_source,
    require_rows,
    split_rows,
    target_facts,
)
from luthier.data.pictures import Store, common_shape, read_pictures
from luthier.data.words import Words
from luthier.errors import ConfigError, InputError, nearest
from luthier.recipe.config import Asked
from luthier.recipe.ledger import Ledger
from luthier.recipe.run_folder import RunFolder, open_run
from luthier.records import Decision
from luthier.saved import Model

GROUPED, WEIGHED, BESIDE = "it names the groups", "it weighs the rows", "it is predicted too"


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


@dataclass(frozen=True)
class Read:
    """A source that was read and understood, with its usable rows; nothing is split yet."""

    source: Source
    frame: pl.DataFrame
    dropped_rows: int
    task: Task
    columns: tuple[Column, ...]
    pictures: Store | None = None  # decoded, where pictures are learnt from
    notes: tuple[str, ...] = ()


def read_as_asked(source: Any, asked: Asked) -> Read:
    """Read a source as a request says; InputError for a group, time, metric or costs that cannot be meant."""
    if asked.warm_start:
        read = read_as_before(source, asked)
    else:
        read = read_and_infer(
            source, target=asked.target, task=asked.task, columns=asked.columns, side=asked.size, strict=asked.strict
        )
    for option, name in (("--group", asked.group), ("--time", asked.time), ("--weight", asked.weight)):
        if name and (name not in read.frame.columns or name == read.task.target):
            raise InputError(
                f"{option} {name}: there is no such column",
                expected=f"one of {_listed([c for c in read.frame.columns if c != read.task.target])}",
                remedy=nearest(name, read.frame.columns) or "check the spelling",
            )
    if asked.group and asked.time:
        raise InputError("--group and --time exclude each other", remedy="choose the one that real use looks like")
    known = [name for name, metric in METRICS.items() if read.task.kind in metric.kinds]
    if asked.metric and asked.metric not in known:
        hint = nearest(asked.metric, known)
        raise ConfigError([f"--metric {asked.metric}: not one of {', '.join(known)}; {hint}".rstrip("; ")])
    if asked.costs:
        Costs.parse(asked.costs)
        if read.task.kind != "binary":
            raise InputError("--cost is for two classes", received=f"a {read.task.kind} task")
    if asked.weight:
        _check_weights(read, asked.weight)
    # Who a row belongs to, how much it counts, or what else is asked about it, is not what it is like.
    reasons = {asked.group: GROUPED, asked.weight: WEIGHED, **dict.fromkeys(asked.beside, BESIDE)}
    columns = tuple(
        replace(c, used=False, kind="identifier", reason=reasons[c.name]) if c.name in reasons else c
        for c in read.columns
    )
    return replace(read, columns=columns)


def read_and_infer(
    source: Any,
    *,
    target: str | None,
    task: str | None,
    columns: Mapping[str, str],
    side: int = 0,
    strict: bool = False,
) -> Read:
    """Read a source and infer what its columns and its target are. InputError for what cannot be used.

    Pictures are scaled to at most `side` pixels (0: 64); with `strict` one that cannot be read is an error.
    """
    found = read_source(source, target=target)
    name = target or found.target
    if name is None:
        raise InputError(
            "the column to predict is not known",
            expected="the name of one column",
            received="no --target",
            remedy=f"--target {found.frame.columns[-1]} (the columns are {_listed(found.frame.columns)})",
        )
    inferred = infer_task(found.frame[name], override=task)
    frame = found.frame.filter(usable_rows(found.frame[name]))
    require_rows(frame)
    if found.picture and columns.get(found.picture, "picture") == "picture":
        shape = common_shape(frame[found.picture].fill_null("").to_list(), side)
        dropped = found.frame.height - frame.height
        frame, store, notes = read_pictures(frame, found.picture, shape, strict=strict)
        require_rows(frame)
        inferred = infer_task(frame[name], override=task)
        return Read(found, frame, dropped, inferred, picture_columns(frame, found.picture, name), store, notes)
    return Read(
        source=found,
        frame=frame,
        dropped_rows=found.frame.height - frame.height,
        task=inferred,
        columns=infer_columns(frame, target=name, overrides=columns),
    )


def read_as_before(source: Any, asked: Asked) -> Read:
    """Read new rows of a table that a run's model knows: its task and its columns are taken over."""
    model = model_of(asked.warm_start)
    if asked.task or asked.columns:
        raise InputError("--task and --column are settled by the run that is gone on from", remedy="leave them out")
    name = model.task.target
    if asked.target not in (None, name):
        raise InputError(f"--target {asked.target}: the run predicts `{name}`", remedy=f"--target {name}")
    found = read_source(source, target=name)
    frame = found.frame.filter(usable_rows(found.frame[name]))
    require_rows(frame)
    model.encode(frame.head(0))  # says which columns are missing
    encode_target(frame[name], model.task)  # and which classes are new
    reason = f"'{asked.warm_start}' uses it so"
    columns = tuple(replace(column, reason=reason) for column in model.encoder.columns)
    task = replace(model.task, reason=f"'{asked.warm_start}' predicts it")
    return Read(found, frame, found.frame.height - frame.height, task, columns)


def model_of(run: str) -> Model:
    """The model that a finished run delivered. InputError where there is none."""
    folder = open_run(run)
    if not folder.bundle.exists():
        raise InputError(f"'{run}' has delivered no model", remedy=f"finish it first: luthier fit --resume {run}")
    return Model.load(folder.bundle)


def picture_columns(frame: pl.DataFrame, picture: str, target: str) -> tuple[Column, ...]:
    """The column of pictures is what is learnt from; others stay outside."""
    others = [name for name in frame.columns if name not in (picture, target)]
    return (
        Column(picture, "picture", True, "its cells refer to pictures"),
        *(Column(name, "identifier", False, "pictures are what is learnt from") for name in others),
    )


def usable_rows(target: pl.Series) -> pl.Series:
    """Which rows have a target: not null, and not NaN."""
    known = target.is_not_null()
    return known & target.is_not_nan().fill_null(False) if target.dtype.is_float() else known


@dataclass(frozen=True)
class Parts:
    """The rows of a run in three parts: as a table, and encoded. `notes` say what was special about the split."""

    splits: Splits
    frames: Mapping[str, pl.DataFrame]
    encoder: Encoder
    training: Dataset
    validation: Dataset
    sealed: SealedTest
    notes: tuple[str, ...]


def parts_of(read: Read, asked: Asked) -> Parts:
    """Split and encode; the same request gives the same parts. Nothing is written."""
    copies = None if read.pictures is None else read.pictures.copies(read.frame[_picture(read)].to_list())
    splits = split_rows(read.frame, task=read.task, seed=asked.seed, group=asked.group, time=asked.time, copies=copies)
    frames = {name: read.frame[getattr(splits, name)] for name in ("training", "validation", "test")}
    notes = splits.notes
    if asked.new_test:
        joined = np.sort(np.concatenate([splits.validation, splits.test]))
        splits = replace(splits, validation=joined, test=splits.test[:0])
        frames |= {"validation": read.frame[joined], "test": _new_rows(asked.new_test, read)}
        notes += (f"the old test rows join the validation part, '{asked.new_test}' is the new test part",)
    if asked.warm_start:
        encoder: Encoder = model_of(asked.warm_start).encoder
    elif read.pictures is not None:
        encoder = PictureEncoder(read.columns, read.pictures.shape, read.pictures)
    else:
        encoder = TableEncoder.fit(frames["training"], read.columns)
    training, validation, test = (_dataset(frame, encoder, read.task, asked.weight) for frame in frames.values())
    return Parts(splits, frames, encoder, training, validation, SealedTest(test), notes)


def prepare(read: Read, asked: Asked, folder: RunFolder, ledger: Ledger) -> Prepared:
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
            reason=_how_split(read, asked) + "".join(f"; {note}" for note in parts.notes),
            evidence={"seed": asked.seed, **sizes},
            override="--seed",
            rule="parts of the split",
        )
    )
    for words in parts.encoder.texts:
        _say_what_is_read(words, parts.frames["validation"], ledger)
    for finding in check_table(parts.frames["training"], read.columns, read.task):
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
    )


def _say_what_was_inferred(read: Read, asked: Asked, ledger: Ledger) -> None:
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
                evidence={"asked": column.kind} if overridden else facts_of(read.frame[column.name]).to_json(),
                override=column.override,
                rule="as asked" if overridden else "kind of column",
            )
        )
    if not any(column.used for column in read.columns):
        raise InputError(
            "no column is left to predict from",
            received="; ".join(column.sentence() for column in read.columns) or "a table with the target alone",
            remedy="add columns, or keep a dropped one with --column NAME=category",
        )
    scale = "; it is positive and skewed, so its logarithm is modelled" if read.task.log_scale else ""
    evidence = asdict(target_facts(read.frame[read.task.target], read.task.kind if warm else asked.task))
    reason = f"{read.task.reason}{scale}"
    ledger.decide(
        Decision(0, "task", read.task.kind, reason, evidence=evidence, override="--task", rule="task of the target"),
    )


def _picture(read: Read) -> str:
    return next(column.name for column in read.columns if column.kind == "picture")


def _how_split(read: Read, asked: Asked) -> str:
    if asked.time:
        return "60, 20 and 20 % of the rows in their order of time: no part sees what came after it"
    if asked.group:
        return "about 60, 20 and 20 % of the rows in whole groups, drawn with the run's seed"
    shares = "the classes in equal shares" if read.task.classes else "the target's range in equal shares"
    return f"60, 20 and 20 % of the rows, shuffled with the run's seed, {shares}"


def _new_rows(path: str, read: Read) -> pl.DataFrame:
    """Fresh rows of the same table, with a target, none of which the run has seen."""
    found = read_source(path, target=read.task.target).frame
    found = found.filter(usable_rows(found[read.task.target]))
    missing = [column.name for column in read.columns if column.used and column.name not in found.columns]
    if missing:
        raise InputError(
            f"'{path}' cannot be the new test set: {len(missing)} columns are missing",
            expected="the columns of training",
            received=f"no {_listed(missing)}",
        )
    names = [name for name in read.frame.columns if name in found.columns]
    known = set(read.frame.select(names).hash_rows(seed=0).to_list())
    rows = found.select(names).cast(_types(read.frame, names), strict=False)
    again = sum(value in known for value in rows.hash_rows(seed=0))
    if found.height == 0 or again > found.height // 2:
        raise InputError(
            f"'{path}' is no fresh test set",
            expected="new rows with a target",
            received=f"{found.height} rows with a target, {again} of them known to the run already",
        )
    return found.cast(_types(read.frame, names), strict=False)


def _types(frame: pl.DataFrame, names: list[str]) -> pl.Schema:
    return pl.Schema({name: frame.schema[name] for name in names})


def _dataset(frame: pl.DataFrame, encoder: Encoder, task: Task, weight: str) -> Dataset:
    numbers, codes = encoder.encode(frame)
    weights = torch.tensor(frame[weight].cast(pl.Float64).to_numpy(), dtype=torch.float32) if weight else None
    return Dataset(numbers, codes, encode_target(frame[task.target], task), weights)


def _check_weights(read: Read, name: str) -> None:
    values = read.frame[name].cast(pl.Float64, strict=False)
    known = values.is_not_null() & values.is_finite() & (values >= 0)
    if not bool(known.fill_null(False).all()) or not float(values.sum() or 0.0) > 0:
        bad = int((~known.fill_null(False)).sum())
        raise InputError(
            f"--weight {name}: it cannot weigh the rows",
            expected="a number of at least 0 in every row, not all of them 0",
            received=f"{bad} rows with something else" if bad else "zeros alone",
            remedy="fill or remove those rows",
        )


def _say_what_is_read(words: Words, validation: pl.DataFrame, ledger: Ledger) -> None:
    found = {"pieces": words.pieces, "pairs": len(words.pairs), "length": words.length, **words.figures(validation)}
    ledger.decide(
        Decision(
            step=0,
            topic=f"words of `{words.name}`",
            chosen=words_in_words(found),
            reason="byte-pair encoding of the training rows, pairs that occur in two of them, and a length that holds "
            f"98 % of them whole; of the validation rows {found['cut']:.1%} are cut, {found['unknown']:.2%} of their "
            "pieces are unknown",
            evidence=found,
            rule="pieces of the text",
        )
    )


def words_in_words(found: Mapping[str, Any]) -> str:
    """What of a text is read."""
    return f"{found['pieces']} word pieces and {found['pairs']} pairs, the first {found['length']} of a row"


def part_sizes_in_words(sizes: Mapping[str, int]) -> str:
    """How many rows each part has."""
    return f"{sizes['training']} training, {sizes['validation']} validation, {sizes['test']} sealed test rows"


def _store(splits: Splits, rows: int, folder: RunFolder) -> None:
    part = np.full(rows, "training", dtype=object)
    part[splits.validation], part[splits.test] = "validation", "test"
    table = pl.DataFrame({"row": np.arange(rows), "part": part.astype(str)})
    with storage.explained(folder.splits):
        table.write_parquet(folder.splits)


def _listed(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def default_name(source: Any, found: Source) -> str:
    """The name of a run's folder: the file's or the bundled set's."""
    return Path(found.name).stem if isinstance(source, (str, Path)) and str(source) != "-" else "table"
