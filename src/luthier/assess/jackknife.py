"""How far a score could lie from that of new rows: 95 % intervals over rows, over groups of rows, or over time.

N rows, U units that are drawn together (rows, groups, blocks of time), B batches of units, R resamples.

A score's interval is Student's t over its jackknife (the score without each batch), on a scale where that is honest:
the logarithm of a loss, the log-odds of a share. Degrees of freedom shrink where few units decide (Satterthwaite). A
mean of losses has a long upper tail that a sample rarely shows, so its upper end is the wider of Student's and a
bootstrap-t whose largest losses come from a Pareto tail (Davidson and Flachaire 2007). `benchmarks/coverage.py`
measures how often all this holds the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import scipy

from luthier.seeds import numpy_generator

FEWEST = 8  # units, below which there is no interval
MOST_BATCHES, BLOCKS = 100, 20
MOST_UNITS, RESAMPLES = 400, 1000  # of the bootstrap-t
AT_ONCE = 20_000_000  # numbers of the jackknife's weights
LIGHTEST, TAIL = 1.5, 0.1  # the heaviest tail that is thought of (its exponent), and the share of units that shows it

Score = Callable[[np.ndarray], np.ndarray]  # weights of the rows [B, N] -> scores [B]


class Units(NamedTuple):
    """What new data would bring anew: rows (`of` [N] has one number for a row and its copies), whole groups (`of` [N]
    numbers them), or later times (`of` [N] orders)."""

    kind: Literal["rows", "groups", "blocks"] = "rows"
    of: np.ndarray | None = None

    def kept(self, rows: np.ndarray) -> Units:
        """The same for some of the rows."""
        return self if self.of is None else Units(self.kind, self.of[rows])

    def numbers(self, rows: int) -> np.ndarray:
        """The unit of each row [N], numbered from 0: neighbours in time make blocks."""
        if self.of is None:
            return np.arange(rows)
        if self.kind != "blocks":
            return np.asarray(np.unique(self.of, return_inverse=True)[1])
        rank = np.empty(rows, dtype=np.int64)
        rank[np.argsort(self.of, kind="stable")] = np.arange(rows)
        return np.asarray(rank * max(1, min(BLOCKS, rows // 5)) // max(1, rows))


def batches(unit: np.ndarray, most: int, seed: int) -> np.ndarray:
    """The batch of each row [N]: its unit, or where these are more than `most` a random share of them."""
    count = int(unit.max()) + 1
    if count <= most:
        return unit
    return np.asarray((numpy_generator(seed, "batches").permutation(count) % most)[unit])


def jackknife(score: Score, weights: np.ndarray, unit: np.ndarray, seed: int) -> np.ndarray:
    """The score without each batch of units in turn [B]."""
    most = max(20, min(MOST_BATCHES, AT_ONCE // len(unit)))
    batch = batches(unit, most, seed)
    left_out = np.arange(int(batch.max()) + 1)[:, None] == batch
    return score(np.where(left_out, 0.0, weights))


def bootstrap_ends(
    score: Score, weights: np.ndarray, unit: np.ndarray, seed: int, level: float = 0.95
) -> tuple[float, float] | None:
    """The percentile interval of a score that leaving out a row does not change in proportion, such as a median; units
    are drawn again. None where the score is often not defined."""
    count, rng = int(unit.max()) + 1, numpy_generator(seed, "bootstrap")
    resamples = max(200, min(RESAMPLES, AT_ONCE // len(unit)))
    values = [
        score(weights * np.bincount(rng.integers(count, size=count), minlength=count)[unit][None])[0]
        for _ in range(resamples)
    ]
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < 0.9 * resamples:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def student(value: float | np.ndarray, without: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Student's interval around a value, from its jackknife [B]; None where nothing varies, or a value is missing.

    The variance is that of the jackknife times B / (B - 1): without it eight groups of unequal sizes hold too little.
    """
    off = without - without.mean()
    square = float((off**2).sum())
    if not np.isfinite(value) or not np.isfinite(square) or square == 0:
        return None
    count = len(without)
    freedom = min(count - 1.0, max(1.0, 3 * square**2 / float((off**4).sum()) - 1))
    half = float(scipy.stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(square))
    return float(value) - half, float(value) + half


def of_share(value: float, without: np.ndarray) -> tuple[float, float] | None:
    """The interval of a score between 0 and 1, on the scale of log-odds; None where it varies too little for one.

    What each batch changes is carried there by the slope at the value: near 0 and 1 the score without the one row that
    is wrong has log-odds without end, though the row changes little.
    """
    if not 0 < value < 1:
        return None
    odds = scipy.special.logit(value)
    ends = student(odds, odds + (without - value) / (value * (1 - value)))
    return None if ends is None else (float(scipy.special.expit(ends[0])), float(scipy.special.expit(ends[1])))


def of_unexplained(value: float, without: np.ndarray) -> tuple[float, float] | None:
    """The interval of R2, on the scale of the logarithm of what is left unexplained, carried there by the slope."""
    if not value < 1:
        return None
    left = float(np.log(1 - value))
    ends = student(left, left - (without - value) / (1 - value))
    return None if ends is None else (float(1 - np.exp(ends[1])), float(1 - np.exp(ends[0])))


def below_unexplained(value: float, losses: np.ndarray, weights: np.ndarray, unit: np.ndarray, seed: int) -> float:
    """The lower end of R2 where squared errors [N] have a heavy tail: their mean may be larger, what varies beside them
    the same. Infinitely low is never said: 1 where there is no such end."""
    if int(unit.max()) + 1 < BLOCKS or not 0 < value < 1:  # so few units have wide intervals anyway
        return 1.0
    ends, mean = of_mean_loss(losses, weights, unit, seed), float(np.average(losses, weights=weights))
    if ends is None:
        return 1.0
    explained = mean / (1 - value) - mean
    return float(1 - ends[1] / (explained + ends[1]))


def of_mean_loss(losses: np.ndarray, weights: np.ndarray, unit: np.ndarray, seed: int) -> tuple[float, float] | None:
    """The interval of a weighted mean of losses [N] that are not negative."""
    batch = batches(unit, MOST_UNITS, seed)
    count = np.bincount(batch, weights)
    total = np.bincount(batch, weights * losses)
    total, count = total[count > 0], count[count > 0]
    if not total.sum() > 0:
        return None
    mean, error = _mean_and_error(total, count)
    ends = student(float(np.log(mean)), np.log(mean) + _influence(total, count))
    if ends is None:
        return None
    tail = _upper_tail(total / count, count, numpy_generator(seed, "bootstrap"))
    return float(np.exp(ends[0])), float(np.exp(max(ends[1], np.log(mean) + tail * error)))


def _influence(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """What leaving out each unit changes of the logarithm of the mean, to first order."""
    mean = total.sum() / count.sum()
    return np.asarray(-(total - mean * count) / total.sum())


def _mean_and_error(total: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss of resampled units [..., U], and the standard error of its logarithm [...]."""
    units, sums = total.shape[-1], count.sum(-1)
    mean = total.sum(-1) / sums
    spread = ((total - mean[..., None] * count) ** 2).sum(-1) * units / (units - 1)
    with np.errstate(invalid="ignore"):  # 0 / 0 where every loss that was drawn is 0: NaN, which the caller leaves out
        return mean, np.sqrt(spread) / (sums * mean)


def _upper_tail(losses: np.ndarray, count: np.ndarray, rng: np.random.Generator) -> float:
    """How many standard errors above the logarithm of the mean the upper end lies, by a bootstrap-t.

    The body of the units' mean losses [U] is drawn as it is, the largest from a Pareto tail with Hill's exponent.
    """
    units = len(losses)
    largest = max(2, round(max(TAIL * units, min(units**0.5, units / 3))))
    order = np.argsort(losses)
    body, tail = order[: units - largest], order[units - largest :]
    start = max(float(losses[body[-1]]), 1e-12 * float(losses[tail[-1]]))
    slope = float(np.log(np.maximum(losses[tail], start) / start).mean())
    exponent = max(LIGHTEST, (1 - 1 / largest) / max(slope, 1e-9))
    truth = losses[body] @ count[body] + count[tail].sum() * exponent * start / (exponent - 1)
    beyond = rng.random((RESAMPLES, units)) < largest / units
    from_body, from_tail = rng.integers(len(body), size=beyond.shape), rng.integers(largest, size=beyond.shape)
    drawn = np.where(beyond, tail[from_tail], body[from_body])
    values = losses[drawn]
    values[beyond] = start * rng.random(int(beyond.sum())) ** (-1 / exponent)
    mean, error = _mean_and_error(values * count[drawn], count[drawn])
    known = (mean > 0) & (error > 0)
    t = (np.log(mean[known]) - np.log(truth / count.sum())) / error[known]
    return -float(np.quantile(t, 0.025)) if len(t) else 0.0


def of_paired_shares(off: list[np.ndarray], level: float = 0.95) -> tuple[float, float]:
    """The interval of a difference of shares, the mean over classes, from rows' differences of -1, 0 or 1 in each.

    Half a row is added to each of the four ways in which two answers can be right or wrong (Agresti and Min 2005).

    >>> [round(end, 3) for end in of_paired_shares([np.array([1] * 10 + [0] * 90)])]
    [0.037, 0.159]
    """
    rows = np.array([len(each) + 2.0 for each in off])
    gained, differing = np.array([each.sum() for each in off]), np.array([np.abs(each).sum() + 1.0 for each in off])
    spread = (differing - gained**2 / rows) / rows**2
    half = float(scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(spread.sum()) / len(off))
    middle = float((gained / rows).mean())
    return middle - half, middle + half


def of_mean_share(shares: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """The interval of the mean of independent shares [C] of so many rows each, from Wilson's (Zou and Donner 2008).

    >>> [round(x, 3) for x in of_mean_share(np.array([1.0, 1.0]), np.array([100, 10]))]
    [0.86, 1.0]
    """
    ends = np.array([wilson(share, count) for share, count in zip(shares, rows, strict=True)])
    off = np.sqrt(((shares[:, None] - ends) ** 2).sum(0)) / len(shares)
    return float(shares.mean() - off[0]), float(shares.mean() + off[1])


def wilson(share: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, which holds near 0 and 1 too.

    >>> [round(x, 4) for x in wilson(1.0, 100)]
    [0.963, 1.0]
    """
    z = float(scipy.stats.norm.ppf(0.975))
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))
