"""Counts, shares and amounts: a mean behind a link, from the first row to the exported program."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import luthier
from luthier.data import infer_task
from luthier.data.target_transform import TargetTransform
from luthier.errors import ConfigError, InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.kinds import KINDS
from luthier.saved import Model

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
LINKED = {
    "count": RNG.poisson(np.exp(0.7 * X[:, 0])),
    "share": RNG.beta(3 / (1 + np.exp(-X[:, 0])), 3 / (1 + np.exp(X[:, 0]))).round(3),
    "amount": (RNG.gamma(2, 10 * np.exp(0.5 * X[:, 0])) * (RNG.random(400) < 0.7)).round(1),
}
TABLE = pl.DataFrame({"a": X[:, 0], "b": X[:, 1]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, luthier.Result]:
    place = tmp_path_factory.mktemp("kinds")
    return {
        kind: luthier.fit(TABLE.with_columns(y=y), target="y", budget="60steps", run=place / kind)
        for kind, y in LINKED.items()
    }


@pytest.mark.parametrize("kind", LINKED)
def test_a_fit_takes_the_kind_and_beats_its_mean(runs: dict[str, luthier.Result], kind: str) -> None:
    result = runs[kind]
    assert result.model.task.kind == kind
    assert result.scores["metric"] == KINDS[kind].metric
    names = [row["name"] for row in result.scores["baselines"]]
    assert names == list(KINDS[kind].baselines)
    assert not result.scores["failed_baselines"]
    (mean,) = [row for row in result.scores["baselines"] if row["name"] == "mean"]
    assert result.scores["headline"]["value"] < mean["test"]["value"]


@pytest.mark.parametrize("kind", LINKED)
def test_answers_and_ends_are_values_that_the_target_can_have(runs: dict[str, luthier.Result], kind: str) -> None:
    model, traits = runs[kind].model, KINDS[kind]
    y, ends = LINKED[kind], model.predict_interval(TABLE)
    low, high = ends["low"].to_numpy(), ends["high"].to_numpy()
    middle = model.predict(TABLE).to_numpy()
    assert ((middle > traits.lowest) & (middle < traits.highest)).all()
    assert (low >= traits.lowest).all()
    assert (high <= traits.highest).all()
    assert (low <= high).all()
    if traits.whole:
        assert np.array_equal(low, low.round())
        assert np.array_equal(high, high.round())
    # Three standard errors below 90 %: of 400 rows, and of the 80 rows that the width comes from.
    assert ((y >= low) & (y <= high)).mean() > 0.9 - 3 * math.sqrt(0.9 * 0.1 * (1 / 400 + 1 / 80))


def test_other_answers_of_counts_are_whole_and_keep_their_intervals(runs: dict[str, luthier.Result]) -> None:
    model = runs["count"].model
    median = model.answering("median")
    assert np.array_equal(median.predict(TABLE), median.predict(TABLE).round())
    assert median.predict_interval(TABLE).equals(model.predict_interval(TABLE))


@pytest.mark.parametrize("kind", LINKED)
def test_files_and_exports_answer_alike(runs: dict[str, luthier.Result], kind: str, tmp_path: Path) -> None:
    model = runs[kind].model
    for one in (model, model.answering("median")):
        one.save(tmp_path / "m.luthier")
        again = Model.load(tmp_path / "m.luthier")
        assert again.predict(TABLE).equals(one.predict(TABLE))
        assert again.predict_interval(TABLE).equals(one.predict_interval(TABLE))
    assert export_torch(model, tmp_path / "torch", TABLE) <= 1e-6  # refuses a larger gap itself
    pytest.importorskip("onnxruntime")
    assert export_onnx(model, tmp_path / "m.onnx", TABLE) <= 1e-6


@pytest.mark.parametrize("kind", LINKED)
def test_the_way_back_undoes_the_way_there(kind: str) -> None:
    traits, y = KINDS[kind], torch.from_numpy(LINKED[kind].astype(float))
    transform = TargetTransform.fit(y, None, log=False, kind=traits)
    torch.testing.assert_close(transform.restored(transform.standardise(y)), y)
    outputs = np.linspace(-2, 2, 9)
    means = transform.answer(outputs)
    scale = float(y.mean()) if traits.link.name == "log" else 1.0
    expected = scale * np.exp(outputs) if traits.link.name == "log" else 1 / (1 + np.exp(-outputs))
    np.testing.assert_allclose(means, expected)
    np.testing.assert_allclose(transform.answer(torch.from_numpy(outputs)).numpy(), expected)
    np.testing.assert_allclose(transform.centre(means), transform.modelled(outputs), atol=1e-12)
    inside = traits.within(means + 0.3)
    back = transform.beside(transform.modelled(outputs), transform.residuals(inside, outputs))
    np.testing.assert_allclose(back, inside)


@pytest.mark.parametrize(
    ("kind", "values", "received"),
    [
        ("count", [0, 1, 2, -3, 4, 5], "-3"),
        ("count", [0, 1.5, 2, 3, 4, 5], "1.5"),
        ("share", [0.1, 0.2, 0.3, 1.2], "1.2"),
        ("amount", [0.0, 1.0, -2.5, 3.0], "-2.5"),
    ],
)
def test_values_that_are_not_of_the_kind_are_refused(kind: str, values: list[float], received: str) -> None:
    with pytest.raises(InputError) as error:
        infer_task(pl.Series("y", values * 5, strict=False), override=kind)
    assert received in str(error.value)
    assert KINDS[kind].values in str(error.value)
    assert "--task regression" in str(error.value)


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="did you mean 'count'"):
        infer_task(pl.Series("y", [0, 1, 2] * 5), override="counts")
