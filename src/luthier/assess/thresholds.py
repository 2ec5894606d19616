"""The probability from which a row counts as positive, by what mistakes cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.errors import InputError


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
                f"the costs '{text}' cannot be read",
                expected="what a false positive and a false negative cost, such as 1:5",
            )
        return cls(positive, negative)

    @property
    def threshold(self) -> float:
        """The best threshold where probabilities mean what they say (Elkan 2001)."""
        return self.false_positive / (self.false_positive + self.false_negative)

    def of(self, probabilities: np.ndarray, y: np.ndarray, threshold: float) -> float:
        """The mean cost of a row; `probabilities` [N] are those of the positive class."""
        positive = probabilities >= threshold
        wrong = self.false_positive * (positive & (y == 0)) + self.false_negative * (~positive & (y == 1))
        return float(wrong.mean())

    def best(self, probabilities: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        """The threshold with the lowest mean cost on these rows, and that cost.

        Where several do equally well it is the one nearest to what calibrated probabilities ask for.
        """
        places = np.unique(np.concatenate([probabilities, [0.0, self.threshold, 1.0]]))
        middles = np.concatenate([[0.0], (places[1:] + places[:-1]) / 2, [self.threshold]])
        costs = np.array([self.of(probabilities, y, threshold) for threshold in middles])
        best = middles[costs <= costs.min() + 1e-12]
        threshold = float(best[np.argmin(np.abs(best - self.threshold))])
        return threshold, float(costs.min())
