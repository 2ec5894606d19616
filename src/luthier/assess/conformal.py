"""Sets and rejections with a stated chance, from validation rows. N rows, C classes, F features.

The promise is marginal and needs rows that are exchangeable with the validation rows: over all new rows of
the same kind the true class is in the set at least as often as stated (Vovk and others 2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.assess.calibration import NOMINAL, conformal_quantile

FLATTENED = 1e-3  # of the largest variance: directions below it are rounding, not data
UNFAMILIAR = 0.005  # of the validation rows would be rejected


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


def prediction_sets(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Which classes are in each row's set [N, C]; the likeliest always is."""
    inside = probabilities >= threshold
    inside[np.arange(len(inside)), probabilities.argmax(1)] = True
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
        """Learn from training features [N, F]; the limit is set on validation rows, which it never saw."""
        mean = training.mean(0)
        values, directions = np.linalg.eigh(np.cov(training - mean, rowvar=False).reshape(training.shape[1], -1))
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


def set_figures(
    probabilities: np.ndarray, y: np.ndarray, threshold: float, nominal: float, weights: np.ndarray | None = None
) -> dict[str, Any]:
    """How often sets hold the truth, and how large they are."""
    inside = prediction_sets(probabilities, threshold)
    covered, sizes = inside[np.arange(len(y)), y], inside.sum(1)
    return {
        "nominal": nominal,
        "coverage": float(np.average(covered, weights=weights)),
        "mean size": float(np.average(sizes, weights=weights)),
        "sure": float(np.average(sizes == 1, weights=weights)),
    }
