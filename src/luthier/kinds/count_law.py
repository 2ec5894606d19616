"""The law of a count around its mean: negative binomial, whose variance is mean + dispersion * mean^2 (Poisson's at 0).

Values stand on the scale of a normal law by their middle probabilities (Dunn and Smyth, 1996, without the lot): a count
lies as high in its law as its score in the normal one. So one width of scores is an interval of counts for each row.
Arrays of any shapes that go together.
"""

from __future__ import annotations

import numpy as np

LEAST = 1e-12  # of a mean, and of a probability from 0 and 1
POISSON = 1e-8  # the dispersion below which it is Poisson's law
MOST = 2.0**53  # a count
DISPERSIONS = np.concatenate([[0.0], np.logspace(-4, 2, 121)])  # that are tried at first
FARTHEST = 37.0  # of a score: beyond it the normal law's probability is 0


def at_most(values: np.ndarray, mean: np.ndarray, dispersion: float) -> np.ndarray:
    """The probability of so large a count or a smaller one; 0 below 0.

    >>> at_most(np.array([0.0, 1.0]), np.array([2.0]), 0.0).round(4).tolist()  # e^-2 and 3 e^-2
    [0.1353, 0.406]
    """
    from scipy import special

    k, mean = np.maximum(values, 0.0), np.maximum(mean, LEAST)
    if dispersion < POISSON:
        known = special.gammaincc(k + 1, mean)
    else:
        size = 1 / dispersion
        known = special.betainc(size, k + 1, size / (size + mean))
    return np.asarray(np.where(np.asarray(values) < 0, 0.0, known))


def scores(values: np.ndarray, mean: np.ndarray, dispersion: float) -> np.ndarray:
    """Where counts lie in their law: normal scores of the probability below a count and half of its own."""
    from scipy import special

    middle = (at_most(values, mean, dispersion) + at_most(values - 1, mean, dispersion)) / 2
    return np.asarray(special.ndtri(np.clip(middle, LEAST, 1 - LEAST)))


def counts(scores: float | np.ndarray, mean: np.ndarray, dispersion: float) -> np.ndarray:
    """The least counts below or at which as much lies as below these scores: quantiles of the law.

    >>> counts(np.array([-1.0, 0.0, 2.0]), np.array([2.0]), 0.0)
    array([1., 2., 5.])
    """
    from scipy import special

    wanted = special.ndtr(np.clip(scores, -FARTHEST, FARTHEST))
    wanted, mean = np.broadcast_arrays(np.minimum(wanted, 1 - LEAST), np.asarray(mean, dtype=float))
    low, high = np.full(wanted.shape, -1.0), np.ceil(mean) + 1
    while (short := (at_most(high, mean, dispersion) < wanted) & (high < MOST)).any():
        low, high = np.where(short, high, low), np.where(short, 2 * high, high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = at_most(middle, mean, dispersion) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(high)


def fitted_dispersion(values: np.ndarray, mean: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The likeliest dispersion of counts [N] around means [N].

    >>> fitted_dispersion(np.array([0.0, 1.0, 2.0, 1.0]), np.ones(4))  # they vary less than Poisson's law
    0.0
    """
    losses = [_surprise(values, mean, one, weights) for one in DISPERSIONS]
    best = int(np.argmin(losses))
    if best == 0:
        return 0.0
    low, high = np.log(DISPERSIONS[max(1, best - 1)]), np.log(DISPERSIONS[min(best + 1, len(DISPERSIONS) - 1)])
    tried = np.exp(np.linspace(low, high, 41))
    return float(tried[np.argmin([_surprise(values, mean, one, weights) for one in tried])])


def _surprise(values: np.ndarray, mean: np.ndarray, dispersion: float, weights: np.ndarray | None) -> float:
    """The mean negative logarithm of the counts' probabilities, less what no dispersion changes."""
    from scipy import special

    mean = np.maximum(mean, LEAST)
    if dispersion < POISSON:
        rows = mean - values * np.log(mean)
    else:
        size = 1 / dispersion
        rows = special.gammaln(size) - special.gammaln(size + values) + size * np.log1p(mean / size)
        rows -= values * (np.log(mean) - np.log(size + mean))
    return float(np.average(rows, weights=weights))
