"""Scores of predictions, each with an interval over rows.

A prediction is class probabilities [N, C], or values [N] on the target's own scale. Intervals are
95 %: Wilson's for accuracy, otherwise from a seeded bootstrap over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy

from luthier.records import Measure
from luthier.seeds import numpy_generator

RESAMPLES = 1000
PRIMARY = {"regression": "rmse", "binary": "accuracy", "multiclass": "accuracy"}
TINY = 1e-12


class Metric(NamedTuple):
    """`value(y, prediction, counts)` scores each resample; counts [R, N] say how often a row is in it."""

    value: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    larger_is_better: bool
    kinds: tuple[str, ...]
    of_classes: bool = False  # it looks at the classes that are taken, not at their probabilities


def _mean(rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts @ rows / counts.sum(1))


def _accuracy(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _mean((p.argmax(1) == y).astype(float), counts)


def _log_loss(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _mean(-np.log(np.clip(p[np.arange(len(y)), y], TINY, None)), counts)


def _auc(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: the chance that a positive row scores above a negative one, ties half."""
    _, rank = np.unique(p[:, 1], return_inverse=True)
    positive = np.zeros((rank.max() + 1, len(counts)))
    negative = np.zeros_like(positive)
    np.add.at(positive, rank[y == 1], counts.T[y == 1])
    np.add.at(negative, rank[y == 0], counts.T[y == 0])
    below = np.cumsum(negative, 0) - negative
    wins = (positive * (below + 0.5 * negative)).sum(0)
    return np.asarray(wins / np.maximum(positive.sum(0) * negative.sum(0), TINY))


def _rmse(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(_mean((p - y) ** 2, counts)))


def _mae(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return _mean(np.abs(p - y), counts)


def _r2(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    spread = _mean(y**2, counts) - _mean(y, counts) ** 2
    return np.asarray(1 - _mean((p - y) ** 2, counts) / np.maximum(spread, TINY))


def _by_class(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many rows of each class were right, belong to it, and were taken for it: [R, C] each."""
    one, taken = np.eye(p.shape[1]), p.argmax(1)
    return counts @ (one[y] * (taken == y)[:, None]), counts @ one[y], counts @ one[taken]


def _balanced_accuracy(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the classes that are there of the share of their rows that is right."""
    right, there, _ = _by_class(y, p, counts)
    share = right / np.maximum(there, TINY)
    return np.asarray((share * (there > 0)).sum(1) / np.maximum((there > 0).sum(1), 1))


def _f1(y: np.ndarray, p: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall; of the positive class of two, else the mean over classes."""
    right, there, taken = _by_class(y, p, counts)
    scores = 2 * right / np.maximum(there + taken, TINY)
    return np.asarray(scores[:, 1] if p.shape[1] == 2 else scores.mean(1))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, True, ("binary", "multiclass"), of_classes=True),
    "balanced accuracy": Metric(_balanced_accuracy, True, ("binary", "multiclass"), of_classes=True),
    "f1": Metric(_f1, True, ("binary", "multiclass"), of_classes=True),
    "log loss": Metric(_log_loss, False, ("binary", "multiclass")),
    "auc": Metric(_auc, True, ("binary",)),
    "rmse": Metric(_rmse, False, ("regression",)),
    "mae": Metric(_mae, False, ("regression",)),
    "r2": Metric(_r2, True, ("regression",)),
}


def score(metric: str, y: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None = None) -> float:
    """A score alone, without its interval.

    >>> score("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    1.0
    """
    counts = np.ones(len(y)) if weights is None else weights / weights.mean()
    return float(METRICS[metric].value(y, prediction, counts[None])[0])


def measure(
    metric: str, y: np.ndarray, prediction: np.ndarray, *, seed: int = 0, weights: np.ndarray | None = None
) -> Measure:
    """A score with its 95 % interval; with `weights` [N] rows count by them.

    >>> measure("accuracy", np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])).value
    1.0
    """
    rows = len(y)
    w = np.ones(rows) if weights is None else weights / weights.mean()
    value = float(METRICS[metric].value(y, prediction, w[None])[0])
    if metric == "accuracy" and weights is None:
        low, high = wilson(value, rows)
    else:
        resampled = METRICS[metric].value(y, prediction, _resamples(rows, seed) * w)
        low, high = (float(x) for x in np.quantile(resampled, (0.025, 0.975)))
    return Measure(metric, value, low, high, rows)


def wilson(share: float, rows: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, which holds near 0 and 1 too.

    >>> [round(x, 4) for x in wilson(1.0, 100)]
    [0.963, 1.0]
    """
    z = float(scipy.stats.norm.ppf(0.975))
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def paired_difference(
    metric: str,
    y: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    *,
    seed: int = 0,
    weights: np.ndarray | None = None,
    level: float = 0.95,
) -> Measure:
    """How much better `one` is than `other`, on the same rows: positive is better for every metric.

    The interval, of a `level` of confidence, resamples rows for both together, so what they share cancels.
    """
    sign = 1.0 if METRICS[metric].larger_is_better else -1.0

    def difference(counts: np.ndarray) -> np.ndarray:
        value = METRICS[metric].value
        return np.asarray(sign * (value(y, one, counts) - value(y, other, counts)))

    rows = len(y)
    w = np.ones(rows) if weights is None else weights / weights.mean()
    low, high = (float(x) for x in np.quantile(difference(_resamples(rows, seed) * w), _ends(level)))
    return Measure(f"{metric} gained", float(difference(w[None])[0]), low, high, rows)


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def optimism_of_best(
    metric: str, y: np.ndarray, predictions: Sequence[np.ndarray], *, seed: int = 0, weights: np.ndarray | None = None
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
    known = METRICS[metric]
    sign = 1.0 if known.larger_is_better else -1.0
    w = np.ones(len(y)) if weights is None else weights / weights.mean()
    drawn = _resamples(len(y), seed) * w
    resampled = sign * np.stack([known.value(y, one, drawn) for one in predictions])
    whole = sign * np.array([float(known.value(y, one, w[None])[0]) for one in predictions])
    best = resampled.argmax(0)
    return max(0.0, float((resampled[best, np.arange(len(best))] - whole[best]).mean()))


def within_noise(difference: Measure) -> bool:
    """Whether the interval of a difference contains zero."""
    return difference.low is None or difference.high is None or difference.low <= 0 <= difference.high


def _resamples(rows: int, seed: int) -> np.ndarray:
    """How often each row is drawn in each resample, [R, N]; fewer resamples of very many rows."""
    rng = numpy_generator(seed, "bootstrap")
    resamples = max(200, min(RESAMPLES, 20_000_000 // max(1, rows)))
    drawn = [np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(resamples)]
    return np.asarray(drawn, dtype=np.float32 if rows > 20_000 else np.float64)
