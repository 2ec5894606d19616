"""Whole groups of rows in parts of given sizes, each with the classes in about the table's shares.

G groups, C classes, P parts. Few groups are tried in every way; of more, random starts are improved by moving and
swapping groups, and the best is taken. That is what StratifiedGroupKFold seeks too, for parts of unequal sizes as well.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

MOST_WAYS = 3000  # of sharing out, that are all tried
MOST_STARTS = 100
MOST_GROUPS = 1000  # that are looked at one by one; small ones beyond are bundled at random
MOST_SWAPPED = 400
SHAKEN = 2, 31  # groups that a start puts elsewhere, from and below
SIZE_MATTERS, CLASS_MATTERS = 0.03, 0.05  # how far a part's share of the rows, and a class's of a part's, may be off
ENOUGH = 1 / 3  # of these: another start is not worth its time


class _Wanted(NamedTuple):
    """`counts` [G, C] are the groups' rows; `X` the same on the scale of the classes' roots, so that squared
    distances from the `shares` [P] of all rows are those of a chi-square test."""

    X: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    learnt: bool

    @classmethod
    def of(cls, counts: np.ndarray, shares: np.ndarray, learnt: bool) -> _Wanted:
        return cls(counts / np.sqrt(np.maximum(counts.sum(0), 1)), counts, shares, learnt)

    def residuals(self, part: np.ndarray) -> np.ndarray:
        """What the parts have less what they should have, [P, C]."""
        return np.asarray(self.inside(part) @ self.X - np.outer(self.shares, self.X.sum(0)))

    def inside(self, part: np.ndarray) -> np.ndarray:
        """Which groups each part has, [P, G] of zeros and ones."""
        return np.asarray(np.arange(len(self.shares))[:, None] == part, dtype=float)

    def cost(self, part: np.ndarray) -> float:
        """How far a way of sharing out is from what is wanted; 1 is the most that should be."""
        has = self.inside(part) @ self.counts
        size, total = has.sum(1), self.counts.sum()
        if not size.all():
            return float("inf")
        groups_with = (self.counts > 0).sum(0)
        lacking = np.minimum(groups_with, len(size)) - (has > 0).sum(0)
        unlearnt = int((has[0] == 0).sum()) if self.learnt else 0
        off = np.abs(size / total - self.shares).max() / SIZE_MATTERS
        classes_off = np.abs(has / size[:, None] - self.counts.sum(0) / total).max() / CLASS_MATTERS
        return float(max(off, classes_off) + 10 * lacking.sum() + 1000 * unlearnt)


def share_out(counts: np.ndarray, shares: np.ndarray, rng: np.random.Generator, *, learnt: bool = True) -> np.ndarray:
    """The part of each group [G], such that parts come near to their shares of the rows and of every class.

    `counts` [G, C] are the groups' rows of each class; `shares` [P] add up to 1. There are at least P groups, and every
    part gets one. Where the first part is `learnt` from, it gets a group of every class.

    >>> counts = np.array([[30, 30], [10, 10], [10, 10]])
    >>> share_out(counts, np.array([0.6, 0.2, 0.2]), np.random.default_rng(0))[0]
    np.int64(0)
    """
    bundle = _bundles(counts.sum(1), rng)
    bundled = np.zeros((bundle.max() + 1, counts.shape[1]))
    np.add.at(bundled, bundle, counts)
    wanted = _Wanted.of(bundled, shares, learnt)
    groups, parts = len(bundled), len(shares)
    if parts**groups <= MOST_WAYS:
        order = rng.permutation(parts**groups)
        ways = np.array(list(product(range(parts), repeat=groups)))[order]
        return np.asarray(ways[int(np.argmin([wanted.cost(way) for way in ways]))][bundle])
    best, least = np.zeros(groups, dtype=int), float("inf")
    for start in range(MOST_STARTS):
        part = _improved(wanted, _start(wanted, rng) if start % 3 == 0 else _shaken(best, len(shares), rng))
        if (cost := wanted.cost(part)) < least or least == float("inf"):
            best, least = part, cost
        if least <= ENOUGH:
            break
    return np.asarray(best[bundle])


def _bundles(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number for each group [G]: its own, or of very many groups that of a bundle of small ones."""
    if len(sizes) <= MOST_GROUPS:
        return np.arange(len(sizes))
    order = np.argsort(-sizes, kind="stable")
    own, bundled = order[: MOST_GROUPS // 2], rng.permutation(order[MOST_GROUPS // 2 :])
    number = np.empty(len(sizes), dtype=int)
    number[own] = np.arange(len(own))
    number[bundled] = len(own) + np.arange(len(bundled)) % (MOST_GROUPS - len(own))
    return number


def _start(wanted: _Wanted, rng: np.random.Generator) -> np.ndarray:
    """Large groups first, in an order that is partly drawn, each to the part that it suits best."""
    sizes = wanted.counts.sum(1)
    order = np.argsort(-sizes * np.exp(0.5 * rng.normal(size=len(sizes))))
    left = np.outer(wanted.shares, wanted.X.sum(0))
    part = np.empty(len(sizes), dtype=int)
    for group in order:
        x = wanted.X[group]
        chosen = int(np.argmin((x @ x - 2 * left @ x) / wanted.shares))
        part[group], left[chosen] = chosen, left[chosen] - x
    return part


def _shaken(part: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """The same with a few groups put elsewhere at random."""
    part = part.copy()
    few = rng.permutation(len(part))[: rng.integers(*SHAKEN)]
    part[few] = rng.integers(parts, size=len(few))
    return part


def _improved(wanted: _Wanted, part: np.ndarray) -> np.ndarray:
    """Move and swap groups while that brings the parts nearer to what is wanted."""
    part, X, shares = part.copy(), wanted.X, wanted.shares
    squares, every = (X**2).sum(1), np.arange(len(part))
    products = X @ X.T if len(part) <= MOST_SWAPPED else None
    for _ in range(4 * len(part)):
        D = X @ wanted.residuals(part).T  # [G, P]
        leave = (squares - 2 * D[every, part]) / shares[part]
        change = leave[:, None] + (squares[:, None] + 2 * D) / shares
        change[every, part] = 0.0
        group, to = np.unravel_index(int(change.argmin()), change.shape)
        if change[group, to] < -1e-9:
            part[group] = to
            continue
        if products is None:
            break
        pair, gain = _best_swap(D, part, squares, products, shares)
        if gain > -1e-9:
            break
        part[list(pair)] = part[list(pair[::-1])]
    return part


def _best_swap(
    D: np.ndarray, part: np.ndarray, squares: np.ndarray, products: np.ndarray, shares: np.ndarray
) -> tuple[tuple[int, int], float]:
    """The two groups whose swap helps most, and what it changes."""
    distance = squares[:, None] + squares - 2 * products  # of two groups
    toward = D[:, part].T  # [G, G]: what the part of the first makes of the second
    own = np.diag(toward)
    first = (2 * (toward - own[:, None]) + distance) / shares[part][:, None]
    change = first + first.T
    change[part[:, None] == part] = 0.0
    one, other = np.unravel_index(int(change.argmin()), change.shape)
    return (int(one), int(other)), float(change[one, other])
