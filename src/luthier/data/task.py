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
            f"the target `{name}` has one value only",
            expected="two classes, or numbers that vary",
            received=f"'{known[0]}' in all {len(known)} rows",
            remedy="choose another --target, or add rows of the other classes",
        )
    if known.dtype.is_temporal():
        raise InputError(f"the target `{name}` is a date", expected="numbers or classes")
    kind, reason = _kind(known, distinct)
    if override is not None:
        kind, reason = override, "you said so"  # type: ignore[assignment]
    if kind == "regression":
        return _regression(known, reason)
    return _classification(known, kind, distinct, reason, override)


def _kind(known: pl.Series, distinct: int) -> tuple[TaskKind, str]:
    if known.dtype.is_float() and not bool((known == known.round(0)).all()):
        return "regression", f"the target is a number with fractions, {distinct} distinct values"
    if distinct == 2:
        return "binary", "the target has two distinct values"
    if known.dtype.is_numeric():
        if distinct <= MOST_INTEGER_CLASSES and int(known.max()) - int(known.min()) < 2 * distinct:  # type: ignore[arg-type]
            return "multiclass", f"the target has {distinct} whole numbers close together, taken for classes"
        return "regression", f"the target is a number, {distinct} distinct values"
    return "multiclass", f"the target is text with {distinct} classes"


def _regression(known: pl.Series, reason: str) -> Task:
    if not known.dtype.is_numeric():
        known = known.cast(pl.String).cast(pl.Float64, strict=False)
        if known.null_count():
            raise InputError(f"the target `{known.name}` is text", expected="numbers for a regression")
    values = known.cast(pl.Float64)
    log_scale = False
    if float(values.min()) > 0:  # type: ignore[arg-type]
        raw, logged = values.skew(), values.log().skew()
        log_scale = bool(raw is not None and logged is not None and raw > SKEWED and abs(logged) < raw)
    return Task("regression", known.name, log_scale=log_scale, reason=reason)


def _classification(known: pl.Series, kind: TaskKind, distinct: int, reason: str, override: str | None) -> Task:
    if distinct > MOST_CLASSES or (known.dtype == pl.String and distinct > max(20, len(known) // 2)):
        raise InputError(
            f"the target `{known.name}` has {distinct} classes in {len(known)} rows",
            expected="classes with several rows each",
            remedy="choose another --target, or group its values",
        )
    if override == "binary" and distinct != 2:
        raise InputError(f"the target `{known.name}` has {distinct} values", expected="two for --task binary")
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
                    expected="positive values, since their logarithm is modelled",
                    received=f"{values.min():g}",
                )
            values = np.log(values)
        return torch.tensor(values, dtype=torch.float32)
    codes = {label: code for code, label in enumerate(task.classes)}
    labels = [_text(value) for value in series.to_list()]
    unknown = sorted({label for label in labels if label not in codes})
    if unknown:
        raise InputError(
            f"`{task.target}` has classes that training did not have",
            expected=f"one of {', '.join(task.classes[:10])}",
            received=", ".join(unknown[:5]),
        )
    return torch.tensor([codes[label] for label in labels], dtype=torch.int64)


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
