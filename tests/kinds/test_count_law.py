"""The law of counts: equal to SciPy's, its scores normal, its dispersion found again, and its intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats

import luthier
from luthier.data.target_transform import TargetTransform
from luthier.kinds import KINDS
from luthier.kinds.count_law import at_most, counts, fitted_dispersion, scores
from luthier.runs.screen import SilentScreen
from luthier.saved import Model

MEANS = np.array([1e-3, 0.1, 0.7, 3.0, 40.0, 2000.0])
DISPERSIONS = (0.0, 1e-3, 0.3, 5.0)


def of_scipy(mean: np.ndarray, dispersion: float) -> object:
    if not dispersion:
        return scipy.stats.poisson(mean)
    return scipy.stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))


@pytest.mark.parametrize("dispersion", DISPERSIONS)
def test_probabilities_and_quantiles_are_those_of_scipy(dispersion: float) -> None:
    law = of_scipy(MEANS[:, None], dispersion)
    k = np.array([0.0, 1.0, 2.0, 10.0, 100.0, 3000.0])
    np.testing.assert_allclose(at_most(k, MEANS[:, None], dispersion), law.cdf(k), rtol=1e-8, atol=1e-13)
    z = np.array([-2.5, -1.0, 0.1, 1.0, 2.5])
    np.testing.assert_array_equal(counts(z, MEANS[:, None], dispersion), law.ppf(scipy.stats.norm.cdf(z)))


def test_the_ends_of_scores_are_counts() -> None:
    far = counts(np.array([-np.inf, -60.0, 60.0, np.inf]), np.array([3.0]), 0.5)
    assert far[0] == far[1] == 0
    assert np.isfinite(far).all()
    assert far[2] == far[3] > 20


def test_a_count_lies_between_the_counts_of_its_own_score() -> None:
    """Scores are increasing, and the interval of a score's width holds the count: what conformal widths rest on."""
    k = np.arange(30.0)
    for dispersion in DISPERSIONS:
        for mean in (0.2, 2.0, 9.0):
            z = scores(k, np.array([mean]), dispersion)
            held = np.abs(z) < 6.9  # beyond, probabilities are too near 0 or 1 to tell counts apart
            assert (np.diff(z[held]) > 0).all()
            low, high = (counts(sign * np.abs(z), np.array([mean]), dispersion) for sign in (-1, 1))
            assert ((low <= k) & (k <= high))[held].all()


@pytest.mark.parametrize("true", [0.0, 0.05, 0.8])
def test_the_dispersion_of_many_counts_is_found(true: float) -> None:
    rng = np.random.default_rng(3)
    mean = np.exp(rng.normal(size=50_000))
    y = rng.poisson(mean if not true else rng.gamma(1 / true, true * mean)).astype(float)
    # Its standard error is below 0.011 here (0.8 with the curvature of the likelihood), of which these are three.
    assert abs(fitted_dispersion(y, mean) - true) < 0.035
    twice = fitted_dispersion(np.tile(y[:500], 2), np.tile(mean[:500], 2))
    assert twice == pytest.approx(fitted_dispersion(y[:500], mean[:500], np.full(500, 2.0)))


def randomised(y: np.ndarray, low: np.ndarray, high: np.ndarray, mean: np.ndarray, dispersion: float) -> float:
    """The chance that an interval of 5 % to 95 % of the law with ends by lot holds a count, over all counts."""
    below = at_most(y - 1, mean, dispersion)
    inside = np.clip((np.minimum(at_most(y, mean, dispersion), high) - np.maximum(below, low)), 0, None)
    return float((inside / (at_most(y, mean, dispersion) - below)).mean())


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    result = luthier.fit(
        drawn(2500, 0), target="y", budget="400steps", run=tmp_path_factory.mktemp("runs") / "r", screen=SilentScreen()
    )
    assert result is not None
    return result


def drawn(rows: int, seed: int) -> pl.DataFrame:
    """Counts of means 0.1 to 8 that vary more than Poisson's: variance mean + 0.6 mean^2."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(rows, 2))
    mean = np.exp(0.2 + 1.6 * x[:, 0] + 0.5 * x[:, 1])
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": rng.poisson(rng.gamma(1 / 0.6, 0.6 * mean))})


def test_intervals_of_counts_hold_what_is_said_in_every_third(fitted: luthier.Result, tmp_path: Path) -> None:
    model, new = fitted.model, drawn(20_000, 1)
    assert model.task.kind == "count"
    dispersion = model.transform.dispersion
    assert dispersion is not None
    assert abs(dispersion - 0.6) < 0.25  # of 500 rows, whose standard error is 0.07
    ends, y = model.predict_interval(new), new["y"].to_numpy()
    low, high = ends["low"].to_numpy(), ends["high"].to_numpy()
    mean = model.predict(new).to_numpy()
    third = np.array_split(np.argsort(mean), 3)
    inside = (low <= y) & (y <= high)
    assert min(inside[rows].mean() for rows in third) > 0.87  # whole numbers hold more than 90 %, up to the fit's error
    width = scipy.stats.norm.cdf(model.half_width)
    by_lot = [randomised(y[rows], 1 - width, width, mean[rows], dispersion) for rows in third]
    assert inside.mean() > 0.88
    # Whole numbers hold more than the law's part between the ends, which is as large in every third.
    assert max(by_lot) - min(by_lot) < 0.04
    assert abs(np.mean(by_lot) - (2 * width - 1)) < 0.04
    again = Model.load(fitted.path / "model.luthier")
    assert again.predict_interval(new[:50]).equals(ends[:50])
    assert again.answering("median").predict(new[:50]).equals(model.answering("median").predict(new[:50]))


def test_of_a_law_nothing_is_lost_on_the_way_back() -> None:
    transform = TargetTransform(mean=0.3, kind=KINDS["count"], dispersion=0.4)
    outputs, y = np.array([-1.0, 0.0, 0.9]), np.array([0.0, 2.0, 5.0])
    z = transform.residuals(y, outputs)
    np.testing.assert_array_equal(transform.beside(transform.modelled(outputs), z), y)
