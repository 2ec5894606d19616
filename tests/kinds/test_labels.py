"""Labels: from cells that are lists to a fit, its files, its exports, a server and a check of new rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import metrics as sk
from tests.serving.asking import ThreadServer

import luthier
from luthier.assess import measure, reliability, score, tempered
from luthier.data import encode_target, infer_task, read_source
from luthier.data.typed_columns.label_lists import SEPARATORS, as_cells, indicators, rarest_label, without_lists
from luthier.errors import ConfigError, InputError
from luthier.exporting.to_onnx import export_onnx
from luthier.exporting.to_torch import export_torch
from luthier.messages import speaking
from luthier.report.card import model_card
from luthier.saved import Model
from luthier.saved.predict import AskedColumns, predict_file
from luthier.task import fitted_labels
from luthier.task.label_answers import best_f1_threshold

RNG = np.random.default_rng(0)
ROWS = 500
X = RNG.normal(size=(ROWS, 3))
NAMES = ("blue", "green", "old", "red")
LOGITS = np.stack([2 * X[:, 0], 2 * X[:, 1] - 1, 1.5 * X[:, 2] - 3, X[:, 0] - X[:, 1]], 1)
HAS = RNG.random((ROWS, 4)) < 1 / (1 + np.exp(-LOGITS))
CELLS = as_cells(HAS, NAMES, ";")
TABLE = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    frame = TABLE.with_columns(tags=pl.Series(CELLS))
    run = tmp_path_factory.mktemp("labels") / "run"
    return luthier.fit(frame, target="tags", metric="f1_macro", budget="200steps", run=run)


def test_a_fit_learns_labels_and_is_compared_fairly(fitted: luthier.Result) -> None:
    model, scores = fitted.model, fitted.scores
    assert (model.task.kind, model.task.classes, model.task.separator) == ("labels", NAMES, ";")
    assert "--task multiclass" in model.task.reason
    assert not scores["failed_baselines"]
    assert {row["name"] for row in scores["baselines"]} == {*model.task.traits.baselines}
    (majority,) = [row for row in scores["baselines"] if row["name"] == "majority class"]
    assert scores["headline"]["value"] > majority["test"]["value"] + 0.1  # luck of 100 rows is 0.04
    assert scores["metric"] == scores["metrics"][0]["name"] == "f1 macro"
    assert {one["name"] for one in scores["metrics"]} >= {"hamming loss", "f1 micro", "label ranking loss", "log loss"}
    assert all(one["low"] <= one["value"] <= one["high"] for one in scores["metrics"])
    assert {one["label"] for one in scores["labels"]} == set(NAMES)


def test_thresholds_answer_and_are_said(fitted: luthier.Result) -> None:
    model = fitted.model
    p = model.predict_proba(TABLE)
    assert p.columns == list(NAMES)
    taken = p.to_numpy() >= np.array(model.label_thresholds)
    assert model.predict(TABLE).to_list() == as_cells(taken, NAMES, ";")
    assert "prediction" in {record.get("code") for record in fitted.ledger}
    with pytest.raises(InputError, match="one class a row"):
        model.predict_set(TABLE)
    with pytest.raises(InputError, match="labels"):
        model.answering("probability")


def test_files_and_exports_answer_alike(fitted: luthier.Result, tmp_path: Path) -> None:
    model = fitted.model
    model.save(tmp_path / "m.luthier")
    assert Model.load(tmp_path / "m.luthier").predict(TABLE).equals(model.predict(TABLE))
    assert export_torch(model, tmp_path / "torch", TABLE) <= 1e-6  # refuses a larger gap itself
    runtime = pytest.importorskip("onnxruntime")
    assert export_onnx(model, tmp_path / "m.onnx", TABLE) <= 1e-6
    session = runtime.InferenceSession(tmp_path / "m.onnx")
    names = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    _, has = session.run(None, {name: TABLE[name].to_numpy()[:, None] for name in TABLE.columns})
    assert as_cells(has, names, ";") == model.predict(TABLE).to_list()


@pytest.fixture(params=["torch", "onnx"])
def server(fitted: luthier.Result, request: pytest.FixtureRequest) -> Iterator[ThreadServer]:
    if request.param == "onnx":
        pytest.importorskip("onnxruntime")
    result = ThreadServer(fitted.model, runtime=request.param)
    yield result
    result.end()


def test_a_server_answers_with_lists(fitted: luthier.Result, server: ThreadServer) -> None:
    rows = TABLE.head(5).to_dicts()
    status, answer = server.ask(json.dumps({"rows": rows}).encode())
    assert status == 200
    given = [one["prediction"] for one in answer["predictions"]]
    assert [";".join(one) or "[]" for one in given] == fitted.model.predict(TABLE.head(5)).to_list()
    assert set(answer["predictions"][0]["probabilities"]) == set(NAMES)
    described = server.ask(None, path="/openapi.json")[1]["paths"]["/predict"]["post"]["responses"]["200"]
    row = described["content"]["application/json"]["schema"]["properties"]["predictions"]["items"]["properties"]
    assert row["prediction"] == {"type": "array", "items": {"type": "string", "enum": list(NAMES)}}


def test_predict_and_check_read_what_predict_writes(fitted: luthier.Result, tmp_path: Path) -> None:
    TABLE.with_columns(tags=pl.Series(CELLS)).head(60).write_parquet(tmp_path / "new.parquet")
    predict_file(fitted.path, str(tmp_path / "new.parquet"), tmp_path / "out.csv", AskedColumns(sets=True))
    written = pl.read_csv(tmp_path / "out.csv")
    assert written["prediction"].to_list() == fitted.model.predict(TABLE.head(60)).to_list()
    assert [name for name in written.columns if name.startswith("probability_")] == [f"probability_{n}" for n in NAMES]
    lists = [[label for label, has in zip(NAMES, row, strict=True) if has] for row in HAS]
    found = luthier.check(fitted.path, TABLE.with_columns(tags=pl.Series(lists, dtype=pl.List(pl.String))))
    assert found["score"]["name"] == "f1 macro"
    assert found["prediction"] is not None
    assert not found["prediction"]["drifted"]
    other = luthier.check(fitted.path, TABLE.with_columns(a=pl.col("a") + 3, tags=pl.Series(["blue;purple"] * ROWS)))
    assert other["prediction"]["drifted"]
    assert other["score"] is None


def test_the_report_has_a_row_for_each_label(fitted: luthier.Result) -> None:
    page = fitted.report().read_text()
    assert all(f"<td class=whole>{name}</td>" in page for name in NAMES)
    with speaking("zh"):
        assert "<h3>标签</h3>" in fitted.report().read_text()
    assert "any number of 4 labels" in model_card(fitted.path)


def test_without_a_test_set_labels_are_estimated_out_of_fold(tmp_path: Path) -> None:
    frame = TABLE.with_columns(tags=pl.Series(CELLS))
    result = luthier.fit(frame, target="tags", budget="2500steps", test="none", run=tmp_path / "run")
    assert result.scores["estimate"]
    assert result.scores["metric"] == "hamming loss"
    assert set(result.model.label_thresholds) == {0.5}
    assert 0 < result.scores["headline"]["value"] < 0.4


@pytest.mark.parametrize(
    "source",
    [
        lambda lists: TABLE.with_columns(tags=pl.Series(lists)),
        lambda lists: pd.DataFrame({**TABLE.to_dict(as_series=False), "tags": lists}),
        lambda lists: (X, lists),
    ],
    ids=["polars", "pandas", "arrays"],
)
def test_lists_of_python_are_read(source: Any) -> None:
    lists = [[label for label, has in zip(NAMES, row, strict=True) if has] for row in HAS]
    read = read_source(source(lists))
    task = infer_task(read.frame[read.target or "tags"])
    assert (task.kind, task.classes) == ("labels", NAMES)
    np.testing.assert_array_equal(encode_target(read.frame[task.target], task).numpy(), HAS)


def test_cells_are_lists_where_labels_recur() -> None:
    assert infer_task(pl.Series("y", ["a|b", "b", "c | a", "c"] * 9)).separator == "|"
    assert infer_task(pl.Series("y", ["one; two", "three"] * 9)).kind == "binary"  # nothing recurs
    assert infer_task(pl.Series("y", ["a", "b", "c"] * 9)).kind == "multiclass"
    assert infer_task(pl.Series("y", ["a,b", "b", "c"] * 9), override="labels").classes == ("a", "b", "c")
    assert infer_task(pl.Series("y", ["a;b", "b", "c;b", "c"] * 9), override="multiclass").kind == "multiclass"


def test_numbers_blanks_repetitions_and_no_labels() -> None:
    read = without_lists(pl.DataFrame({"y": [[10, 9], [9], [], None, [9, 9, 10]]}))["y"]
    assert read.to_list() == ["10;9", "9", "[]", None, "9;9;10"]
    task = infer_task(read)
    assert task.classes == ("9", "10")
    np.testing.assert_array_equal(encode_target(read.drop_nulls(), task).numpy(), [[1, 1], [1, 0], [0, 0], [1, 1]])
    assert indicators(pl.Series([" b ;; b", ";"]), ("a", "b"), ";").tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["a;b"] * 20, "only one value"),
        (["a", "[]"] * 20, "only one label"),
        ([f"{k};{k + 1}" for k in range(1100)], "1,101 labels"),
        (["['a', 'b']", "['a']"] * 9, "not written as labels"),
        ([None] * 20, "missing"),
    ],
)
def test_what_cannot_be_labels_is_refused_with_the_way(cells: list[str | None], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        infer_task(pl.Series("y", cells, dtype=pl.String), override="labels")
    assert "expected" in str(error.value)


def test_a_separator_inside_of_a_label_is_refused() -> None:
    with pytest.raises(InputError, match=f"has '{SEPARATORS[0]}' inside"):
        read_source(pl.DataFrame({"x": [1, 2], "y": [["a;b"], ["c"]]}))


def test_labels_of_other_rows_are_refused_by_name() -> None:
    task = infer_task(pl.Series("y", ["a;b", "b", "a;c"] * 9))
    with pytest.raises(InputError, match="not in the training rows") as error:
        encode_target(pl.Series("y", ["a;d"]), task)
    assert "d" in str(error.value)


@pytest.mark.parametrize("metric", ["auc", "rmse", "accuracy"])
def test_metrics_of_one_class_are_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="hamming loss"):
        luthier.fit(TABLE.with_columns(tags=pl.Series(CELLS)), target="tags", metric=metric, budget="10steps")


def test_thresholds_of_f1_are_the_best_there_are() -> None:
    rng = np.random.default_rng(1)
    for _ in range(30):
        y, p, w = rng.integers(0, 2, 40), rng.random(40).round(1), rng.random(40)
        tried = [sk.f1_score(y, p >= at, sample_weight=w, zero_division=0) for at in np.linspace(0, 1.05, 43)]
        at = best_f1_threshold(y, p, w)
        assert sk.f1_score(y, p >= at, sample_weight=w, zero_division=0) == pytest.approx(max(tried))
    y = (rng.random((200, 3)) < [0.5, 0.2, 0.1]).astype(int)
    p = np.clip(0.25 * y + rng.random((200, 3)) * 0.4, 0, 1)
    assert len(set(fitted_labels("f1 micro", y, p).thresholds)) == 1
    assert len(set(fitted_labels("f1 macro", y, p).thresholds)) == 3
    assert set(fitted_labels("hamming loss", y, p).thresholds) == {0.5}
    for metric in ("f1 micro", "f1 macro"):
        assert score(metric, y, fitted_labels(metric, y, p).seen(p)) > score(metric, y, p)


def test_labels_are_calibrated_label_by_label() -> None:
    p = np.array([[0.8, 0.5], [0.1, 0.9]])
    odds = np.log(p / (1 - p))
    np.testing.assert_allclose(tempered(p, 2.0, each=True), 1 / (1 + np.exp(-odds / 2)))
    assert reliability(p, np.array([[1, 0], [0, 1]])).bins[-1].accuracy == 1.0
    assert measure("hamming loss", HAS.astype(int), HAS + 0.0).value == 0


def test_rows_are_shared_out_by_their_rarest_label() -> None:
    has = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0], [1, 1, 0], [1, 0, 1]])
    assert rarest_label(has).tolist() == [2, 0, 3, 1, 2]
