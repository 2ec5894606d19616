"""What is to be predicted: a number, one of two classes or of several, or a set of labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.typed_columns.facts import is_text
from luthier.data.typed_columns.label_lists import as_cells, has_only, indicators, labels_of, separator_of
from luthier.data.typed_columns.levels import FIRST_LEVEL, MISSING, UNKNOWN, Levels, TruthWords, value_of
from luthier.data.typed_columns.measured_target import levels_of, target_facts
from luthier.data.typed_columns.parsing import NUMBER_MARKS, NUMBERS, WORD_MARKS, CellParser, require_scale
from luthier.data.typed_columns.target_cells import CLASS_WORDS, read_target
from luthier.errors import ConfigError, InputError, nearest
from luthier.kinds import KINDS, Family, Kind, TargetFacts, TaskKind, task_of
from luthier.messages import Message, joined
from luthier.records import JsonObject

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Task:
    """What is predicted. `classes` are the labels as text, numbers in numeric order; `label_kind` is
    "text", "integer", "float" or "boolean", so that predictions come back as they went in. `positive` is the class
    of two whose threshold, costs and F1 are meant; empty in models of earlier versions, where it is the
    second. `parser` reads the target's cells. Of labels `classes` are their names, with the `separator` between them in
    a cell."""

    kind: TaskKind
    target: str
    classes: tuple[str, ...] = ()
    log_scale: bool = False
    reason: str = ""
    label_kind: str = "text"
    positive: str = ""
    parser: CellParser | None = None
    separator: str = ""

    @property
    def cells(self) -> CellParser:
        """How the target's cells are read."""
        return self.parser or (CLASS_WORDS if self.is_classes else NUMBERS)

    @property
    def traits(self) -> Kind:
        """All that differs from kind to kind: loss, link, metric and so on."""
        return KINDS[self.kind]

    @property
    def family(self) -> Family:
        """How it is answered: as a number, one of two classes, or one of several.

        >>> Task("multiclass", "y", ("a", "b", "c")).family
        'multiclass'
        """
        return self.traits.family

    @property
    def is_classes(self) -> bool:
        """Whether classes are predicted, and not numbers."""
        return self.traits.is_classes

    @property
    def outputs(self) -> int:
        """How many outputs a network has."""
        return self.traits.outputs(len(self.classes))

    @property
    def positive_index(self) -> int:
        """The place of the positive class among two.

        >>> Task("binary", "y", ("fraud", "legit"), positive="fraud").positive_index
        0
        """
        return self.classes.index(self.positive) if self.positive else 1

    @property
    def positive_name(self) -> str:
        """The positive class of two; empty where there are not two."""
        return self.classes[self.positive_index] if len(self.classes) == 2 else ""

    def to_json(self) -> JsonObject:
        """The task as plain JSON values."""
        return {**asdict(replace(self, parser=None)), "parser": self.cells.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        """The task that `to_json` gave."""
        parser = value.get("parser")
        read = None if parser is None else CellParser.from_json(parser)
        return cls(**{**value, "classes": tuple(value["classes"]), "parser": read})


def infer_task(
    series: pl.Series,
    *,
    override: str | None = None,
    written: bool = False,
    decimal: str = "",
    weights: np.ndarray | None = None,
    order: str = "",
) -> Task:
    """The task that a target column calls for. InputError where nothing can be learnt from it.

    Classes that are numbers as text come back as numbers where the text was `written` in a file, which has no types;
    `decimal` is the mark of that file's numbers. Rows count by `weights` [N] where it is asked how the target is
    distributed. An `order` of levels, with commas between them, asks for ordered ones.

    >>> infer_task(pl.Series("species", ["a", "b", "c"] * 5)).kind
    'multiclass'
    """
    if order and override not in (None, "ordered"):
        template = "--order is for ordered levels, not for --task {override}; leave one of them out"
        raise ConfigError([Message(template, override=override)])
    name, override = series.name, "ordered" if order else override
    if override is not None and override not in KINDS:
        raise ConfigError(
            [
                joined(
                    [
                        Message("--task {task}: not one of {names}", task=override, names=", ".join(KINDS)),
                        nearest(override, KINDS),
                    ]
                )
            ]
        )
    values, parser, message = read_target(series, override, decimal)
    known = values.drop_nulls()
    if len(known) == 0:
        raise InputError(
            Message("every value of the target `{name}` is missing", name=name), expected="a target with values"
        )
    distinct = known.n_unique()
    if distinct == 1:
        template = "'{known}' in all {count} rows{marked}"
        raise InputError(
            Message("the target `{name}` has only one value", name=name),
            expected="at least two classes, or numbers that vary",
            received=Message(template, known=known[0], count=len(known), marked=_marked(series, values)),
            remedy="choose another --target, or add rows of the other classes",
        )
    if known.dtype.is_temporal():
        raise InputError(Message("the target `{name}` is a date", name=name), expected="numbers or classes")
    counting = None if weights is None else weights[values.is_not_null().to_numpy()]
    facts = target_facts(known, override, counting, levels_of(series.dtype))
    kind, reason = task_of(facts)
    reason = joined([reason, message])
    if KINDS[kind].is_labels:
        names = labels_of(CLASS_WORDS.texts(known), mark := separator_of(known, asked=override is not None))
        return Task(kind, known.name, names, reason=reason, parser=CLASS_WORDS, separator=mark)
    if not KINDS[kind].is_classes:
        require_scale(known)
        parser, log = parser if parser.reads == "number" else NUMBERS, kind == "regression" and facts.log_scale
        task = Task(kind, known.name, log_scale=log, reason=reason, parser=parser)
        _require_values(known.cast(pl.Float64).to_numpy(), task)
        return task
    if is_text(series.dtype) and not written:
        known = CLASS_WORDS.texts(series).filter(values.is_not_null())
    task = _classification(known, kind, known.n_unique(), reason, override)
    task = replace(task, parser=_of_classes(parser))
    if kind == "ordered":
        return in_order(task, order) if order else replace(task, classes=_levels(task, facts))
    return with_positive(task, positive_facts(known, task, counting)) if len(task.classes) == 2 else task


def _levels(task: Task, facts: TargetFacts) -> tuple[str, ...]:
    """The classes in the order of their levels: of a scale, or of numbers. InputError where nothing says it."""
    if len(task.classes) < 3:
        raise InputError(
            Message("the target `{name}` has two values", name=task.target), expected="three levels for --task ordered"
        )
    if facts.scale and set(facts.scale) == set(task.classes):
        return facts.scale
    if task.label_kind in ("integer", "float"):
        return task.classes
    raise InputError(
        Message("the order of the levels of `{name}` is not known", name=task.target),
        expected="a known scale, or --order with the levels from low to high",
        received=", ".join(task.classes[:10]),
        remedy=Message("--order {levels}, with the levels in their order", levels=shlex.quote(",".join(task.classes))),
    )


def in_order(task: Task, order: str) -> Task:
    """The task with the levels in the order that was said, from low to high, with commas between them.

    InputError for a level that the target does not have, or one that is left out.

    >>> in_order(Task("ordered", "risk", ("high", "low", "mid")), "low, mid, high").classes
    ('low', 'mid', 'high')
    """
    said, levels = [level.strip() for level in order.split(",")], Levels(task.classes)
    named = [task.classes[code - FIRST_LEVEL] for level in said if (code := levels.code(level)) >= FIRST_LEVEL]
    unknown = [level for level in said if levels.code(level) < FIRST_LEVEL]
    missing = [level for level in task.classes if level not in named]
    if unknown or missing or len(set(named)) < len(named):
        template = "--order {order}: `{name}` has no level '{level}'"
        raise InputError(
            Message(template, order=order, name=task.target, level=unknown[0])
            if unknown
            else Message("--order {order}: each level is to be named once", order=order),
            expected=", ".join(task.classes[:20]),
            received=", ".join(said[:20]),
            remedy=nearest(unknown[0], task.classes) if unknown else "",
        )
    return replace(task, classes=tuple(named))


def _of_classes(parser: CellParser) -> CellParser:
    """How classes are read: numbers by their value, beside the marks of missing numbers."""
    marks = tuple(dict.fromkeys((*WORD_MARKS, *NUMBER_MARKS)))
    return replace(CLASS_WORDS, marks=marks, style=parser.style) if parser.reads == "number" else parser


def _classification(known: pl.Series, kind: TaskKind, distinct: int, reason: str, override: str | None) -> Task:
    if distinct > MOST_CLASSES or (known.dtype == pl.String and distinct > max(20, len(known) // 2)):
        template = "the target `{name}` has {distinct} classes in {count} rows"
        raise InputError(
            Message(template, name=known.name, distinct=distinct, count=len(known)),
            expected="several rows per class",
            remedy="choose another --target, or group its values",
        )
    if override == "binary" and distinct != 2:
        raise InputError(
            Message("the target `{name}` has {distinct} values", name=known.name, distinct=distinct),
            expected="two values for --task binary",
        )
    dtype = known.dtype
    label_kind = "text"
    if dtype == pl.Boolean:
        label_kind = "boolean"
    elif dtype.is_integer():
        label_kind = "integer"
    elif dtype.is_float():
        label_kind = "float"
    classes = tuple(_text(value) for value in known.unique().sort().to_list())
    kind = "binary" if distinct == 2 and override is None else kind
    return Task(kind, known.name, classes=classes, reason=reason, label_kind=label_kind)


def _marked(series: pl.Series, values: pl.Series) -> str:
    """What is to be said of cells whose text counts as missing."""
    marked = series.filter(values.is_null() & series.is_not_null())
    template = "; {count} cells such as '{marked}' count as missing"
    return Message(template, count=len(marked), marked=marked[0]) if len(marked) else ""


@dataclass(frozen=True)
class PositiveFacts:
    """What decides which of two classes is the positive one: their names, their shares of the rows' weight, and the
    class that was asked for; kept as the evidence for it."""

    classes: tuple[str, ...]
    shares: tuple[float, ...]
    asked: str = ""


def positive_facts(
    series: pl.Series, task: Task, weights: np.ndarray | None = None, asked: str | None = None
) -> PositiveFacts:
    """The facts of a target column with two classes; rows count by `weights` [N]. InputError for an unknown class."""
    if asked and len(task.classes) != 2:
        what = Message("{count} classes", count=len(task.classes)) if task.classes else "a regression"
        raise InputError("--positive is for two classes", received=what, remedy="leave it out")
    code = Levels(task.classes).code(asked) if asked else MISSING
    if code == UNKNOWN:
        raise InputError(
            Message("--positive {asked}: `{target}` has no such class", asked=asked, target=task.target),
            expected=" or ".join(task.classes),
            remedy=nearest(asked or "", task.classes),
        )
    named = "" if code == MISSING else task.classes[code - FIRST_LEVEL]
    counts = np.bincount(encode_target(series, task).numpy(), weights, minlength=2)
    return PositiveFacts(task.classes, tuple(round(float(s), 6) for s in counts / counts.sum()), named)


def positive_of(facts: PositiveFacts) -> tuple[str, str]:
    """The positive class of two, and why: the one that was asked for, that means yes, or the rarer.

    >>> positive_of(PositiveFacts(("fraud", "legit"), (0.15, 0.85)))
    ('fraud', 'it is the rarer class, 15.0 % of the rows')
    """
    one, other = facts.classes
    if facts.asked:
        return facts.asked, "you said so"
    for yes, no in ((one, other), (other, one)):
        if TruthWords().code(yes) == FIRST_LEVEL + 1 and (TruthWords.hold((yes, no)) or value_of(no) == -1):
            return yes, Message("of {no} and {yes} it is the one that means yes", no=no, yes=yes)
    if facts.shares[0] == facts.shares[1]:
        return other, "both classes are equally frequent, and it comes second"
    place = int(np.argmin(facts.shares))
    return facts.classes[place], Message(
        "it is the rarer class, {value:.1f} % of the rows", value=100 * facts.shares[place]
    )


def with_positive(task: Task, facts: PositiveFacts) -> Task:
    """The task with its positive class."""
    return replace(task, positive=positive_of(facts)[0])


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def target_values(series: pl.Series, task: Task) -> pl.Series:
    """A target's cells as the task has them, null where a value is missing: numbers, or the labels of classes."""
    if not task.is_classes:
        return task.cells.values(series)
    if task.traits.is_labels:
        return task.cells.texts(series)
    words = task.cells.words(series)
    if task.label_kind in ("integer", "float") and is_text(series.dtype):
        numbers = replace(task.cells, reads="number").values(words)
        return numbers.cast(pl.Int64) if task.label_kind == "integer" else numbers
    return words


def _class_codes(series: pl.Series, task: Task) -> np.ndarray:
    """Codes [N] of a target's cells among the classes' `Levels`; text is a number in the style of training first."""
    words, levels = task.cells.words(series), Levels(task.classes)
    result = levels.codes(words)
    if task.cells.style.plain or words.dtype != pl.String:
        return result
    numbers = replace(task.cells, reads="number").known(words)
    return np.where(numbers.is_null().to_numpy(), result, levels.codes(numbers))


def encode_target(series: pl.Series, task: Task) -> Tensor:
    """The target as the network sees it: class numbers int64 [N], values float64 [N] (their logarithms where the task
    says so), or of labels 0 and 1 for each, float32 [N, K]."""
    if task.traits.is_labels:
        return torch.from_numpy(indicators(task.cells.texts(series), task.classes, task.separator))
    if not task.is_classes:
        values = task.cells.values(series).to_numpy()
        _require_values(values, task)
        if task.log_scale:
            if (values <= 0).any():
                raise InputError(
                    Message("`{target}` has values that are not positive", target=task.target),
                    expected="positive values, because the model predicts their logarithm",
                    received=f"{values.min():g}",
                )
            values = np.log(values)
        return torch.tensor(values, dtype=torch.float64)
    codes = _class_codes(series, task)
    unknown = (codes == UNKNOWN) | (codes == MISSING)
    if unknown.any():
        result = task.cells.texts(series.filter(pl.Series(unknown))).unique().fill_null("(missing)")
        raise InputError(
            Message("`{target}` has classes that are not in the training rows", target=task.target),
            expected=Message("one of {names}", names=", ".join(task.classes[:10])),
            received=", ".join(sorted(result)[:5]),
        )
    return torch.from_numpy(codes - FIRST_LEVEL)


def _require_values(values: np.ndarray, task: Task) -> None:
    """InputError for values [N] that a target of the task's kind cannot have."""
    wrong = values[task.traits.refused(values)]
    if len(wrong):
        more = Message(", and {count} more such rows", count=len(wrong) - 1) if len(wrong) > 1 else ""
        problem = Message("`{target}` has values that are not a {kind}", target=task.target, kind=task.kind)
        received = Message("{value:g}{more}", value=wrong[0], more=more)
        remedy = "mend these rows, or --task regression for plain numbers"
        raise InputError(problem, expected=task.traits.values, received=received, remedy=remedy)


def is_known_class(series: pl.Series, task: Task) -> pl.Series:
    """Whether each row has one of the task's classes.

    >>> task = infer_task(pl.Series("y", ["a", "b"] * 5))
    >>> is_known_class(pl.Series("y", ["b", "c", None]), task).to_list()
    [True, False, False]
    """
    if task.traits.is_labels:
        return has_only(task.cells.texts(series), task.classes, task.separator).alias(series.name)
    return pl.Series(series.name, _class_codes(series, task) >= FIRST_LEVEL)


def decode_classes(codes: Tensor, task: Task) -> pl.Series:
    """Class numbers [N], or which labels a row has [N, K], back to cells of the target's own type."""
    if task.traits.is_labels:
        return pl.Series(task.target, as_cells(codes.numpy() > 0, task.classes, task.separator), dtype=pl.String)
    labels = [task.classes[int(code)] for code in codes]
    if task.label_kind == "integer":
        return pl.Series(task.target, [int(label) for label in labels], dtype=pl.Int64)
    if task.label_kind == "float":
        return pl.Series(task.target, [float(label) for label in labels], dtype=pl.Float64)
    if task.label_kind == "boolean":
        return pl.Series(task.target, [label == "True" for label in labels], dtype=pl.Boolean)
    return pl.Series(task.target, labels, dtype=pl.String)
