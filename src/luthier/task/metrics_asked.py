"""Which metrics a run is judged by: the first that was asked for decides, all are reported."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from luthier.assess import PRIMARY
from luthier.data import Task, target_values
from luthier.errors import ConfigError, InputError, nearest
from luthier.kinds import KINDS
from luthier.messages import Message, joined
from luthier.objective import METRICS, metric_named, metrics_of, spelled
from luthier.objective.metrics import PREFIX

# What values a metric needs, which of them are refused (True), and why.
_BOUNDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "mape": (lambda y: y == 0, "it divides by the values, and some are 0"),
    "rmsle": (lambda y: y <= -1, "it takes the logarithm of 1 + value, and some values are -1 or less"),
    "msle": (lambda y: y <= -1, "it takes the logarithm of 1 + value, and some values are -1 or less"),
    "poisson deviance": (lambda y: y < 0, "it is of counts, and some values are negative"),
    "tweedie deviance": (lambda y: y < 0, "it is of amounts, and some values are negative"),
}


def asked_metrics(text: str) -> tuple[str, ...]:
    """The table's names of metrics that are asked for in one text, each once.

    >>> asked_metrics("roc_auc, log-loss"), asked_metrics("")
    (('auc', 'log loss'), ())
    """
    return tuple(dict.fromkeys(spelled(name) for name in text.split(",") if name.strip()))


def deciding_metric(text: str, kind: str) -> str:
    """What decides and is reported first: the first metric that was asked for, or the task's usual one."""
    return next(iter(asked_metrics(text)), PRIMARY[kind])


def reported_metrics(text: str, kind: str) -> list[str]:
    """The metrics of a report: the usual ones of a kind of task, and those asked for.

    >>> reported_metrics("mape", "regression")
    ['mape', 'rmse', 'mae', 'r2']
    """
    usual = [name for name in metrics_of(kind) if METRICS[name].usual or KINDS[kind].is_labels]
    return list(dict.fromkeys((*asked_metrics(text), PRIMARY[kind], *usual)))


def require_metrics(text: str, task: Task, target: pl.Series | None = None) -> None:
    """ConfigError for a metric that cannot be asked of a task; InputError where the target's values forbid it."""
    known = metrics_of(task.kind)
    for name in asked_metrics(text):
        try:
            metric = metric_named(name)
        except ConfigError as error:
            if name.startswith(PREFIX) or (name in text and "number" in str(error)):
                raise
            metric = None
        if metric is None or task.family not in metric.kinds:
            hint = nearest(name, known)
            raise ConfigError(
                [joined([Message("--metric {name}: not one of {names}", name=name, names=", ".join(known)), hint])]
            )
        if target is not None and _bounded(name) in _BOUNDS:
            _require_values(name, target_values(target, task).drop_nulls().to_numpy(), known)


def _bounded(name: str) -> str:
    """A metric's name without its number."""
    return name.rstrip("0123456789. ")


def _require_values(name: str, y: np.ndarray, known: list[str]) -> None:
    refused, why = _BOUNDS[_bounded(name)]
    wrong = refused(y)
    if wrong.any():
        others = [one for one in known if _bounded(one) not in _BOUNDS or not _BOUNDS[_bounded(one)][0](y).any()]
        raise InputError(
            Message("--metric {name} cannot be asked of this target: {why}", name=name, why=why),
            expected=Message("one of {names}", names=", ".join(others)),
            received=Message("{y:g}, and {count} more such rows", y=y[wrong][0], count=int(wrong.sum()) - 1),
        )
