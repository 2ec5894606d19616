"""Which labels a row is answered with: those whose probability reaches a threshold of their own. N rows, K labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.objective import metric_named

HALF = 0.5


@dataclass(frozen=True)
class LabelAnswer:
    """The labels with a probability of `thresholds` [K] or more.

    >>> LabelAnswer(np.array([0.5, 0.2])).seen(np.array([[0.4, 0.3]])).tolist()
    [[0.0, 1.0]]
    """

    thresholds: np.ndarray

    def seen(self, probabilities: np.ndarray) -> np.ndarray:
        """1 for the labels that are answered, 0 for others [N, K]."""
        return np.asarray((probabilities >= self.thresholds).astype(float))


def fitted_labels(metric: str, y: np.ndarray, P: np.ndarray, weights: np.ndarray | None = None) -> LabelAnswer:
    """The thresholds that a metric is best served by on these rows: for micro F1 one for all labels, for other means of
    F1 each label's own, else one half. `y` [N, K] are 0 and 1, `P` [N, K] probabilities of rows not learnt from."""
    name, count = metric_named(metric).name, P.shape[1]
    w = np.ones(len(y)) if weights is None else weights
    if name == "f1 micro":
        common = best_f1_threshold(y.ravel(), P.ravel(), np.repeat(w, count))
        return LabelAnswer(np.full(count, common))
    if name in ("f1 macro", "f1 weighted"):
        return LabelAnswer(np.array([best_f1_threshold(y[:, k], P[:, k], w) for k in range(count)]))
    return LabelAnswer(np.full(count, HALF))


def best_f1_threshold(y: np.ndarray, p: np.ndarray, weights: np.ndarray) -> float:
    """The threshold on probabilities p [N] with the largest F1, halfway between neighbours; of equal ones that nearest
    to one half, which it is too where no row has the label.

    >>> best_f1_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.3, 0.2, 0.6]), np.ones(4))
    0.25
    """
    if not (y * weights).any():
        return HALF
    order = np.argsort(-p, kind="stable")
    values, right = p[order], np.cumsum((y * weights)[order])
    f1 = 2 * right / (np.cumsum(weights[order]) + right[-1])
    last = np.append(values[1:] < values[:-1], True)  # equal probabilities are taken together
    tried = (values + np.append(values[1:], 0.0))[last] / 2
    best = tried[f1[last] >= f1[last].max() - 1e-12]
    return float(best[np.argmin(np.abs(best - HALF))])
