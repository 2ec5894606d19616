"""Importance of the hyper-parameters: the share of the trials' variance that each explains by itself.

Functional analysis of variance (Hutter, Hoos and Leyton-Brown, 2014): a forest is fitted to the trials,
and the variance of its mean over everything else is the hyper-parameter's. Values go in as ranks, so
that one diverged trial is the last and not a thousand times worse. The interval comes from trees that
are grown on resampled trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from luthier.messages import Message
from luthier.records import Finding
from luthier.search.spaces.space import Space
from luthier.search.spaces.stages import stage_in_words, tier_of
from luthier.search.spaces.trials import Trial
from luthier.seeds import derive, numpy_generator

FEWEST = 8  # trials below which nothing is said
MOST = 600
FORESTS, TREES = 12, 12
GRID, ROWS = 12, 128


@dataclass(frozen=True)
class VarianceShare:
    """A hyper-parameter's share of the variance, with a 95 % interval."""

    name: str
    tier: int
    share: float
    low: float
    high: float

    @property
    def interval(self) -> str:
        """The share with its interval."""
        return f"{self.share:.0%} [{self.low:.0%}, {self.high:.0%}]"


def sensitivity(trials: Sequence[Trial], space: Space, *, seed: int = 0) -> list[VarianceShare]:
    """Shares of all dimensions, largest first; empty for fewer than eight trials or where all are equal."""
    known = [trial for trial in trials if trial.done][-MOST:]
    values = np.array([trial.value for trial in known])
    if len(known) < FEWEST or len(np.unique(values)) < 2:
        return []
    points = np.array([list(space.shares(trial.values).values()) for trial in known])
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable") / (len(values) - 1)
    shares = variance_shares(points, ranks, seed=seed)
    middle, low, high = shares.mean(0), np.quantile(shares, 0.025, 0), np.quantile(shares, 0.975, 0)
    result = [
        VarianceShare(name, tier_of(name, dimension), float(middle[k]), float(low[k]), float(high[k]))
        for k, (name, dimension) in enumerate(space.dimensions.items())
    ]
    return sorted(result, key=lambda share: -share.share)


def variance_shares(points: np.ndarray, values: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Main-effect shares [forests, d] of `values` [n] over `points` [n, d] in the unit cube."""
    from sklearn.ensemble import RandomForestRegressor

    n, d = points.shape
    draws = numpy_generator(seed, "sensitivity")
    grid = (np.arange(GRID) + 0.5) / GRID
    result = np.zeros((FORESTS, d))
    for k in range(FORESTS):
        rows = draws.integers(0, n, n)
        state = derive(seed, "forest", k) % 2**31
        grown = RandomForestRegressor(TREES, min_samples_leaf=2, max_features=0.67, bootstrap=False, random_state=state)
        forest = grown.fit(points[rows], values[rows])
        total = forest.predict(draws.random((8 * ROWS, d))).var()
        others = draws.random((ROWS, d))
        asked = np.tile(others, (d * GRID, 1)).reshape(d, GRID, ROWS, d)
        for j in range(d):
            asked[j, :, :, j] = grid[:, None]
        effects = forest.predict(asked.reshape(-1, d)).reshape(d, GRID, ROWS).mean(2)
        result[k] = effects.var(1) / total if total > 0 else 0.0
    return np.clip(result, 0.0, 1.0)


def contradictions(tables: Mapping[str, Sequence[VarianceShare]]) -> list[Finding]:
    """Where the trials rank a later tier's hyper-parameter clearly above an earlier one's."""
    template = (
        "in {stage} {later} matters more than {earlier}, which usually comes first: {share} of the variance against "
        "{other}"
    )
    result = []
    for stage, shares in tables.items():
        for later, earlier in product(shares, repeat=2):
            if later.tier > earlier.tier and later.low > earlier.high:
                names = {"later": later.name, "earlier": earlier.name}
                known = {"stage": stage_in_words(stage), "share": later.interval, "other": earlier.interval}
                sentence = Message(template, **names, **known)
                remedy = Message("give {later} an earlier tier, or {earlier} a wider range", **names)
                evidence = {"stage": stage, **names}
                result.append(Finding("tiers-contradicted", "note", sentence, evidence, remedy, "S0-02"))
    return result
