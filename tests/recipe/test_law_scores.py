"""A score of how values lie around a prediction: what decides, what baselines have, and what later commands measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.runs.screen import SilentScreen
from luthier.saved import Model

RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 2.0, 600)
TABLE = pl.DataFrame(
    {
        "x": X,
        "z": RNG.normal(size=600),
        "value": X + RNG.normal(size=600) - 3.0,
        "amount": np.exp(1 + X + 0.8 * RNG.normal(size=600)),
        "count": RNG.poisson(np.exp(0.5 * X)),
    }
)


def ranked(y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The score of each row, by its definition: E|Y - y| less half of E|Y - Y'|."""
    return np.abs(values - y[:, None]).mean(1) - np.abs(values[:, :, None] - values[:, None]).mean((1, 2)) / 2


@pytest.mark.parametrize("target", ["value", "amount", "count"])
def test_it_decides_and_is_that_of_the_law_around_each_answer(target: str, tmp_path: Path) -> None:
    table = TABLE.select("x", "z", target)
    found = luthier.fit(table, target, metric="crps", budget="80steps", run=tmp_path / "run", screen=SilentScreen())
    scores, judged = found.scores, pl.read_parquet(found.path / "judged.parquet")
    model: Model = found.model
    assert scores["metric"] == "crps"
    assert model.decides is not None
    rows, y = table[judged["row"].to_list()], judged["true"].to_numpy()
    answers = model.predict(rows).to_numpy()
    assert scores["headline"]["value"] == pytest.approx(ranked(y, model.decides.seen(answers)).mean(), rel=1e-4)
    assert scores["headline"]["value"] < np.abs(answers - y).mean()  # a point alone scores as its absolute error
    by_name = {row["name"]: row["test"]["value"] for row in scores["baselines"]}
    assert scores["headline"]["value"] < by_name["mean"] < np.abs(y - y.mean()).mean()
    again = luthier.check(found.path, rows)
    assert again["score"]["name"] == "crps"
    assert again["score"]["value"] == pytest.approx(scores["headline"]["value"], rel=1e-4)
