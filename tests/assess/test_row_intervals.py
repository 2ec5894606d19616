"""Intervals as wide as each row asks for, against laws whose quantiles are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy
import torch

import luthier
from luthier.assess import RowIntervals
from luthier.assess.row_intervals import LEVELS, correction_of, interval_figures, interval_score, moved
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.saved import Model


def test_the_correction_holds_the_stated_share_of_new_rows() -> None:
    """Ends that are half as wide as they should be are widened until new rows lie inside in nine cases of ten."""
    g = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        spread = g.uniform(0.2, 2.0, 400)
        residuals = spread * g.normal(size=400)
        ends = np.outer(spread, 0.5 * scipy.stats.norm.ppf(LEVELS))
        low, high = moved(ends[:200], correction_of(ends[:200], residuals[:200]))
        correction = correction_of(ends[:200], residuals[:200])
        low, high = moved(ends[200:], correction)
        shares.append(np.mean((low <= residuals[200:]) & (residuals[200:] <= high)))
    assert np.mean(shares) == pytest.approx(0.9, abs=4 * np.std(shares) / 200**0.5 + 1 / 201)


def test_true_quantiles_have_the_lowest_score() -> None:
    g = np.random.default_rng(1)
    spread = g.uniform(0.2, 2.0, 20_000)
    residuals = spread * g.normal(size=20_000)
    z = scipy.stats.norm.ppf(LEVELS[1])
    scores = {
        factor: interval_score(-factor * z * spread, factor * z * spread, residuals) for factor in (0.8, 1.0, 1.25)
    }
    one = float(np.quantile(np.abs(residuals), 0.9))
    scores["one"] = interval_score(np.full(20_000, -one), np.full(20_000, one), residuals)
    assert min(scores, key=lambda name: scores[name]) == 1.0


def test_figures_of_one_width_have_no_thirds() -> None:
    y = np.linspace(0, 1, 50)
    assert interval_figures(y, y - 1 / 3, y + 1 / 3).thirds == []


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    """Noise of e^x1 times one: known quantiles, of which a fourth of the rows has hardly any width."""
    return luthier.fit(noisy(2500, 0), target="y", budget="400steps", run=tmp_path_factory.mktemp("runs") / "run")


def noisy(rows: int, seed: int) -> pl.DataFrame:
    g = np.random.default_rng(seed)
    x = g.normal(size=(rows, 3))
    y = x[:, 0] + np.exp(x[:, 1]) * g.normal(size=rows)
    return pl.DataFrame({f"x{k}": x[:, k] for k in range(3)}).with_columns(y=pl.Series(y))


def test_widths_follow_the_noise_of_each_row(fitted: luthier.Result) -> None:
    new = noisy(20_000, 1)
    ends = fitted.model.predict_interval(new)
    width = (ends["high"] - ends["low"]).to_numpy()
    true = np.exp(new["x1"].to_numpy())
    assert scipy.stats.spearmanr(width, true).statistic > 0.9
    inside = ((new["y"] >= ends["low"]) & (new["y"] <= ends["high"])).to_numpy()
    assert abs(inside.mean() - 0.9) < 0.04  # 500 rows calibrate, and the delivered network is another one
    thirds = [inside[rows].mean() for rows in np.array_split(np.argsort(true), 3)]
    assert min(thirds) > 0.8
    assert width.mean() < 0.9 * 2 * np.quantile(np.abs(new["y"].to_numpy() - fitted.predict(new).to_numpy()), 0.9)
    assert {len(third) for third in fitted.scores["calibration"]["thirds"]} == {3}


def test_every_door_gives_the_same_intervals(fitted: luthier.Result, tmp_path: Path) -> None:
    new = noisy(50, 2)
    again = Model.load(fitted.path / "model.luthier")
    ends = fitted.model.predict_interval(new)
    assert again.predict_interval(new).equals(ends)
    alone = pl.concat([again.predict_interval(new[k]) for k in range(5)])
    np.testing.assert_allclose(alone.to_numpy(), ends[:5].to_numpy(), rtol=1e-6)
    large = pl.concat([new] * 400)  # which threads share
    np.testing.assert_allclose(again.predict_interval(large)[:50].to_numpy(), ends.to_numpy(), rtol=1e-5)


def test_a_network_of_another_shape_is_refused(fitted: luthier.Result, tmp_path: Path) -> None:
    from dataclasses import replace

    model = fitted.model
    assert model.row_intervals is not None
    for inputs, outputs in ((model.preprocess.width, 2), (model.preprocess.width + 1, 3)):
        net = build(DenseSpec(inputs, (4,), outputs), seed=0)
        replace(model, row_intervals=RowIntervals(net, 1.0, 0.0)).save(tmp_path / "forged.luthier")
        with pytest.raises(InputError, match="does not describe a model"):
            Model.load(tmp_path / "forged.luthier")


def test_ends_never_cross() -> None:
    net = build(DenseSpec(3, (4,), 2), seed=0)
    intervals = RowIntervals(net, scale=2.0, correction=-5.0)
    low, high = intervals.offsets(torch.randn(20, 2), torch.zeros(20, 0, dtype=torch.int64), torch.zeros(20))
    assert (low <= high).all()
