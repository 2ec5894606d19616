"""Whether a remedy gains more than luck: losses compared in pairs, and the luck of seeds learnt from all comparisons.

S seeds, N validation rows. Two seeds alone say next to nothing about the spread over seeds (one degree of
freedom, a factor of 12.7); dozens of comparisons of one run say a lot. So the variance over seeds of a
comparison is drawn towards what the others showed, as much as those agree among themselves (Smyth 2004,
"Linear models and empirical Bayes methods for assessing differential expression").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from luthier.recipe.evidence import Gain

SHARED = 0.25  # correlation of two variances over seeds whose differences share one reference


@dataclass
class SeedSpread:
    """Variances over seeds that the comparisons of a run have shown, and what they say of the next one."""

    variances: list[float] = field(default_factory=list)  # of the difference of two settings' mean losses
    freedom: int = 1  # S - 1 degrees of freedom behind each of them
    independent: float = 0.0  # degrees of freedom behind all of them together

    def add(self, differences: Sequence[np.ndarray]) -> None:
        """Take in the loss differences [S, N] of one rung's options to one reference."""
        result = [float(one.mean(1).var(ddof=1)) for one in differences if len(one) > 1]
        if result:
            self.freedom = len(differences[0]) - 1
            self.variances += result
            self.independent += len(result) * self.freedom / (1 + SHARED * (len(result) - 1))

    def prior(self) -> tuple[float, float]:
        """The variance that the comparisons agree on, and the degrees of freedom that it is worth; 0 for none."""
        if len(self.variances) < 3:
            return 0.0, 0.0
        values = np.array(self.variances)
        logs = np.log(np.maximum(values, 1e-5 * max(float(np.median(values)), 1e-300)))
        half = self.freedom / 2
        centred = logs - scipy.special.digamma(half) + np.log(half)
        surplus = float(centred.var(ddof=1) - scipy.special.polygamma(1, half))  # how far true variances differ
        worth = 2 * _inverse_trigamma(surplus) if surplus > 0 else np.inf
        shift = scipy.special.digamma(worth / 2) - np.log(worth / 2) if np.isfinite(worth) else 0.0
        return float(np.exp(centred.mean() + shift)), float(min(worth, self.independent))

    def moderated(self, variance: float, freedom: int) -> tuple[float, float]:
        """A comparison's own variance over seeds drawn towards the others', and its degrees of freedom.

        >>> SeedSpread().moderated(0.5, 2)
        (0.5, 2.0)
        """
        common, worth = self.prior()
        total = freedom + worth
        return (worth * common + freedom * variance) / total, min(total, max(freedom, self.independent))


def _inverse_trigamma(value: float) -> float:
    """The x with trigamma(x) = value, within bounds that mean 'not at all' and 'entirely'."""

    def miss(log_x: float) -> float:
        return float(np.log(scipy.special.polygamma(1, np.exp(log_x))) - np.log(value))

    low, high = -7.0, 9.0
    if miss(low) < 0:
        return float(np.exp(low))
    return float(np.exp(high if miss(high) > 0 else scipy.optimize.brentq(miss, low, high)))


def paired(reference: np.ndarray, losses: np.ndarray, compared: int = 1, spread: SeedSpread | None = None) -> Gain:
    """The mean reduction of losses [S, N] over the reference's, with its 95 % half width.

    The interval counts both kinds of luck, that of the rows and that of the seeds; where the best of
    several is `compared`, it is widened for all of them (Bonferroni). With `spread` the luck of the seeds
    is judged by all comparisons of the run.

    >>> paired(np.full((3, 100), 1.0), np.full((3, 100), 0.5)).clear
    True
    """
    difference = reference - losses
    seeds, rows = difference.shape
    parts = [(difference.mean(0).var(ddof=1) / rows if rows > 1 else np.inf, float(rows - 1))]
    if seeds > 1:
        between, freedom = float(difference.mean(1).var(ddof=1)), float(seeds - 1)
        if spread is not None:
            between, freedom = spread.moderated(between, seeds - 1)
        parts.append((between / seeds, freedom))
    variance = sum(part for part, _ in parts)
    # Satterthwaite's degrees of freedom: where seeds differ most there are as few as seeds say.
    freedom = variance**2 / max(sum(part**2 / count for part, count in parts), 1e-300) if variance > 0 else 1.0
    half = float(scipy.stats.t.isf(0.025 / max(1, compared), max(1.0, freedom)) * np.sqrt(variance))
    mean = float(difference.mean())
    return Gain(round(mean, 5), round(half, 5), seeds * rows, clear=bool(abs(mean) > half))
