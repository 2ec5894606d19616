"""Which settings a designed experiment tries: shapes spread over their levels, settings spread over a box.

A split-plot design: a shape (units, layers, batch size ...) is a population, and in each shape settings of the other
factors are members. F factors, coded from -1 to 1 on scales of their own; R settings.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.errors import ConfigError
from luthier.seeds import derive, numpy_generator

LARGEST_GRID = 4096  # shapes that are weighed; of larger grids so many are drawn
RIDGE = 0.1  # of the information of one shape, so that fewer shapes than effects can be compared
PASSES = 20  # of exchanges; four or five reach the end
EDGE = 0.05  # of a box's width, counted as its edge
FURTHEST = 2.0  # coded: a box widens so far at most


@dataclass(frozen=True)
class Factor:
    """A number that settings vary from `low` to `high`, on its own scale or that of its logarithm.

    `least` and `most` are what it can be at all: boxes do not widen beyond.

    >>> rate = Factor("rate", 1e-4, 1e-2, log=True)
    >>> rate.coded(1e-4), round(rate.value(0.0), 6)
    (-1.0, 0.001)
    """

    name: str
    low: float
    high: float
    log: bool = False
    least: float = -math.inf
    most: float = math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError([f"{self.name}: a range has a lower and a higher end; got {self.low:g} to {self.high:g}"])
        if self.log and self.low <= 0:
            raise ConfigError([f"{self.name}: a logarithmic range begins above 0; got {self.low:g}"])
        if not (self.least <= self.low and self.high <= self.most):
            raise ConfigError(
                [f"{self.name}: {self.low:g} to {self.high:g} goes beyond {self.least:g} to {self.most:g}"]
            )

    def coded(self, value: float) -> float:
        """Where a value lies: -1 at the low end, 1 at the high end, beyond them outside."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (2 * self._scaled(value) - low - high) / (high - low)

    def value(self, coded: float) -> float:
        """The value at a coded place, within what the factor can be."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        scaled = (low + high + coded * (high - low)) / 2
        return min(max(math.exp(scaled) if self.log else scaled, self.least), self.most)

    def reach(self) -> tuple[float, float]:
        """The coded places of `least` and `most`, -inf and inf where there is no end."""
        low = -math.inf if self.least == -math.inf or (self.log and self.least <= 0) else self.coded(self.least)
        return low, math.inf if self.most == math.inf else self.coded(self.most)

    def _scaled(self, value: float) -> float:
        if not self.log:
            return float(value)
        return math.log(value) if value > 0 else -math.inf


@dataclass(frozen=True)
class ShapeFactor:
    """Something of the shape, which all members of a population share, with its levels.

    >>> ShapeFactor("layers", (1, 2, 3)).levels
    (1, 2, 3)
    """

    name: str
    levels: tuple[Hashable, ...]

    def __post_init__(self) -> None:
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise ConfigError([f"{self.name}: levels are at least one, each named once; got {self.levels}"])


@dataclass(frozen=True, eq=False)
class Box:
    """Bounds of settings, low and high [F], in coded units.

    >>> box = Box.whole(2).narrowed(np.array([1.0, 0.0]))
    >>> box.low, box.high
    (array([ 0. , -0.5]), array([1. , 0.5]))
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def whole(cls, factors: int) -> Box:
        """From -1 to 1 in all factors."""
        return cls(-np.ones(factors), np.ones(factors))

    def clipped(self, points: np.ndarray) -> np.ndarray:
        """Points [..., F] moved into the box."""
        return np.asarray(np.clip(points, self.low, self.high))

    def narrowed(self, around: np.ndarray, by: float = 0.5) -> Box:
        """A box inside this one, `by` times as wide, around a point as far as it goes."""
        half = by * (self.high - self.low) / 2
        middle = np.clip(np.asarray(around, float), self.low + half, self.high - half)
        return Box(middle - half, middle + half)

    def widened(self, best: np.ndarray, factors: Sequence[Factor], by: float = 0.5) -> tuple[Box, tuple[str, ...]]:
        """A box that goes on by a share of its width where the best point [F] lies at an edge, and those factors.

        It ends at what a factor can be at all, and at -2 and 2.

        >>> box, names = Box.whole(1).widened(np.array([0.99]), [Factor("rate", 1e-4, 1e-2, log=True)])
        >>> box.high, names
        (array([2.]), ('rate',))
        """
        reach = np.array([factor.reach() for factor in factors]).reshape(-1, 2)
        width = self.high - self.low
        at_low, at_high = best <= self.low + EDGE * width, best >= self.high - EDGE * width
        lowest = np.minimum(self.low, np.maximum(reach[:, 0], -FURTHEST))
        highest = np.maximum(self.high, np.minimum(reach[:, 1], FURTHEST))
        low = np.where(at_low, np.maximum(self.low - by * width, lowest), self.low)
        high = np.where(at_high, np.minimum(self.high + by * width, highest), self.high)
        moved = (low < self.low) | (high > self.high)
        return Box(low, high), tuple(factor.name for factor, one in zip(factors, moved, strict=True) if one)


def sobol_settings(
    factors: Sequence[Factor], count: int, seed: int, first: Mapping[str, float], box: Box | None = None
) -> np.ndarray:
    """Coded settings [count, F] in a box (all of -1 to 1 by default): the first one, then a scrambled Sobol sequence.

    The first setting's values are moved into the box where they lie outside.

    >>> sobol_settings([Factor("rate", 1e-4, 1e-2, log=True)], 4, 0, {"rate": 1e-3}).shape
    (4, 1)
    """
    from scipy.stats import qmc

    box = box or Box.whole(len(factors))
    start = box.clipped(np.array([factor.coded(first[factor.name]) for factor in factors], float))
    if count < 2 or not factors:
        return np.tile(start, (max(0, count), 1))
    drawn = qmc.Sobol(len(factors), seed=derive(seed, "settings") % 2**32).random_base2((count - 2).bit_length())
    return np.vstack([start, box.low + drawn[: count - 1] * (box.high - box.low)])


def spread_shapes(
    choices: Sequence[ShapeFactor], count: int, first: Mapping[str, Hashable], seed: int
) -> list[dict[str, Hashable]]:
    """At most so many distinct shapes, the first one given, whose levels are balanced and hardly correlated.

    Greedy exchange (Fedorov 1972): shapes are added, then swapped, while the determinant of the main effects'
    information grows. The same seed gives the same shapes. ConfigError where the first shape has a level of its own.

    >>> spread_shapes([ShapeFactor("layers", (1, 2))], 8, {"layers": 2}, seed=0)
    [{'layers': 2}, {'layers': 1}]
    """
    wrong = [
        f"{choice.name}: the first shape's {first.get(choice.name)} is not one of {', '.join(map(str, choice.levels))}"
        for choice in choices
        if first.get(choice.name) not in choice.levels
    ]
    if wrong:
        raise ConfigError(wrong)
    start = [choice.levels.index(first[choice.name]) for choice in choices]
    grid = _grid([len(choice.levels) for choice in choices], start, seed)
    chosen = _exchanged(_main_effects(choices, grid), min(count, len(grid)))
    return [{choice.name: choice.levels[level] for choice, level in zip(choices, grid[k], strict=True)} for k in chosen]


def _grid(sizes: Sequence[int], start: Sequence[int], seed: int) -> np.ndarray:
    """Levels [G, choices] of the shapes that are weighed, in an order that the seed gives: the first shape first."""
    total, generator = math.prod(sizes), numpy_generator(seed, "shapes")
    places = generator.choice(total, min(total, LARGEST_GRID), replace=False)
    grid = np.stack(np.unravel_index(places, sizes), 1) if sizes else np.zeros((1, 0), int)
    others = grid[(grid != np.array(start, int)).any(1)]
    return np.vstack([np.array([start], int).reshape(1, len(sizes)), others])


def _main_effects(choices: Sequence[ShapeFactor], grid: np.ndarray) -> np.ndarray:
    """The model's columns [G, D]: a constant, and for each factor contrasts of variance 1 over its levels."""
    from scipy.linalg import helmert

    columns = [np.ones((len(grid), 1))]
    for k, choice in enumerate(choices):
        levels = len(choice.levels)
        columns.append(helmert(levels).T[grid[:, k]] * math.sqrt(levels))
    return np.hstack(columns)


def _exchanged(rows: np.ndarray, count: int) -> list[int]:
    """Places of rows [G, D] with the most information together; the first of them always."""
    chosen: list[int] = [0][:count]
    while len(chosen) < count:
        chosen.append(_most_informative(rows, chosen))
    for _ in range(PASSES):
        before = list(chosen)
        for place in range(1, count):
            others = chosen[:place] + chosen[place + 1 :]
            chosen[place] = _most_informative(rows, others, chosen[place])
        if chosen == before:
            break
    return chosen


def _most_informative(rows: np.ndarray, others: Sequence[int], standing: Any = None) -> int:
    """The row that adds most to the determinant beside the others; the one that stands where none adds more."""
    some = rows[list(others)]
    information = RIDGE * np.eye(rows.shape[1]) + some.T @ some
    gains = np.einsum("gd,dg->g", rows, np.linalg.solve(information, rows.T))
    gains[list(others)] = -1.0
    best = int(gains.argmax())
    return best if standing is None or gains[best] > gains[standing] * (1 + 1e-9) else int(standing)
