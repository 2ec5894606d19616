"""What is to be predicted: a number, one of two classes, or one of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.errors import ConfigError, InputError, nearest

TaskKind = Literal["regression", "binary", "multiclass"]
KINDS = ("regression", "binary", "multiclass")
MOST_INTEGER_CLASSES = 20
SKEWED = 1.0  # a sample skewness above 1 is commonly called high
MOST_CLASSES = 1000


@dataclass(frozen=True)
class Task:
    """What is predicted. `classes` are the labels as text, numbers in numeric order; `label_kind` is
    "text", "integer", "float" or "boolean", so that predictions come back as they went in."""

    kind: TaskKind
    target: str
    classes: tuple[str, ...] = ()
    log_scale: bool = False
    reason: str = ""
    label_kind: str = "text"

    def to_json(self) -> dict[str, Any]:
        """The task as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Task:
        """The task that `to_json` gave."""
        return cls(**{**value, "classes": tuple(value["classes"])})


def infer_task(series: pl.Series, *, override: str | None = None) -> Task:
    """The task that a target column calls for. InputError where nothing can be learnt from it.

    >>> infer_task(pl.Series("species", ["a", "b", "c"] * 5)).kind
    'multiclass'
    """
    name = series.name
    if override is not None and override not in KINDS:
        raise ConfigError(
            [f"--task {override}: not one of {', '.join(KINDS)}; {nearest(override, KINDS)}".rstrip("; ")]
        )
    known = series.drop_nulls()
    if known.dtype.is_float():
        known = known.drop_nans()
    if len(known) == 0:
        raise InputError(f"every value of the target `{name}` is missing", expected="a target with values")
    distinct = known.n_unique()
    if distinct == 1:
        raise InputError(
            f"the target `{name}` has only one value",
            expected="at least two classes, or numbers that vary",
            received=f"'{known[0]}' in all {len(known)} rows",
            remedy="choose another --target, or add rows of the other classes",
        )
    if known.dtype.is_temporal():
        raise InputError(f"the target `{name}` is a date", expected="numbers or classes")
    facts = target_facts(known, override)
    kind, reason = task_of(facts)
    if kind == "regression":
        return _regression(known, reason, facts)
    return _classification(known, kind, distinct, reason, override)


@dataclass(frozen=True)
class TargetFacts:
    """What is asked of a target before its task is decided; kept as the evidence for it. `spread` is the
    largest less the smallest number, `skew` and `log_skew` the skewness of positive numbers and of their logarithms,
    `asked` the task that was asked for."""

    numeric: bool
    fractions: bool
    distinct: int
    spread: float = 0.0
    skew: float | None = None
    log_skew: float | None = None
    asked: str | None = None

    @property
    def log_scale(self) -> bool:
        """Whether the logarithm is modelled: positive numbers with a long tail that it shortens."""
        if self.skew is None or self.log_skew is None:
            return False
        return self.skew > SKEWED and abs(self.log_skew) < self.skew


def target_facts(series: pl.Series, asked: str | None = None) -> TargetFacts:
    """The facts of a target column."""
    known = series.drop_nulls()
    if known.dtype.is_float():
        known = known.drop_nans()
    distinct, numeric = known.n_unique(), known.dtype.is_numeric()
    if not numeric:
        return TargetFacts(False, False, distinct, asked=asked)
    values = known.cast(pl.Float64)
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    skews = (values.skew(), values.log().skew()) if low > 0 else (None, None)
    fractions = known.dtype.is_float() and not bool((known == known.round(0)).all())
    return TargetFacts(True, fractions, distinct, high - low, skews[0], skews[1], asked)


def task_of(facts: TargetFacts) -> tuple[TaskKind, str]:
    """The task that a target's facts call for, and why."""
    if facts.asked is not None:
        return facts.asked, "you said so"  # type: ignore[return-value]
    if facts.fractions:
        return "regression", f"the target is a number with {facts.distinct} distinct values, some of them fractions"
    if facts.distinct == 2:
        return "binary", "the target has two distinct values"
    if facts.numeric:
        if facts.distinct <= MOST_INTEGER_CLASSES and facts.spread < 2 * facts.distinct:
            return (
                "multiclass",
                f"the target has {facts.distinct} distinct whole numbers close together, read as classes",
            )
        return "regression", f"the target is a number with {facts.distinct} distinct values"
    return "multiclass", f"the target is text with {facts.distinct} classes"


def _regression(known: pl.Series, reason: str, facts: TargetFacts) -> Task:
    if not known.dtype.is_numeric():
        known = known.cast(pl.String).cast(pl.Float64, strict=False)
        if known.null_count():
            raise InputError(f"the target `{known.name}` is text", expected="numbers for a regression")
        facts = target_facts(known, facts.asked)
    return Task("regression", known.name, log_scale=facts.log_scale, reason=reason)


def _classification(known: pl.Series, kind: TaskKind, distinct: int, reason: str, override: str | None) -> Task:
    if distinct > MOST_CLASSES or (known.dtype == pl.String and distinct > max(20, len(known) // 2)):
        raise InputError(
            f"the target `{known.name}` has {distinct} classes in {len(known)} rows",
            expected="several rows per class",
            remedy="choose another --target, or group its values",
        )
    if override == "binary" and distinct != 2:
        raise InputError(f"the target `{known.name}` has {distinct} values", expected="two values for --task binary")
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


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def encode_target(series: pl.Series, task: Task) -> Tensor:
    """The target as the network sees it: class numbers int64 [N], or values float32 [N] (their logarithms
    where the task says so)."""
    if task.kind == "regression":
        values = series.cast(pl.Float64).to_numpy()
        if task.log_scale:
            if (values <= 0).any():
                raise InputError(
                    f"`{task.target}` has values that are not positive",
                    expected="positive values, because the model predicts their logarithm",
                    received=f"{values.min():g}",
                )
            values = np.log(values)
        return torch.tensor(values, dtype=torch.float32)
    codes = {label: code for code, label in enumerate(task.classes)}
    result = series.unique().to_list()
    unknown = sorted({label for label in map(_text, result) if label not in codes})
    if unknown:
        raise InputError(
            f"`{task.target}` has classes that are not in the training rows",
            expected=f"one of {', '.join(task.classes[:10])}",
            received=", ".join(unknown[:5]),
        )
    numbers = series.replace_strict(result, [codes[_text(value)] for value in result], return_dtype=pl.Int64)
    return torch.from_numpy(numbers.to_numpy().copy())


def decode_classes(codes: Tensor, task: Task) -> pl.Series:
    """Class numbers back to labels of the target's own type."""
    labels = [task.classes[int(code)] for code in codes]
    if task.label_kind == "integer":
        return pl.Series(task.target, [int(label) for label in labels], dtype=pl.Int64)
    if task.label_kind == "float":
        return pl.Series(task.target, [float(label) for label in labels], dtype=pl.Float64)
    if task.label_kind == "boolean":
        return pl.Series(task.target, [label == "True" for label in labels], dtype=pl.Boolean)
    return pl.Series(task.target, labels, dtype=pl.String)
