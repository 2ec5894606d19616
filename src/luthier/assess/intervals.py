"""Scores of predictions, each with its 95 % interval, and differences between two predictions of the same rows.

A prediction is class probabilities [N, C], or values [N] on the target's own scale. What new data would bring anew
(`units`) is rows, whole groups, or later times. The scores themselves are those of `luthier.objective.METRICS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from luthier.assess.jackknife import (
    FEWEST,
    Units,
    below_unexplained,
    bootstrap_ends,
    jackknife,
    of_mean_loss,
    of_mean_share,
    of_paired_shares,
    of_share,
    of_unexplained,
    student,
    wilson,
)
from luthier.data import Task
from luthier.kinds import KINDS
from luthier.messages import Message
from luthier.objective import metric_named
from luthier.objective.metrics import OWN
from luthier.records import Measure
from luthier.rows import Rows
from luthier.seeds import numpy_generator

RESAMPLES = 1000
PRIMARY = {name: kind.metric for name, kind in KINDS.items()}
SHARES = ("accuracy", "balanced accuracy")  # of rows that are right: these have intervals of their own
# Their variance is at most that of a share of the rarest class's rows: of AUC by a theorem (Birnbaum and Klose 1957),
# of the others in simulations.
SPREAD_BELOW = ("auc", "average precision", "f1")
PLAIN = Units()


@dataclass(frozen=True)
class Scoring:
    """What a score depends on beside its metric: `weights` [N] by which rows count, the `task`, which names the
    positive class of two, and the `units` that new data would bring anew."""

    weights: np.ndarray | None = None
    task: Task | None = None
    units: Units = PLAIN

    @classmethod
    def of(cls, rows: Rows, task: Task, units: Units = PLAIN) -> Scoring:
        """Of rows with their weights."""
        return cls(rows.weights_array, task, units)


ALIKE = Scoring()


def score(
    metric: str,
    y: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    task: Task | None = None,
) -> float:
    """A score alone, without its interval; NaN where it cannot be worked out. `task` names the positive class of two.

    >>> score("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    1.0
    """
    return float(scores_by(metric, y, prediction, np.ones((1, len(y))) if weights is None else weights[None], task)[0])


def scores_by(metric: str, y: np.ndarray, prediction: np.ndarray, weights: np.ndarray, task: Task | None) -> np.ndarray:
    """The score for each way of weighing the rows [R, N]: [R]."""
    positive = 1 if task is None else task.positive_index
    targets, predictions = _tensors(y, prediction)
    result = metric_named(metric).value(targets, predictions[None], torch.from_numpy(weights), positive)
    return np.asarray(result[0].numpy(), dtype=np.float64)


def _tensors(y: np.ndarray, prediction: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.array(y)), torch.from_numpy(np.array(prediction, dtype=np.float64))


def measure(
    metric: str,
    y: np.ndarray,
    prediction: np.ndarray,
    scoring: Scoring = ALIKE,
    *,
    seed: int = 0,
) -> Measure:
    """A score with its 95 % interval. Rows of weight 0 are as good as not there.

    Where the score is not defined its value is NaN, where the interval is not both ends are None; `note` says why.

    >>> measure("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])).value
    1.0
    >>> print(measure("auc", np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]])))
    auc undefined: no row of class 1 (n=2)
    """
    weights, task, units = scoring.weights, scoring.task, scoring.units
    if weights is not None:
        there = weights > 0
        y, prediction, weights, units = y[there], prediction[there], weights[there], units.kept(there)
    value, of = score(metric, y, prediction, weights, task=task), _name_of(metric, task)
    if not np.isfinite(value):
        return Measure(
            metric,
            float("nan"),
            None,
            None,
            len(y),
            of,
            Message("undefined: {why}", why=_why(metric, y, prediction, task)),
        )
    unit = units.numbers(len(y))
    if metric in SHARES and weights is None and units.kind == "rows":
        return Measure(metric, value, *_of_rows(metric, value, y, prediction, unit), len(y), of)
    if (result := int(unit.max()) + 1) < FEWEST:
        return Measure(
            metric,
            value,
            None,
            None,
            len(y),
            of,
            Message("no interval: {result} {kind}, fewer than {fewest}", result=result, kind=units.kind, fewest=FEWEST),
        )
    scored = _Scored(metric, y, prediction, np.ones(len(y)) if weights is None else weights, task)
    ends = _ends(scored, value, unit, seed)
    if ends is None:
        return Measure(metric, value, None, None, len(y), of, "no interval: too few rows of a class")
    return Measure(metric, value, min(ends[0], value), max(ends[1], value), len(y), of)


class _Scored(NamedTuple):
    """A metric of predictions [N, C] or [N], whose rows count by weights [N]."""

    metric: str
    y: np.ndarray
    prediction: np.ndarray
    weights: np.ndarray
    task: Task | None


def _ends(scored: _Scored, value: float, unit: np.ndarray, seed: int) -> tuple[float, float] | None:
    metric, y, prediction, weights, task = scored
    known = metric_named(metric)
    if not known.smooth:
        return bootstrap_ends(lambda w: scores_by(metric, y, prediction, w, task), weights, unit, seed)
    if known.loss is not None:
        ends = of_mean_loss(known.loss(*_tensors(y, prediction)).numpy(), weights, unit, seed)
        return (value, value) if ends is None else (ends[0] ** known.power, ends[1] ** known.power)
    without = jackknife(lambda w: scores_by(metric, y, prediction, w, task), weights, unit, seed)
    if not np.isfinite(without).all():
        return None
    if metric == "r2":
        low, high = of_unexplained(value, without) or (value, value)
        return min(low, below_unexplained(value, (y - prediction) ** 2, weights, unit, seed)), high
    if not np.isfinite(known.least):
        return student(value, without) or (value, value)
    least = known.least  # from there to 1 it is like a share
    share = (value - least) / (1 - least)
    of_rarest = wilson(share, _rarest(metric, y, unit))
    low, high = of_share(share, (without - least) / (1 - least)) or of_rarest
    if metric in SPREAD_BELOW and (weights == weights[0]).all() and len(unit) == int(unit.max()) + 1:
        low = max(low, of_rarest[0])
    return least + (1 - least) * low, least + (1 - least) * high


def _rarest(metric: str, y: np.ndarray, unit: np.ndarray) -> int:
    """How many units a score rests on where all are right or all are wrong: those of the rarest class."""
    if metric == "accuracy" or y.ndim == 2:
        return int(unit.max()) + 1
    return min(len(np.unique(unit[y == label])) for label in np.unique(y))


def _of_rows(metric: str, value: float, y: np.ndarray, prediction: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """Wilson's interval of the share of rows that are right, or of the mean of the classes' shares; copies of a row
    (`unit` [N] numbers rows) make it no narrower."""
    if metric == "accuracy":
        return wilson(value, int(unit.max()) + 1)
    labels, right = np.unique(y), prediction.argmax(1) == y
    counts = np.array([len(np.unique(unit[y == label])) for label in labels])
    return of_mean_share(np.array([right[y == label].mean() for label in labels]), counts)


def _name_of(metric: str, task: Task | None) -> str:
    """Whose score it is, of a metric that looks at one class of two."""
    return task.positive_name if task is not None and metric_named(metric).of_one_class else ""


def _why(metric: str, y: np.ndarray, prediction: np.ndarray, task: Task | None) -> str:
    """Why a score is not defined."""
    if not len(y):
        return "no row"
    if metric == "r2" and len(y) < 2:
        return "one row has no spread"
    if metric in OWN:
        return "the metric is not defined on these rows"
    if metric_named(metric).of_one_class:
        absent = [label for label in (0, 1) if not (y == label).any()] or [0]
        named = [f"'{task.classes[label]}'" if task is not None else f"class {label}" for label in absent]
        return (
            Message("no row is {named} or predicted so", named=named[-1])
            if metric_named(metric).of_classes
            else Message("no row of {named}", named=named[-1])
        )
    return "a prediction is not a number"


def paired_difference(
    metric: str,
    y: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    scoring: Scoring = ALIKE,
    *,
    seed: int = 0,
    level: float = 0.95,
) -> Measure:
    """How much better `one` is than `other`, on the same rows: positive is better for every metric.

    The interval, of a `level` of confidence, leaves out the same units of both, so what they share cancels.
    """
    sign = metric_named(metric).sign
    weights, task, units = scoring.weights, scoring.task, scoring.units
    if weights is not None:
        there = weights > 0
        y, one, other, weights, units = y[there], one[there], other[there], weights[there], units.kept(there)

    def difference(counts: np.ndarray) -> np.ndarray:
        return np.asarray(sign * (scores_by(metric, y, one, counts, task) - scores_by(metric, y, other, counts, task)))

    w = np.ones(len(y)) if weights is None else weights
    value, unit, name = float(difference(w[None])[0]), units.numbers(len(y)), f"{metric} gained"
    if not np.isfinite(value):
        return Measure(name, float("nan"), None, None, len(y), note="undefined: a score is not defined")
    if (result := int(unit.max()) + 1) < FEWEST:
        return Measure(
            name,
            value,
            None,
            None,
            len(y),
            note=Message(
                "no interval: {result} {kind}, fewer than {fewest}", result=result, kind=units.kind, fewest=FEWEST
            ),
        )
    if metric in SHARES and weights is None and units.kind == "rows" and units.of is None:
        off = sign * ((one.argmax(1) == y).astype(float) - (other.argmax(1) == y))
        of = [off] if metric == "accuracy" else [off[y == label] for label in np.unique(y)]
        low, high = of_paired_shares(of, level)
        return Measure(name, value, min(low, value), max(high, value), len(y))
    if not metric_named(metric).smooth:
        drawn = bootstrap_ends(difference, w, unit, seed, level) or (value, value)
        return Measure(name, value, min(drawn[0], value), max(drawn[1], value), len(y))
    without = jackknife(difference, w, unit, seed)
    if not np.isfinite(without).all():
        return Measure(name, value, None, None, len(y), note="no interval: too few rows of a class")
    ends = student(value, without, level)
    if ends is None:  # not one row sets them apart: new rows could
        half = 1 - wilson(1.0, _rarest(metric, y, unit))[0] if metric_named(metric).of_classes else 0.0
        ends = value - half, value + half
    return Measure(name, value, *ends, len(y))


def optimism_of_best(
    metric: str,
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    scoring: Scoring = ALIKE,
    *,
    seed: int = 0,
) -> float:
    """By how much the best of several scores on the same rows looks too good because it was picked by them.

    In each resample the best one is picked, and its score there compared with its score on the rows themselves (Efron's
    bootstrap estimate of optimism). Not negative; 0 for one prediction.

    >>> y = np.zeros(200)
    >>> noise = [np.random.default_rng(k).normal(size=200) for k in range(20)]
    >>> one, many = optimism_of_best("rmse", y, noise[:1]), optimism_of_best("rmse", y, noise)
    >>> one, 0.01 < many < 0.1
    (0.0, True)
    """
    if len(predictions) < 2:
        return 0.0
    sign, weights, task = metric_named(metric).sign, scoring.weights, scoring.task
    w = np.ones(len(y)) if weights is None else weights / weights.mean()
    drawn = _resamples(len(y), seed) * w
    resampled = sign * np.stack([scores_by(metric, y, one, drawn, task) for one in predictions])
    resampled = resampled[:, np.isfinite(resampled).all(0)]
    whole = sign * np.array([score(metric, y, one, w, task=task) for one in predictions])
    best = resampled.argmax(0)
    gained = resampled[best, np.arange(len(best))] - whole[best]
    return max(0.0, float(gained.mean())) if len(gained) else 0.0


def within_noise(difference: Measure) -> bool:
    """Whether the interval of a difference contains zero; so it counts where there is no interval."""
    return difference.low is None or difference.high is None or difference.low <= 0 <= difference.high


def _resamples(rows: int, seed: int) -> np.ndarray:
    """How often each row is drawn in each resample, [R, N]; fewer resamples of very many rows."""
    rng = numpy_generator(seed, "bootstrap")
    resamples = max(200, min(RESAMPLES, 20_000_000 // max(1, rows)))
    drawn = [np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(resamples)]
    return np.asarray(drawn, dtype=np.float32 if rows > 20_000 else np.float64)
