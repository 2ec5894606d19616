"""A source read as a request says: its usable rows, what its columns are, and the task. Nothing is split yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from luthier.assess import Costs
from luthier.data import (
    Column,
    Encoder,
    Facts,
    Source,
    Task,
    encode_target,
    facts_by_name,
    infer_columns,
    infer_task,
    read_source,
    require_rows,
    with_values,
)
from luthier.data.copies import Copies, CopyRule, picture_copies, stored_grid
from luthier.data.large import PLACE
from luthier.data.near_rows import NearGrid
from luthier.data.pictures import PictureStore, alike, common_shape, read_pictures, with_content_names
from luthier.data.row_hashes import row_hashes
from luthier.data.sentences import NONE, STATIC, source_named, transformer_named
from luthier.data.typed_columns.columns import picture_columns
from luthier.data.typed_columns.task import positive_facts, with_positive
from luthier.data.values import styles_of, values_as_known, with_any_target
from luthier.errors import InputError, listed, nearest
from luthier.messages import Message, joined
from luthier.recipe.rows.odd_texts import odd_texts
from luthier.recipe.rows.pictures_beside import pictures_beside
from luthier.recipe.rows.sample_weights import CountedRows, require_enough, require_weights, varied
from luthier.recipe.rows.sealed_source import read_test
from luthier.recipe.rows.time_order import require_order
from luthier.request import RunRequest
from luthier.saved import Model, open_run
from luthier.task import is_matrix, matrix_of, require_metrics, require_numbers

BACKBONE_SIDE = 224  # pixels of the longer side that backbones were taught with; pictures that are smaller stay so

GROUPED, WEIGHED, BESIDE = "it is the group column", "it holds the sample weights", "it is another target"


@dataclass(frozen=True)
class LoadedData:
    """A source that was read and understood, with its usable rows, their cells as values; nothing is split yet.

    Rows of weight 0 are not among them; the column of the others' weights has a mean of 1.
    """

    source: Source
    frame: pl.DataFrame
    dropped_rows: int
    task: Task
    columns: tuple[Column, ...]
    weight: str = ""  # the column of sample weights, where rows count differently
    pictures: PictureStore | None = None  # decoded, where pictures alone are learnt from
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)  # of the cells as they came
    places: np.ndarray | None = None  # of the rows in the table [N]; None for pictures
    counted: str = ""  # the column of sample weights, also where all rows count alike
    hashed: np.ndarray | None = None  # what `cell_hashes` gives, once the cells are gone
    test: Source | None = None  # rows that are sealed in place of a part of these
    heads: tuple[Task, ...] = ()  # all targets, where several share their networks: a row may lack some
    beside: PictureStore | None = None  # decoded pictures that are learnt from beside other columns
    encoder: Encoder | None = None  # of networks that were trained before, where these are delivered

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted, by target."""
        return self.heads or (self.task,)

    @property
    def fingerprints(self) -> dict[str, str]:
        """The checksums of all that was read, by what it is."""
        return {"fingerprint": self.source.fingerprint} | (
            {} if self.test is None else {"new_test": self.test.fingerprint}
        )

    @property
    def picture(self) -> str:
        """The column of pictures; empty where there is none."""
        return next((column.name for column in self.columns if column.kind == "picture"), "")

    @cached_property
    def cell_hashes(self) -> np.ndarray:
        """Hashes of the usable rows as they came, whatever columns are taken for [N]; of values, from the disk."""
        if self.hashed is not None:
            return self.hashed
        if self.source.whole is not None or self.pictures is not None:
            return row_hashes(self.frame)
        return row_hashes(self.usable_cells(self.source))

    def counted_rows(self, source: Source) -> CountedRows:
        """The rows of a source like this one that count."""
        return CountedRows.of(source.frame, self.counted, source.decimal)

    def usable_cells(self, source: Source) -> pl.DataFrame:
        """The rows of a source like this one that have a target and a weight above 0, as they came."""
        numbered = replace(source, frame=source.frame.with_row_index(PLACE))
        return source.frame[with_any_target(self.counted_rows(numbered).frame, self.tasks)[0][PLACE]]

    @cached_property
    def copy_rule(self) -> CopyRule:
        """When two rows of the table are copies."""
        return CopyRule.of(self.frame, self.columns)

    @cached_property
    def near_grid(self) -> NearGrid | None:
        """The cells by which a row is known again that is written with fewer digits; None where there are none."""
        if self.pictures is not None or self.copies.coarse:
            return None
        name, finest = self.task.target, stored_grid(self.copy_rule)
        if not self.task.is_classes:
            finest |= stored_grid(CopyRule.of(self.frame.select(name)))
        return NearGrid.of(self.frame.select(*(c.name for c in self.columns if c.used), name), finest)

    @cached_property
    def copies(self) -> Copies:
        """Which rows repeat others: by their used columns, of pictures by their pixels."""
        if self.pictures is not None:
            references = self.frame[self.picture].to_list()
            return picture_copies(self.pictures.checksums(references), alike(self.pictures.sketches(references)))
        return self.copy_rule.copies(self.frame)

    def some(self, rows: np.ndarray) -> LoadedData:
        """The same with some of its usable rows, by their numbers."""
        places = None if self.places is None else self.places[rows]
        return replace(self, frame=self.frame[rows], hashed=self.cell_hashes[rows], places=places)

    def without_cells(self) -> LoadedData:
        """The same without the cells as they came, once their values are all that is needed."""
        return replace(self, source=replace(self.source, frame=self.source.frame.clear()), hashed=self.cell_hashes)

    def without_rows(self) -> LoadedData:
        """What was understood alone, once the rows are split and encoded."""
        return replace(self.without_cells(), frame=self.frame.clear())


def read_as_asked(source: Any, asked: RunRequest, heads: Sequence[Task] = ()) -> LoadedData:
    """Read a source as a request says, and `heads`, several targets; InputError for what cannot be meant."""
    read = read_as_before(source, asked) if asked.warm_start else read_and_infer(source, asked, heads)
    for option, name in (("--group", asked.group), ("--time", asked.time), ("--sample-weight", asked.sample_weight)):
        if name and (name not in read.frame.columns or name == read.task.target):
            raise InputError(
                Message("{option} {name}: it is the target", option=option, name=name)
                if name == read.task.target
                else Message("{option} {name}: there is no such column", option=option, name=name),
                expected=Message(
                    "one of {names}", names=listed(others := [c for c in read.frame.columns if c != read.task.target])
                ),
                remedy=nearest(name, others) or "check the spelling",
            )
    if asked.backbone_weights and not asked.backbone:
        raise InputError("--backbone-weights needs --backbone", remedy="for example --backbone resnet18")
    if asked.group and asked.time:
        raise InputError(
            "--group and --time exclude each other", remedy="choose the one that matches how the model will be used"
        )
    require_metrics(asked.metric, read.task, read.frame[read.task.target])
    require_numbers(asked.quantiles, read.task)
    if is_matrix(asked.costs):
        matrix_of(asked.costs, read.task.classes)
    elif asked.costs:
        Costs.parse(asked.costs)
        if read.task.family != "binary":
            raise InputError(
                "--cost works with two classes only", received=Message("a {kind} task", kind=read.task.kind)
            )
    read = read if heads else replace(read, task=_positive(read, asked))
    if asked.time:
        require_order(asked, read.facts.get(asked.time))
    # Who a row belongs to, how much it counts, or what else is asked about it, is not what it is like.
    reasons = {asked.group: GROUPED, asked.sample_weight: WEIGHED, **dict.fromkeys(asked.beside, BESIDE)}
    columns = tuple(
        replace(c, used=False, kind="identifier", reason=reasons[c.name]) if c.name in reasons else c
        for c in read.columns
    )
    if not any(column.used for column in columns):
        raise InputError(
            "no column is left as an input",
            received=joined(column.sentence() for column in columns) or "a table with only the target",
            remedy="add columns, or keep a dropped one with --column NAME=category",
        )
    if asked.backbone and read.pictures is None and read.beside is None:
        _require_text_alone(columns, asked)
    test = read_test(asked, read.task.target, styles_of(columns, read.task))
    if test is not None and read.beside is not None and read.picture in test.frame.columns:
        test = replace(test, frame=with_content_names(test.frame, read.picture))
    written = [column.name for column in columns if column.used and column.kind == "text"]
    if written and asked.text_model != NONE and not (asked.backbone or asked.warm_start):
        source_named(asked.text_model)  # a folder that is not whole is refused before anything is written
    texts = odd_texts(read.frame, written, strict=asked.strict)
    return replace(read, columns=columns, test=test, counted=asked.sample_weight, notes=(*read.notes, *texts))


def _require_text_alone(columns: Sequence[Column], asked: RunRequest) -> None:
    """InputError where a backbone of text cannot be fitted to the columns that are used."""
    used = {column.name: column.kind for column in columns if column.used}
    if "text" not in used.values():
        raise InputError("--backbone works with pictures and text only",
                         received="a table without pictures and text", remedy="leave it out")  # fmt: skip
    others = [name for name, kind in used.items() if kind != "text"]
    if others:
        raise InputError(
            Message("--backbone {backbone} learns from text alone", backbone=asked.backbone),
            received=Message("other columns: {names}", names=listed(others)),
            remedy="leave them out with --column NAME=identifier, or take frozen vectors beside them with --text-model",
        )
    if asked.text_model not in (NONE, STATIC):
        raise InputError("--backbone and --text-model exclude each other",
                         remedy="leave out --text-model: the backbone reads the texts")  # fmt: skip
    transformer_named(asked.backbone)


def read_where_kept(path: Path, asked: RunRequest, read: LoadedData) -> LoadedData:
    """A source from where it is kept now; what was understood of the same cells before still holds."""
    kept = read_source(str(path), target=asked.target, memory=asked.memory, weight=asked.sample_weight)
    before = read.source
    facts = [(one.picture, one.whole, one.written, one.decimal, one.frame.schema) for one in (kept, before)]
    if before.picture or before.whole or facts[0] != facts[1] or not kept.frame.equals(before.frame):
        return read_as_asked(str(path), asked)
    return replace(read, source=kept)


def _positive(read: LoadedData, asked: RunRequest) -> Task:
    """The task with its positive class: the one asked for, of a warm start the earlier model's, else as inferred."""
    task = read.task
    if asked.warm_start:
        if asked.positive not in ("", task.positive_name):
            remedy = (
                Message("--positive {positive_name}", positive_name=task.positive_name)
                if task.positive_name
                else "leave --positive out"
            )
            raise InputError(
                Message("--positive {positive}: the earlier run took another class so", positive=asked.positive),
                remedy=remedy,
            )
        return task
    if len(task.classes) != 2 and not asked.positive:
        return task
    return with_positive(
        task, positive_facts(read.frame[task.target], task, weights_of(read.frame, read.weight), asked.positive)
    )


def weights_of(frame: pl.DataFrame, name: str) -> np.ndarray | None:
    """How much rows count [N], on average about 1; None where all count alike."""
    return frame[name].to_numpy() if name else None


def read_and_infer(source: Any, asked: RunRequest, heads: Sequence[Task] = ()) -> LoadedData:
    """Read a source and infer what its columns and its target are. InputError for what cannot be used.

    Of a table for which a run would need more memory than was asked for a sample is read. Rows whose weight is 0 are
    set aside before anything is looked at. Pictures are learnt from beside other columns, but for those that say how
    rows are split and counted, or lie beside.
    """
    weight, columns = asked.sample_weight, asked.columns
    apart = {asked.group, asked.sample_weight, *asked.beside}
    side = asked.size or (BACKBONE_SIDE if asked.backbone else 0)
    result = read_source(source, target=asked.target, memory=asked.memory, weight=weight)
    name = asked.target or result.target
    if name is None:
        template = "--target {columns} (the columns are {names})"
        raise InputError(
            "the column to predict is not given",
            expected="the name of one column",
            received="no --target",
            remedy=Message(template, columns=result.frame.columns[-1], names=listed(result.frame.columns)),
        )
    rows, decimal = CountedRows.of(result.frame, weight if weight != name else "", result.decimal), result.decimal
    require_enough(rows.frame.height, rows.weight, "have")
    task_of = partial(infer_task, override=asked.task, order=asked.order, written=result.written, decimal=decimal)
    inferred = heads[0] if heads else task_of(rows.frame[name], weights=rows.weights)
    frame, places = _usable(rows, heads or (inferred,))
    pictured = bool(result.picture) and columns.get(result.picture, "picture") == "picture"
    if pictured:
        others = {column: kind for column, kind in columns.items() if column != result.picture}
        known = infer_columns(frame.drop(result.picture), target=name, overrides=others, decimal=decimal)
        pictured = not any(column.used and column.name not in apart for column in known)
    if pictured:
        shape = common_shape(frame[result.picture].fill_null("").to_list(), side)
        dropped = rows.frame.height - frame.height
        frame, store, notes = read_pictures(frame, result.picture, shape, strict=asked.strict)
        require_rows(frame)
        known = picture_columns(frame.columns, result.picture, name)
        weight = varied(frame, rows.weight)
        inferred = task_of(frame[name], weights=weights_of(frame, weight))
        return LoadedData(result, frame, dropped, inferred, known, weight, store, (*rows.notes, *notes))
    beside = None
    if result.picture and columns.get(result.picture, "picture") == "picture":
        beside = pictures_beside(frame, result.picture, side, strict=asked.strict)
        frame, result = beside.frame, replace(result, frame=with_content_names(result.frame, result.picture))
        columns = {column: kind for column, kind in columns.items() if column != result.picture}
    cells = frame if beside is None else frame.drop(result.picture)
    facts = facts_by_name(cells, [column for column in cells.columns if column not in (name, *columns)], decimal)
    known = infer_columns(cells, target=name, overrides=columns, facts=facts, decimal=decimal)
    known = known if beside is None else (*known, beside.column)
    return LoadedData(
        source=_with_values_on_disk(rows.on_disk(result), known, inferred),
        frame=with_values(frame, [column for column in known if column.name not in {task.target for task in heads}]),
        dropped_rows=rows.frame.height - frame.height,
        task=inferred,
        columns=known,
        weight=rows.weight if result.whole else varied(frame, rows.weight),
        beside=None if beside is None else beside.store,
        notes=rows.notes if beside is None else (*rows.notes, *beside.notes),
        facts=facts,
        places=places,
        heads=tuple(heads),
    )


def _usable(rows: CountedRows, tasks: Sequence[Task]) -> tuple[pl.DataFrame, np.ndarray]:
    """The rows that have a target, and their numbers in the table [N]; InputError for too few, or for weights."""
    known, there = with_any_target(rows.frame, tasks)
    places = rows.places[there.to_numpy()]
    if rows.weight:
        require_weights(known, rows.weight)
        require_enough(known.height, rows.weight, "with a target have")
    require_rows(known)
    return known, places


def _with_values_on_disk(found: Source, columns: tuple[Column, ...], task: Task) -> Source:
    """The source, whose rows on the disk are read as those in memory."""
    if found.whole is None:
        return found
    read = partial(values_as_known, columns=columns, task=task)
    return replace(found, whole=replace(found.whole, others=found.whole.others.then(read)))


def read_as_before(source: Any, asked: RunRequest) -> LoadedData:
    """Read new rows of a table that a run's model knows: its task and its columns are taken over."""
    model = model_of(asked.warm_start)
    if asked.task or asked.columns:
        raise InputError("--task and --column come from the earlier run and cannot be changed", remedy="leave them out")
    name = model.task.target
    if asked.target not in (None, name):
        raise InputError(
            Message("--target {target}: the run predicts `{name}`", target=asked.target, name=name),
            remedy=Message("--target {name}", name=name),
        )
    result = read_source(source, target=name, memory=asked.memory, weight=asked.sample_weight, styles=model.styles)
    rows = CountedRows.of(result.frame, asked.sample_weight if asked.sample_weight != name else "", result.decimal)
    frame, places = _usable(rows, (model.task,))
    model.encode(frame.head(0))  # says which columns are missing
    encode_target(frame[name], model.task)  # and which classes are new
    reason = Message("'{warm_start}' uses it this way", warm_start=asked.warm_start)
    columns = tuple(replace(column, reason=reason) for column in model.encoder.columns)
    task = replace(model.task, reason=Message("'{warm_start}' predicts it", warm_start=asked.warm_start))
    dropped = rows.frame.height - frame.height
    unknown = frame.drop([column.name for column in columns])
    others = infer_columns(unknown, target=name, overrides={}, decimal=result.decimal)
    read = (*columns, *(replace(column, used=False) for column in others))  # perhaps a group, a time or weights
    on_disk = _with_values_on_disk(rows.on_disk(result), read, task)
    weight = rows.weight if result.whole else varied(frame, rows.weight)
    return LoadedData(
        on_disk, with_values(frame, read), dropped, task, columns, weight, notes=rows.notes, places=places
    )


def model_of(run: str) -> Model:
    """The model that a finished run delivered. InputError where there is none."""
    folder = open_run(run)
    if not folder.bundle.exists():
        raise InputError(
            Message("'{run}' has no model yet", run=run),
            remedy=Message("finish it first: luthier resume {run}", run=run),
        )
    return Model.load(folder.bundle)
