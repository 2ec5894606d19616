"""Whether probabilities mean what they say, and how far off values are. Fitted on validation rows.

N rows, C classes. Labels have targets y [N, C] of 0 and 1: each label of a row is a case of its own, of two classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy
from pydantic import Field

from luthier.schema_types import Number

BINS = 10
NOMINAL = 0.9
EQUAL = 1e-9  # rows: sums of weights that differ by less are equal but for rounding


def tempered(probabilities: np.ndarray, temperature: float, *, each: bool = False) -> np.ndarray:
    """Probabilities [N, C] sharpened (temperature below 1) or softened (above 1); those of labels `each` by itself.

    >>> tempered(np.array([[0.5, 0.5]]), 2.0).tolist()
    [[0.5, 0.5]]
    >>> tempered(np.array([[0.8, 0.5]]), 0.5, each=True).round(3).tolist()
    [[0.941, 0.5]]
    """
    if each:
        return tempered(_of_two(probabilities), temperature)[:, 1].reshape(probabilities.shape)
    logs = np.log(np.clip(probabilities, 1e-12, None)) / temperature
    logs -= logs.max(1, keepdims=True)
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _of_two(probabilities: np.ndarray) -> np.ndarray:
    """The probabilities of labels [N, C] as those of no and yes [N C, 2]."""
    yes = probabilities.reshape(-1)
    return np.stack([1 - yes, yes], 1)


def _cases(
    probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of classes as they are, rows of labels label by label."""
    if y.ndim == 1:
        return probabilities, y, weights
    return _of_two(probabilities), y.reshape(-1).astype(int), None if weights is None else weights.repeat(y.shape[1])


def fit_temperature(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature with the lowest (weighted) log loss (Guo and others, 2017), between 1/4 and 4."""
    probabilities, y, weights = _cases(probabilities, y, weights)

    def loss(log_temperature: float) -> float:
        p = tempered(probabilities, float(np.exp(log_temperature)))
        return float(np.average(-np.log(np.clip(p[np.arange(len(y)), y], 1e-12, None)), weights=weights))

    result = scipy.optimize.minimize_scalar(
        loss, bounds=(-np.log(4), np.log(4)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(result.x)) if result.fun < loss(0.0) else 1.0


@dataclass(frozen=True)
class ConfidenceBin:
    """A bin of confidence."""

    confidence: Number
    accuracy: Number
    count: Annotated[int, Field(ge=1, le=2**53)]


@dataclass(frozen=True)
class Reliability:
    """How well probabilities are calibrated, and how well they were `before` the `temperature`."""

    bins: Annotated[list[ConfidenceBin], Field(min_length=1)]
    ece: Number
    before: Number = float("nan")
    temperature: Number = 1.0


def reliability(probabilities: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Reliability:
    """Bins of confidence with their accuracy and the rows in them, and the expected calibration error over them."""
    probabilities, y, weights = _cases(probabilities, y, weights)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    w = np.ones(len(y)) if weights is None else weights
    bins, error = [], 0.0
    for b in np.unique(place):
        here = place == b
        known, true = (float(np.average(values[here], weights=w[here])) for values in (confidence, right))
        bins.append(ConfidenceBin(known, true, int(here.sum())))
        error += float(w[here].sum()) * abs(known - true)
    return Reliability(bins, error / float(w.sum()))


def smearing(residuals: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Duan's factor (1983) for a model of logarithms: the (weighted) mean of exp is not exp of the mean.

    >>> smearing(np.log(np.array([1.0, 3.0])))
    2.0
    """
    return float(np.average(np.exp(residuals), weights=weights))


def conformal_quantile(
    scores: np.ndarray, nominal: float, weights: np.ndarray | None = None, units: int | None = None
) -> float:
    """The score that a new row's stays below with at least the nominal chance; infinite where rows are too few.

    Each row counts by its weight, a new row by their mean (Tibshirani and others 2019). Where a row and its copies are
    one unit of evidence, `units` is the number of these.

    >>> conformal_quantile(np.arange(1.0, 100), 0.9), conformal_quantile(np.arange(5.0), 0.9)
    (90.0, inf)
    """
    order, count = np.argsort(scores, kind="stable"), len(scores) if units is None else units
    w = np.ones(len(scores)) if weights is None else weights[order]
    place = int(np.searchsorted(np.cumsum(w) * (count / w.sum()), (count + 1) * nominal - EQUAL))
    return float(scores[order[place]]) if place < len(scores) else float("inf")


def half_width(
    residuals: np.ndarray, nominal: float = NOMINAL, weights: np.ndarray | None = None, units: int | None = None
) -> float:
    """The split-conformal half width: new rows fall within it with at least the nominal chance.

    >>> half_width(np.arange(1, 100) / 1.0)
    90.0
    """
    errors = np.abs(residuals)
    return min(conformal_quantile(errors, nominal, weights, units), float(errors.max()))
