"""Differences of losses in pairs: what a gain is beside the luck of rows and of seeds.

S seeds or partitions, N rows. Two seeds alone say next to nothing about the spread over seeds (one degree of
freedom, a factor of 12.7); dozens of comparisons of one run say a lot. So the variance over seeds of a
comparison is drawn towards what the others showed, as much as those agree among themselves (Smyth 2004,
"Linear models and empirical Bayes methods for assessing differential expression").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from luthier.messages import tr
from luthier.records import JsonObject

SHARED = 0.25  # correlation of two variances over seeds whose differences share one reference


@dataclass(frozen=True)
class Gain:
    """A mean of paired differences, the half width of its 95 % interval, and whether it is `clear` of the noise."""

    gain: float | None
    half_width: float | None
    pairs: int
    clear: bool

    @property
    def lowers(self) -> bool:
        """Whether the loss falls, beyond the noise."""
        return self.clear and self.gain is not None and self.gain > 0

    @property
    def size(self) -> str:
        """The gain with its half width."""
        if self.gain is None:
            return tr("not measured")
        return f"{self.gain:+.4f}" + ("" if self.half_width is None else f" ± {self.half_width:.4f}")

    @property
    def in_words(self) -> str:
        """How large it is, and whether it is more than noise.

        >>> Gain(0.02, 0.05, 40, False).in_words
        '+0.0200 ± 0.0500, inside the noise'
        """
        if self.gain is None:
            return self.size
        noise = tr("clear of the noise") if self.clear else tr("inside the noise")
        return tr("{size}, {noise}", size=self.size, noise=noise)


def interval(differences: Sequence[float] | np.ndarray) -> Gain:
    """Mean of paired differences with the half width of its 95 % interval.

    >>> interval([0.1, 0.1, 0.1, 0.1]).clear
    True
    """
    n = len(differences)
    if n < 2:
        return Gain(round(float(differences[0]), 5) if n else None, None, n, clear=False)
    known = of_mean(differences)
    half = known.half_width()
    return Gain(round(known.mean, 5), round(half, 5), n, clear=abs(known.mean) > half)


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
        from scipy import special

        values = np.array(self.variances)
        logs = np.log(np.maximum(values, 1e-5 * max(float(np.median(values)), 1e-300)))
        half = self.freedom / 2
        centred = logs - special.digamma(half) + np.log(half)
        surplus = float(centred.var(ddof=1) - special.polygamma(1, half))  # how far true variances differ
        worth = 2 * _inverse_trigamma(surplus) if surplus > 0 else np.inf
        shift = special.digamma(worth / 2) - np.log(worth / 2) if np.isfinite(worth) else 0.0
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

    from scipy import optimize, special

    def miss(log_x: float) -> float:
        return float(np.log(special.polygamma(1, np.exp(log_x))) - np.log(value))

    low, high = -7.0, 9.0
    if miss(low) < 0:
        return float(np.exp(low))
    return float(np.exp(high if miss(high) > 0 else optimize.brentq(miss, low, high)))


@dataclass(frozen=True)
class Luck:
    """The mean of paired differences [S, N], its variance by luck, and Satterthwaite's degrees of freedom."""

    mean: float
    variance: float
    freedom: float

    def half_width(self, compared: int = 1) -> float:
        """Half the 95 % interval; widened where the best of several is `compared` (Bonferroni)."""
        from scipy.special import stdtrit

        return float(-stdtrit(max(1.0, self.freedom), 0.025 / max(1, compared)) * np.sqrt(self.variance))


def of_mean(differences: Sequence[float] | np.ndarray) -> Luck:
    """The mean of at least two independent differences, with the luck that their scatter shows.

    >>> round(of_mean([1.0, 2.0, 3.0]).half_width(), 3)  # 4.303 / sqrt(3), Student's t of 2 degrees of freedom
    2.484
    """
    n = len(differences)
    return Luck(float(np.mean(differences)), float(np.var(differences, ddof=1)) / n, float(n - 1))


def luck(mean: float, of_rows: tuple[float, float], seeds: np.ndarray, spread: SeedSpread | None = None) -> Luck:
    """Both kinds of luck of a mean difference: that of the rows, and that of the seeds.

    `of_rows` is the variance of the mean over rows with its degrees of freedom, `seeds` [S] the mean difference of
    each seed or partition. With `spread` the luck of the seeds is judged by all comparisons of the run.

    >>> luck(1.0, (0.5, 20.0), np.array([1.0]))
    Luck(mean=1.0, variance=0.5, freedom=20.0)
    """
    parts = [of_rows]
    if len(seeds) > 1:
        between, freedom = float(seeds.var(ddof=1)), float(len(seeds) - 1)
        if spread is not None:
            between, freedom = spread.moderated(between, len(seeds) - 1)
        parts.append((between / len(seeds), freedom))
    variance = sum(part for part, _ in parts)
    # Satterthwaite's degrees of freedom: where seeds differ most there are as few as seeds say.
    freedom = variance**2 / max(sum(part**2 / count for part, count in parts), 1e-300) if variance > 0 else 1.0
    return Luck(mean, variance, freedom)


def paired(reference: np.ndarray, losses: np.ndarray, compared: int = 1, spread: SeedSpread | None = None) -> Gain:
    """The mean reduction of losses [S, N] over the reference's, with its 95 % half width.

    The interval counts both kinds of luck, that of the rows and that of the seeds; where the best of
    several is `compared`, it is widened for all of them (Bonferroni). With `spread` the luck of the seeds
    is judged by all comparisons of the run.

    >>> paired(np.full((3, 100), 1.0), np.full((3, 100), 0.5)).clear
    True
    """
    difference = reference - losses
    rows = difference.shape[1]
    of_rows = (difference.mean(0).var(ddof=1) / rows if rows > 1 else np.inf, float(rows - 1))
    known = luck(float(difference.mean()), of_rows, difference.mean(1), spread)
    half = known.half_width(compared)
    return Gain(round(known.mean, 5), round(half, 5), difference.size, clear=bool(abs(known.mean) > half))


@dataclass(frozen=True)
class Paired:
    """The mean of paired differences with its 95 % interval (Student's t); `clear` when that leaves out 0."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.mean:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"

    def to_json(self) -> JsonObject:
        """Plain values."""
        return {**asdict(self), "clear": self.clear}


def by_seed(first: Sequence[float], second: Sequence[float]) -> Paired:
    """The differences first minus second, seed by seed.

    >>> by_seed([0.5, 0.6, 0.4], [0.4, 0.5, 0.3]).clear
    True
    """
    differences = np.array([a - b for a, b in zip(first, second, strict=True) if math.isfinite(a) and math.isfinite(b)])
    n = len(differences)
    if n < 2:
        return Paired(float(differences.mean()) if n else math.nan, -math.inf, math.inf, n)
    known = of_mean(differences)
    half = known.half_width()
    return Paired(known.mean, known.mean - half, known.mean + half, n)
