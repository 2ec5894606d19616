"""The probability from which a row counts as positive: by what mistakes cost, or by a metric of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from luthier.assess.intervals import score
from luthier.data import Task
from luthier.errors import InputError
from luthier.messages import Message
from luthier.objective import metric_named

MOST_TRIED = 200


@dataclass(frozen=True)
class Costs:
    """What a false positive and a false negative cost, in any unit.

    >>> Costs.parse("1:5").threshold
    0.16666666666666666
    """

    false_positive: float = 1.0
    false_negative: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Costs:
        """Read `1:5`: a false positive costs 1, a false negative 5. InputError for anything else."""
        try:
            positive, negative = (float(part) for part in text.split(":"))
        except ValueError:
            positive = negative = -1.0
        if positive <= 0 or negative <= 0:
            raise InputError(
                Message("the costs '{text}' cannot be read", text=text),
                expected="what a false positive and a false negative cost, such as 1:5",
            )
        return cls(positive, negative)

    @property
    def threshold(self) -> float:
        """The best threshold where probabilities mean what they say (Elkan 2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)

    def of(
        self, probabilities: np.ndarray, positive: np.ndarray, threshold: float, weights: np.ndarray | None = None
    ) -> float:
        """The mean cost of a row; `probabilities` [N] are those of the positive class, `positive` [N] the truth."""
        positive, taken = positive.astype(bool), probabilities >= threshold
        wrong = self.false_positive * (taken & ~positive) + self.false_negative * (~taken & positive)
        return float(np.average(wrong, weights=weights))

    def best(
        self, probabilities: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
    ) -> tuple[float, float]:
        """The threshold with the lowest mean cost on these rows, and that cost.

        Where several do equally well it is the one nearest to what calibrated probabilities ask for.

        >>> Costs(1, 10).best(np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True]))
        (0.2, 0.25)
        """
        positive, w = positive.astype(bool), np.ones(len(positive)) if weights is None else weights
        indices = np.unique(np.concatenate([probabilities, [0.0, self.threshold, 1.0]]))
        tried = np.concatenate([[0.0], (indices[1:] + indices[:-1]) / 2, [self.threshold]])
        order = np.argsort(probabilities)
        below = np.searchsorted(probabilities[order], tried)  # rows that are not taken for positive
        missed = np.concatenate([[0.0], np.cumsum((w * positive)[order])])[below]
        spared = np.concatenate([[0.0], np.cumsum((w * ~positive)[order])])[below]
        costs = self.false_negative * missed + self.false_positive * ((w * ~positive).sum() - spared)
        costs = costs / w.sum()
        best = tried[costs <= costs.min() + 1e-12]
        return float(best[np.argmin(np.abs(best - self.threshold))]), float(costs.min())


def of_second(threshold: float, positive: int) -> float:
    """A threshold on the positive class's probability as one on the second's, from which on the second is predicted.

    >>> of_second(0.25, 1), round(of_second(0.25, 0), 9)
    (0.25, 0.75)
    """
    return threshold if positive == 1 else float(np.nextafter(1 - threshold, 2))


def at_threshold(probabilities: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Probabilities [N, 2] whose order is the same, with the second's `threshold`, one or one a row [N], brought to one
    half; for metrics of classes.

    >>> at_threshold(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).argmax(1).tolist()
    [1, 0]
    """
    second = probabilities[:, 1]
    below = 0.5 * second / np.maximum(threshold, 1e-12)
    above = 1 - 0.5 * (1 - second) / np.maximum(1 - threshold, 1e-12)
    # At the threshold itself a row is of the second class: a hair above one half, since argmax gives ties to the first.
    moved = np.where(second >= threshold, np.maximum(above, np.nextafter(0.5, 1)), below)
    return np.stack([1 - moved, moved], 1)


class Decision(Protocol):
    """Which class of several is answered, or which labels are; of numbers how values lie around an answer."""

    def seen(self, prediction: np.ndarray) -> np.ndarray:
        """1 for what is answered, 0 for others [N, C], of probabilities [N, C]; equally likely values [N, Q] of answers
        [N]."""
        ...


def seen_by(metric: str, prediction: np.ndarray, threshold: float, decision: Decision | None = None) -> np.ndarray:
    """A prediction as a metric is to see it: a metric of classes sees those that the second's threshold gives, or of
    several a decision; one of laws the values around an answer, without a decision that alone."""
    known = metric_named(metric)
    if known.of_law and prediction.ndim == 1:
        return prediction[:, None] if decision is None else decision.seen(prediction)
    if not known.of_classes:
        return prediction
    if decision is not None:
        return decision.seen(prediction)
    return at_threshold(prediction, threshold) if threshold != 0.5 else prediction


def best_threshold(
    metric: str,
    y: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    task: Task | None = None,
) -> float:
    """The second class's threshold with the best metric on these rows, from quantiles of its probabilities and one
    half.

    Where several do equally well it is the one nearest to one half. 0.5 for metrics that look at no classes, or that
    are not defined on these rows; balanced accuracy has the second's share, where both are equally likely for their
    numbers.
    """
    known = metric_named(metric)
    if not known.of_classes:
        return 0.5
    if known.name == "balanced accuracy" and len(np.unique(y)) == 2:
        return float(np.average(y, weights=weights))
    tried = np.unique(np.append(np.quantile(probabilities[:, 1], np.linspace(0, 1, MOST_TRIED + 1)), 0.5))
    sign = known.sign
    values = np.array([sign * score(metric, y, at_threshold(probabilities, t), weights, task=task) for t in tried])
    values = np.where(np.isnan(values), -np.inf, values)
    best = tried[values >= values.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])
