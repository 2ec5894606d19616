"""Which class is answered, given probabilities: the one a metric, or a matrix of costs, is best served by.

Every such decision is linear: of scores P @ matrix + offset the largest. Costs, a share to divide by, a weight and an
offset for each class, and cuts on the expected level of ordered classes are all of this form. N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from luthier.data import Task
from luthier.objective import metric_named

MOST_ROWS, MOST_CLASSES, ROUNDS = 20_000, 30, 3  # of the search for weights, offsets and cuts
MULTIPLIERS = np.exp(np.linspace(-1.5, 1.5, 25))
OFFSETS = np.linspace(-0.3, 0.3, 25)
CUTS = 41


@dataclass(frozen=True)
class ClassAnswer:
    """The class with the largest of the scores P @ `matrix` [C, C] + `offset` [C].

    >>> ClassAnswer(np.diag([1.0, 3.0]), np.zeros(2)).classes(np.array([[0.7, 0.3], [0.8, 0.2]])).tolist()
    [1, 0]
    """

    matrix: np.ndarray
    offset: np.ndarray

    def classes(self, probabilities: np.ndarray) -> np.ndarray:
        """Class numbers [N] of probabilities [N, C]."""
        return np.asarray((probabilities @ self.matrix + self.offset).argmax(1))

    def seen(self, probabilities: np.ndarray) -> np.ndarray:
        """1 for the class that is answered, 0 for others [N, C]."""
        return np.asarray(np.eye(probabilities.shape[1])[self.classes(probabilities)])

    @property
    def threshold(self) -> float:
        """Of two classes: the second's probability from which on it is answered."""
        (a, b), (c, d) = self.matrix.tolist()
        slope, level = (d - c) - (b - a), self.offset[0] - self.offset[1] + a - b
        return float(np.clip(level / slope, 0.0, 1.0)) if slope > 0 else 0.5


def likeliest(count: int) -> ClassAnswer:
    """The class with the largest probability."""
    return ClassAnswer(np.eye(count), np.zeros(count))


def of_costs(costs: np.ndarray) -> ClassAnswer:
    """The class of the least expected cost, given the cost [C, C] of a true class (row) answered as another (column).

    >>> of_costs(np.array([[0.0, 1.0], [5.0, 0.0]])).threshold
    0.16666666666666666
    """
    return ClassAnswer(-costs, np.zeros(len(costs)))


def of_cuts(cuts: np.ndarray) -> ClassAnswer:
    """The class by how many of the rising cuts [C - 1] the expected level, the mean of class numbers, has reached.

    Class k scores k times the level less the sum of its first k cuts: the largest rises as the level passes each cut.

    >>> of_cuts(np.array([0.35, 1.7])).classes(np.array([[0.7, 0.2, 0.1], [0.6, 0.4, 0.0], [0.0, 0.2, 0.8]])).tolist()
    [1, 1, 2]
    """
    levels = np.arange(len(cuts) + 1.0)
    return ClassAnswer(np.outer(levels, levels), -np.concatenate([[0.0], np.cumsum(cuts)]))


def fitted_classes(
    metric: str, y: np.ndarray, P: np.ndarray, weights: np.ndarray | None = None, task: Task | None = None
) -> ClassAnswer:
    """The decision that a metric of classes is best served by on these rows; the likeliest class where it asks for no
    other. `y` [N] are class numbers, `P` [N, C] probabilities of rows not learnt from."""
    known, count = metric_named(metric), P.shape[1]
    w = np.ones(len(y)) if weights is None else weights
    shares = np.bincount(y, w, minlength=count) / w.sum()
    if not known.of_classes or known.name == "accuracy" or (shares > 0).sum() < 2:
        return likeliest(count)
    if known.name == "balanced accuracy":
        return ClassAnswer(np.diag(1 / np.where(shares > 0, shares, 1.0)), np.zeros(count))
    rows = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_ROWS)).astype(int))
    score = _Score(known.value, known.sign, y[rows], P[rows], w[rows], 1 if task is None else task.positive_index)
    if known.name == "quadratic kappa":
        return _best_cuts(score)
    return _best_weights(score) if count <= MOST_CLASSES else likeliest(count)


def fitted_decision(metric: str, y: np.ndarray, P: np.ndarray, weights: np.ndarray | None = None) -> ClassAnswer | None:
    """`fitted_classes` of several classes; None where it is the likeliest class."""
    result = fitted_classes(metric, y, P, weights)
    plain = not result.offset.any() and np.array_equal(result.matrix, np.eye(P.shape[1]))
    return None if plain else result


@dataclass(frozen=True)
class _Score:
    """A metric of class decisions on fixed rows."""

    value: Callable[..., torch.Tensor]
    sign: float
    y: np.ndarray
    P: np.ndarray
    weights: np.ndarray
    positive: int

    def of(self, scores: np.ndarray) -> float:
        """Of the classes with the largest of scores [N, C]; the worst where it is not defined."""
        taken = torch.nn.functional.one_hot(torch.from_numpy(scores.argmax(1)), scores.shape[1]).double()
        W = torch.from_numpy(self.weights)[None]
        value = self.sign * float(self.value(torch.from_numpy(self.y), taken[None], W, self.positive)[0, 0])
        return value if np.isfinite(value) else -np.inf


def _best_weights(score: _Score) -> ClassAnswer:
    """A weight and an offset for each class, one after another, as long as the score rises."""
    count = score.P.shape[1]
    weights, offset = np.ones(count), np.zeros(count)
    best = score.of(score.P)
    for _ in range(ROUNDS):
        before = best
        for c in range(count):
            for values, tried in ((weights, weights[c] * MULTIPLIERS), (offset, offset[c] + OFFSETS)):
                kept = values[c]
                found, best = _best_of(score, weights, offset, values, c, tried, best)
                values[c] = kept if found is None else found
        if best <= before:
            break
    return ClassAnswer(np.diag(weights), offset)


def _best_of(
    score: _Score,
    weights: np.ndarray,
    offset: np.ndarray,
    values: np.ndarray,
    c: int,
    tried: np.ndarray,
    best: float,
) -> tuple[float | None, float]:
    """The value of one class's weight or offset with a better score than the best, and that score."""
    found = None
    for value in tried:
        values[c] = value
        if (now := score.of(score.P * weights + offset)) > best + 1e-9:
            found, best = float(value), now
    return found, best


def _best_cuts(score: _Score) -> ClassAnswer:
    """Cuts on the expected level, one after another, each between its neighbours, as long as the score rises."""
    count = score.P.shape[1]
    level = score.P @ np.arange(count)
    cuts, best = np.arange(count - 1) + 0.5, -np.inf
    for _ in range(2 * ROUNDS):
        before = best
        for k in range(count - 1):
            low, high = cuts[k - 1] if k else level.min(), cuts[k + 1] if k + 2 < count else level.max()
            inside = level[(level >= low) & (level <= high)]
            tried = np.unique(np.append(np.quantile(inside, np.linspace(0, 1, CUTS)), cuts[k])) if len(inside) else ()
            for cut in tried:
                moved = np.concatenate([cuts[:k], [cut], cuts[k + 1 :]])
                taken = np.searchsorted(moved, level, side="right")
                now = score.of(np.eye(count)[taken])
                if now > best + 1e-9:
                    best, cuts = now, moved
        if best <= before:
            break
    return of_cuts(cuts)
