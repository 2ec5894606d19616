"""A model answers as its metric asks: fitted, saved, predicted, and exported alike."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.saved import AskedColumns, Model, predict_file

RNG = np.random.default_rng(0)
X = RNG.normal(size=(260, 2))
LEVEL = X[:, 0] + RNG.normal(size=260)
TABLE = pl.DataFrame(
    {
        "a": X[:, 0],
        "b": X[:, 1],
        "amount": np.maximum(2 + X[:, 0] + RNG.gumbel(size=260), 0.1).round(3) - 0.05,
        "level": np.array(["1", "2", "3"])[(LEVEL > 0).astype(int) + (LEVEL > 1.8)],
    }
)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    run = tmp_path_factory.mktemp("amount") / "run"
    frame = TABLE.drop("level").with_columns(pl.col("amount") - 1)  # some are negative: no log scale
    return luthier.fit(frame, target="amount", metric="rmsle,mae", budget="40steps", run=run)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    run = tmp_path_factory.mktemp("level") / "run"
    return luthier.fit(TABLE.drop("amount"), target="level", metric="qwk", budget="40steps", run=run)


def test_the_answer_is_the_metrics_and_is_said(numbers: luthier.Result, classes: luthier.Result) -> None:
    assert numbers.model.answer == "mean of logarithms"
    assert len(numbers.model.transform.shifts) > 1
    assert classes.model.decision is not None
    assert [one["name"] for one in numbers.scores["metrics"]] == ["rmsle", "mae", "rmse", "r2"]
    for result, said in ((numbers, "the mean of logarithms"), (classes, "the class that the metric is best served by")):
        (answer,) = [one for one in luthier_decisions(result) if one["code"] == "prediction"]
        assert answer["chosen"] == said
        assert said in (result.folder.report).read_text()


def luthier_decisions(result: luthier.Result) -> list[dict[str, str]]:
    from luthier.recipe import read_ledger

    return [record for record in read_ledger(result.folder.ledger) if record["kind"] == "decision"]


def test_a_saved_model_answers_alike(numbers: luthier.Result, classes: luthier.Result, tmp_path: Path) -> None:
    for result in (numbers, classes):
        result.model.save(tmp_path / "again.luthier")
        again = Model.load(tmp_path / "again.luthier")
        assert again.predict(TABLE).equals(result.model.predict(TABLE))
        assert again.answer == result.model.answer
    low, high = (numbers.model.predict_interval(TABLE)[name].to_numpy() for name in ("low", "high"))
    middle = numbers.model.answering("mean").predict(TABLE).to_numpy()
    np.testing.assert_allclose((low + high) / 2, middle, rtol=1e-6)  # the same whatever is answered


def test_predict_gives_other_answers(numbers: luthier.Result, classes: luthier.Result, tmp_path: Path) -> None:
    TABLE.write_csv(tmp_path / "rows.csv")
    told = {}
    for answer in ("mean", "median", "q0.1", "q0.9"):
        predict_file(numbers.folder.path, str(tmp_path / "rows.csv"), tmp_path / "out.csv", AskedColumns(answer=answer))
        told[answer] = pl.read_csv(tmp_path / "out.csv")["prediction"].to_numpy()
    assert numbers.model.residuals is not None
    residuals = np.array(numbers.model.residuals.residuals[0])
    assert (told["q0.9"] > told["median"]).all()
    np.testing.assert_allclose(told["median"] - told["mean"], np.median(residuals), atol=1e-6)
    assert np.mean(residuals < told["q0.1"][0] - told["mean"][0]) == pytest.approx(0.1, abs=0.02)
    predict_file(
        classes.folder.path, str(tmp_path / "rows.csv"), tmp_path / "out.csv", AskedColumns(answer="probability")
    )
    frame = pl.read_csv(tmp_path / "out.csv")
    likeliest = frame.select(pl.max_horizontal(f"probability_{k}" for k in (1, 2, 3))).to_series()
    np.testing.assert_allclose(frame["prediction"], likeliest)


@pytest.mark.parametrize("answer", ["q2", "probability", "biggest"])
def test_what_is_not_an_answer_is_refused(numbers: luthier.Result, answer: str) -> None:
    with pytest.raises(InputError, match="answer"):
        numbers.model.answering(answer)


def test_exports_answer_alike(numbers: luthier.Result, classes: luthier.Result, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    rows = TABLE.select("a", "b")
    for name, model in (("numbers", numbers.model), ("classes", classes.model)):
        expected = model.predict(TABLE).cast(pl.String if name == "classes" else pl.Float64).to_list()
        export_torch(model, tmp_path / name, TABLE)
        plain = runpy.run_path(str(tmp_path / name / "model.py"))
        told = plain["load"](tmp_path / name / "model.safetensors").predict(rows.to_dicts())
        export_onnx(model, tmp_path / f"{name}.onnx", TABLE)
        session = runtime.InferenceSession(tmp_path / f"{name}.onnx")
        given = {column: rows[column].to_numpy()[:, None] for column in rows.columns}
        (in_onnx,) = session.run(["class" if name == "classes" else "value"], given)
        if name == "classes":
            assert told == expected
            assert in_onnx.flatten().tolist() == expected
        else:  # float32 networks
            np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(in_onnx[:, 0], expected, rtol=1e-5, atol=1e-6)
