"""Ordered levels: where the order comes from, and a fit from the first row to the exported program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import luthier
from luthier.assess import prediction_sets
from luthier.data import Task, infer_task, read_source
from luthier.data.typed_columns.task import in_order
from luthier.errors import InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.nets import build
from luthier.saved import Model, activate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
SCORE = X[:, 0] + 0.5 * RNG.logistic(size=400)
LEVELS = ("low", "medium", "high")
TABLE = pl.DataFrame({"a": X[:, 0], "b": X[:, 1]})
CODES = (SCORE > -0.5).astype(int) + (SCORE > 1)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    frame = TABLE.with_columns(risk=np.array(LEVELS)[CODES])
    return luthier.fit(frame, target="risk", budget="60steps", run=tmp_path_factory.mktemp("levels") / "run")


def test_a_fit_knows_the_order_and_answers_by_cuts(fitted: luthier.Result) -> None:
    model = fitted.model
    assert model.task.kind == "ordered"
    assert model.task.classes == LEVELS
    assert fitted.scores["metric"] == "quadratic kappa"
    assert all(net.spec.constant_outputs == (1,) for net in model.nets)
    (majority,) = [row for row in fitted.scores["baselines"] if row["name"] == "majority class"]
    assert not fitted.scores["failed_baselines"]
    assert fitted.scores["headline"]["value"] > majority["test"]["value"] + 0.3  # luck of 80 rows is 0.1
    p = model.predict_proba(TABLE).to_numpy()
    np.testing.assert_allclose(p.sum(1), 1)


def test_sets_of_levels_have_no_holes(fitted: luthier.Result) -> None:
    places = [sorted(LEVELS.index(name) for name in row.split("|")) for row in fitted.model.predict_set(TABLE)]
    assert all(row == list(range(row[0], row[-1] + 1)) for row in places)
    inside = prediction_sets(np.array([[0.4, 0.1, 0.5], [0.05, 0.9, 0.05]]), 0.3, ordered=True)
    assert inside.tolist() == [[True, True, True], [False, True, False]]


def test_files_and_exports_answer_alike(fitted: luthier.Result, tmp_path: Path) -> None:
    model = fitted.model
    model.save(tmp_path / "m.luthier")
    again = Model.load(tmp_path / "m.luthier")
    assert again.predict(TABLE).equals(model.predict(TABLE))
    assert export_torch(model, tmp_path / "torch", TABLE) <= 1e-6  # refuses a larger gap itself
    pytest.importorskip("onnxruntime")
    assert export_onnx(model, tmp_path / "m.onnx", TABLE) <= 1e-6


def test_probabilities_are_those_of_cumulative_logits() -> None:
    Z = torch.tensor([[0.4, -0.3, 1.2]])
    cuts = [0.0, np.log1p(np.exp(-0.3)), np.log1p(np.exp(-0.3)) + np.log1p(np.exp(1.2))]
    below = [0.0, *(1 / (1 + np.exp(0.4 - cut)) for cut in cuts), 1.0]
    np.testing.assert_allclose(activate(Z, "ordered")[0].numpy(), np.diff(below), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["S", "XL", "M", "L"], ("S", "M", "L", "XL")),
        (["Very_Good", "poor", "Fair"], ("poor", "Fair", "Very_Good")),
        (["strongly agree", "disagree", "Neutral", "agree"], ("disagree", "Neutral", "agree", "strongly agree")),
        (["never", "always", "sometimes"], ("never", "sometimes", "always")),
        (["1st", "3rd", "2nd"], ("1st", "2nd", "3rd")),
    ],
)
def test_named_scales_stand_in_their_order(values: list[str], expected: tuple[str, ...]) -> None:
    task = infer_task(pl.Series("y", values * 9))
    assert (task.kind, task.classes) == ("ordered", expected)
    assert " < ".join(expected) in task.reason
    assert "--task multiclass" in task.reason


@pytest.mark.parametrize("values", [["red", "low", "high"], ["low", "high"] * 2, ["fair", "excellent", "great"]])
def test_words_that_are_not_on_one_scale_are_classes(values: list[str]) -> None:
    assert infer_task(pl.Series("y", values * 9)).kind in ("multiclass", "binary")


def test_a_type_with_an_order_says_it() -> None:
    levels = ["none", "some", "much"]
    cells = pd.Categorical(["much", "none", "some", "none"] * 5, categories=levels, ordered=True)
    frame = read_source(pd.DataFrame({"pain": cells, "as_words": pd.Categorical(cells.astype(str))})).frame
    task = infer_task(frame["pain"])
    assert (task.kind, task.classes) == ("ordered", tuple(levels))
    assert "type" in task.reason
    assert infer_task(frame["as_words"]).kind == "multiclass"


def test_an_order_is_said_and_kept(tmp_path: Path) -> None:
    frame = TABLE.with_columns(mood=np.array(["gloomy", "calm", "gay"])[CODES])
    result = luthier.fit(frame, target="mood", order="gloomy,calm,gay", budget="20steps", run=tmp_path / "run")
    assert result.model.task.classes == ("gloomy", "calm", "gay")
    assert luthier.load(tmp_path / "run").task.kind == "ordered"


@pytest.mark.parametrize(
    ("order", "said"),
    [("low,mid,high", "no level 'mid'"), ("low,high", "named once"), ("low,medium,high,high", "named once")],
)
def test_an_order_that_does_not_fit_is_refused(order: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        in_order(Task("ordered", "risk", LEVELS), order)
    assert "low, medium, high" in str(error.value)


def test_levels_whose_order_nothing_says_are_refused_with_the_way() -> None:
    with pytest.raises(InputError, match="--order") as error:
        infer_task(pl.Series("y", ["b", "a", "c"] * 9), override="ordered")
    assert "a, b, c" in str(error.value)
    assert infer_task(pl.Series("y", [3, 1, 2] * 9), override="ordered").classes == ("1", "2", "3")


@pytest.fixture(scope="module")
def inferred(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    """Levels of a known scale, in an order that nobody said."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(160, 2))
    levels = np.digitize(x[:, 0] + 0.7 * rng.normal(size=160), [-0.6, 0.7])
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "risk": np.array(["low", "medium", "high"])[levels]})
    run = tmp_path_factory.mktemp("inferred") / "run"
    result = luthier.fit(table, target="risk", budget="600steps", run=run)
    assert result is not None
    return result


def test_a_class_network_stands_beside_an_order_that_was_inferred(inferred: luthier.Result) -> None:
    records = [r for r in inferred.ledger if r["kind"] == "decision"]
    (loss,) = [r for r in records if r["code"] == "loss"]
    assert loss["evidence"]["asked"] == ["ordinal", "softmax"]
    experiment = next(r for r in records if r["code"] == "experiment")
    assert "loss" in experiment["evidence"]["shaped"]
    assert experiment["evidence"]["yardstick"] == ""  # both give probabilities, whose logarithms are compared


@pytest.mark.parametrize("outputs", [2, 3])
def test_either_network_is_saved_and_exported(inferred: luthier.Result, outputs: int, tmp_path: Path) -> None:
    model = inferred.model
    shared = (1,) if outputs == 2 else ()
    nets = tuple(
        build(replace(net.spec, outputs=outputs, constant_outputs=shared), seed=k) for k, net in enumerate(model.nets)
    )
    other = replace(model, nets=nets)
    rows = pl.DataFrame({"a": [0.3, -1.2, 2.0], "b": [0.1, 0.5, -0.4]})
    p = other.predict_proba(rows).to_numpy()
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-12)
    other.save(tmp_path / "m.luthier")
    assert np.array_equal(Model.load(tmp_path / "m.luthier").predict_proba(rows).to_numpy(), p)
    assert export_torch(other, tmp_path / "program", rows) < 1e-5  # of probabilities, in float32
    assert export_onnx(other, tmp_path / "m.onnx", rows) < 1e-5
    odds = other.margins(other.encode(rows))
    np.testing.assert_allclose(torch.sigmoid(odds).numpy(), p, rtol=1e-5)


def test_networks_of_different_outputs_are_not_one_model(inferred: luthier.Result, tmp_path: Path) -> None:
    model = inferred.model
    one, two = (build(replace(model.nets[0].spec, outputs=n, constant_outputs=()), seed=0) for n in (2, 3))
    replace(model, nets=(one, two), weights=(0.5, 0.5)).save(tmp_path / "m.luthier")
    with pytest.raises(InputError, match="does not describe a model"):
        Model.load(tmp_path / "m.luthier")
