"""Residuals that depend on the prediction: what they predict, when they are chosen, and how they are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

import luthier
from luthier.data.target_transform import TargetTransform
from luthier.runs.screen import SilentScreen
from luthier.task import answer_from
from luthier.task.residual_law import fitted_law

RNG = np.random.default_rng(0)


def widening(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, and residuals of mean 0 that are skewed and as wide as the prediction."""
    outputs = RNG.uniform(0.2, 2.0, rows)
    return outputs, outputs * (RNG.exponential(size=rows) - 1)


def test_answers_are_those_of_the_law_at_each_prediction() -> None:
    outputs, residuals = widening(40_000)
    transform = TargetTransform(lowest=0.0, highest=20.0)
    at = np.array([0.4, 1.0, 1.8])
    for answer, level in {"median": 0.5, "q0.9": 0.9}.items():
        found = answer_from(transform, outputs, outputs + residuals, answer).answer(at)
        np.testing.assert_allclose(found, at * stats.expon.ppf(level), rtol=0.05, err_msg=answer)


def test_residuals_that_are_alike_stay_so() -> None:
    by_prediction = sum(fitted_law(RNG.normal(size=3000), RNG.normal(size=3000)).by_prediction for _ in range(40))
    assert by_prediction <= 4  # of 200 such draws 5 were taken for the other: one of 40 is expected
    assert fitted_law(*reversed(widening(3000))).by_prediction
    assert not fitted_law(*reversed(widening(900))).by_prediction  # too few rows for two places


def test_rows_count_by_their_weights() -> None:
    outputs, residuals = widening(6000)
    weights = RNG.integers(0, 3, 6000).astype(float)
    again = np.repeat(np.arange(6000), weights.astype(int))
    by_weight, by_copy = (
        fitted_law(residuals, outputs, weights),
        fitted_law(residuals[again], outputs[again]),
    )
    at = np.array([0.5, 1.5])
    difference = by_weight.at(at).mean(1) - by_copy.at(at).mean(1)
    assert np.abs(difference).max() < 0.1  # halves differ, so places may: a mean of 660 rows a place lies within 0.06
    assert by_weight.by_prediction


def test_equal_predictions_are_one_place() -> None:
    outputs = np.repeat([0.0, 1.0], 3000)
    law = fitted_law(RNG.normal(size=6000) * (1 + 5 * outputs), outputs)
    assert law.places == (0.0, 1.0)
    assert not fitted_law(RNG.normal(size=6000), np.zeros(6000)).by_prediction


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    """A run whose residuals widen, asked for the median absolute error."""
    outputs, residuals = widening(8000)
    table = pl.DataFrame({"x": outputs, "y": outputs + residuals - 1.0})
    folder = tmp_path_factory.mktemp("law") / "run"
    return luthier.fit(
        table,
        "y",
        metric="median absolute error",
        task="regression",
        budget="200steps",
        run=folder,
        screen=SilentScreen(),
    )


def test_a_bundle_keeps_them(run: luthier.Result, tmp_path: Path) -> None:
    model = run.model
    assert model.residuals is not None
    assert model.residuals.by_prediction
    model.save(tmp_path / "again.luthier")
    again = luthier.load(tmp_path / "again.luthier")
    rows = pl.DataFrame({"x": [0.3, 1.0, 1.9]})
    assert again.residuals == model.residuals
    for answer in ("median", "q0.1", "middle of the shortest half"):
        some, others = (one.answering(answer).predict(rows).to_numpy() for one in (model, again))
        np.testing.assert_array_equal(some, others)
    low, high = (model.answering(level).predict(rows).to_numpy() for level in ("q0.1", "q0.9"))
    assert (high - low)[2] > 3 * (high - low)[0]
