"""Whether a gain is more than noise: false ones are seldom, real ones are found."""

from __future__ import annotations

import numpy as np
import pytest

from luthier.statistics.paired import SeedSpread, paired


def test_gains_of_nothing_are_seldom_clear() -> None:
    """A remedy that does nothing is kept by luck in at most one of forty trials (half of 5 %, two-sided)."""
    rng = np.random.default_rng(0)
    kept = 0
    for _ in range(2000):
        rows = rng.exponential(size=200)  # rows differ from each other more than settings do
        reference = rows + 0.3 * rng.normal(size=(3, 200)) + 0.05 * rng.normal(size=(3, 1))
        losses = rows + 0.3 * rng.normal(size=(3, 200)) + 0.05 * rng.normal(size=(3, 1))
        gain = paired(reference, losses)
        kept += gain.lowers
    assert kept / 2000 < 0.05


@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("unlike", [0.0, 0.5])
def test_pooled_spreads_keep_nothing_that_gains_nothing(seeds: int, unlike: float) -> None:
    """Whole ladders of remedies that do nothing, with settings whose seeds differ unlike much."""
    rng = np.random.default_rng(seeds)
    kept = tried = 0
    for _ in range(200):
        spread = SeedSpread()
        for options in (3, 3, 4, 2, 2, 5, 3, 1):
            rows = rng.exponential(size=200)
            reference, *others = (
                rows
                + 0.3 * rng.normal(size=(seeds, 200))
                + 0.05 * np.exp(unlike * rng.normal()) * rng.normal(size=(seeds, 1))
                for _ in range(options + 1)
            )
            spread.add([reference - other for other in others])
            gain = paired(reference, min(others, key=np.mean), options, spread)
            kept += gain.lowers
            tried += 1
    assert kept / tried < 0.05


def test_two_seeds_find_a_gain_once_other_rungs_have_shown_their_luck() -> None:
    rng = np.random.default_rng(5)

    def setting(gain: float) -> np.ndarray:
        return 1 - gain + 0.05 * rng.normal(size=(2, 400)) + 0.01 * rng.normal(size=(2, 1))

    alone = pooled = 0
    for _ in range(100):
        spread = SeedSpread()
        for _ in range(6):
            reference = setting(0)
            spread.add([reference - setting(0) for _ in range(3)])
        reference, better = setting(0), setting(0.06)
        spread.add([reference - better])
        alone += paired(reference, better).clear
        pooled += paired(reference, better, spread=spread).clear
    assert pooled > 90
    assert alone < 70


def test_spreads_that_agree_are_worth_many_seeds_and_others_few() -> None:
    """Variances drawn from a scaled inverse chi-square with d0 degrees: the estimate is near d0 and the scale."""
    rng = np.random.default_rng(0)
    for worth in (4.0, 16.0):
        true = 0.04 * worth / rng.chisquare(worth, size=4000)
        drawn = true * rng.chisquare(2, size=4000) / 2
        common, result = SeedSpread(drawn.tolist(), 2, np.inf).prior()
        assert result == pytest.approx(worth, rel=0.3)
        assert common == pytest.approx(0.04, rel=0.1)


def test_a_real_gain_is_found() -> None:
    rng = np.random.default_rng(1)
    rows = rng.exponential(size=400)
    gain = paired(rows + 0.1 + 0.1 * rng.normal(size=(3, 400)), rows + 0.1 * rng.normal(size=(3, 400)))
    assert gain.clear
    assert gain.gain == pytest.approx(0.1, abs=0.03)
