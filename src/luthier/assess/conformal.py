"""Sets and rejections with a stated chance, from validation rows. N rows, C classes, F features.

The promise is marginal and needs rows that are exchangeable with the validation rows: over all new rows of
the same kind the true class is in the set at least as often as stated (Vovk and others 2005).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import AliasChoices, Field

from luthier.assess.calibration import NOMINAL, conformal_quantile
from luthier.schema_types import Count, Number

FLATTENED = 1e-3  # of the largest variance: directions below it are rounding, not data
UNFAMILIAR = 0.005  # of the validation rows would be rejected
MOST = 1000  # columns, or else rows, of a matrix whose eigenvectors are computed: a second or two
DIRECTIONS = 256  # kept where there are more columns, with the largest variances: a model file holds them
NUMBERS = 4_000_000  # of training features that are looked at: enough rows for as many directions


def set_threshold(
    probabilities: np.ndarray,
    y: np.ndarray,
    nominal: float = NOMINAL,
    weights: np.ndarray | None = None,
    units: int | None = None,
) -> float:
    """The least probability with which a class enters the set, so that sets hold the truth as often as `nominal`.

    >>> set_threshold(np.array([[0.9, 0.1]] * 99), np.zeros(99, dtype=int))
    0.9
    """
    least = -conformal_quantile(-probabilities[np.arange(len(y)), y], nominal, weights, units)
    return max(least, 0.0)


def prediction_sets(probabilities: np.ndarray, threshold: float, *, ordered: bool = False) -> np.ndarray:
    """Which classes are in each row's set [N, C]; the likeliest always is, and of ordered levels all between two.

    >>> prediction_sets(np.array([[0.4, 0.1, 0.5]]), 0.3, ordered=True)
    array([[ True,  True,  True]])
    """
    inside = probabilities >= threshold
    inside[np.arange(len(inside)), probabilities.argmax(1)] = True
    if ordered:
        inside = np.logical_or.accumulate(inside, 1) & np.logical_or.accumulate(inside[:, ::-1], 1)[:, ::-1]
    return np.asarray(inside)


@dataclass(frozen=True)
class Familiarity:
    """How far a row's features lie from those of training: the distance after whitening (Mahalanobis).

    `limit` is the distance that all but a few of the validation rows stay below.
    """

    mean: np.ndarray
    whitening: np.ndarray
    limit: float

    @classmethod
    def fit(cls, training: np.ndarray, validation: np.ndarray, share: float = UNFAMILIAR) -> Familiarity:
        """Learn from training features [N, F]; the limit is set on validation rows, which it never saw.

        Of many rows some are looked at, of many columns the directions of the largest variances.
        """
        training = training[spread_rows(*training.shape)]
        mean = training.mean(0)
        values, directions = _directions(training - mean)
        kept = values > FLATTENED * max(float(values.max()), 1e-30)
        result = cls(mean, directions[:, kept] / np.sqrt(values[kept]), np.inf)
        distances = np.sort(result.distance(validation))
        rank = int(np.ceil((len(distances) + 1) * (1 - share)))
        limit = float(distances[rank - 1]) if rank <= len(distances) else 1.25 * float(distances[-1])
        return cls(result.mean, result.whitening, limit)

    def distance(self, features: np.ndarray) -> np.ndarray:
        """The distance of each row [N]."""
        return np.asarray(np.sqrt((((features - self.mean) @ self.whitening) ** 2).sum(1)))

    def unlike(self, features: np.ndarray) -> np.ndarray:
        """Whether each row [N] is farther from the training rows than nearly all validation rows."""
        return np.asarray(self.distance(features) > self.limit)


def spread_rows(rows: int, columns: int) -> np.ndarray:
    """Which of so many rows are looked at, spread evenly; all of them where the table is small.

    >>> len(spread_rows(500, 10)), len(spread_rows(200_000, 10_000))
    (500, 1000)
    """
    most = max(MOST, NUMBERS // max(1, columns))
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(int))


def _directions(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances [K] and directions [F, K] of centred rows [N, F], by the smaller of both products of the matrix."""
    rows, columns = centred.shape
    degrees = max(1, rows - 1)
    if columns <= MOST:
        values, directions = np.linalg.eigh(centred.T @ centred / degrees)
        return values, directions
    values, left = np.linalg.eigh(centred @ centred.T / degrees)
    values, left = values[-DIRECTIONS:], left[:, -DIRECTIONS:]
    return values, centred.T @ (left / np.sqrt(degrees * np.maximum(values, 1e-30)))


@dataclass(frozen=True)
class SetFigures:
    """How often prediction sets hold the class, and how large they are."""

    nominal: Number
    coverage: Number
    mean_size: Annotated[float, Field(validation_alias=AliasChoices("mean_size", "mean size"))]
    sure: Number
    sizes: list[Count] = field(default_factory=list)


def figures_of_sets(inside: np.ndarray, y: np.ndarray, nominal: float, weights: np.ndarray | None = None) -> SetFigures:
    """How often sets hold the truth, and how large they are: which classes are in each row's [N, C]."""
    covered, sizes = inside[np.arange(len(y)), y], inside.sum(1)
    return SetFigures(
        nominal=nominal,
        coverage=float(np.average(covered, weights=weights)),
        mean_size=float(np.average(sizes, weights=weights)),
        sure=float(np.average(sizes == 1, weights=weights)),
        sizes=np.bincount(sizes).tolist(),
    )
