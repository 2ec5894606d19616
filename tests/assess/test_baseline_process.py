"""The process that fits the baselines: it stops when nobody waits for more, and many classes fit into memory."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.svm import SVC

from luthier.assess import BaselineRun, baseline_process
from luthier.assess.baseline_process import TooManyClassesError, _fitted, _in_pieces, _inputs, _model, names_for
from luthier.data import infer_task
from luthier.kinds import KINDS
from luthier.messages import Message, speaking, spoken
from luthier.rows import Inputs, Rows


def test_baselines_that_come_too_late_are_not_begun(tmp_path: Path) -> None:
    values = torch.arange(60.0, dtype=torch.float64) + 0.5
    rows = Rows(Inputs(numbers=values[:, None]), values)
    run = BaselineRun(rows, rows, infer_task(pl.Series("y", values.numpy())), (), place=tmp_path)
    try:
        assert not run.wait(lambda: True)  # it has only just begun to import
        run.ask(rows)
        assert not run.predicted(lambda: False)
        assert not list(run.folder.glob("*.npz"))
    finally:
        run.close()


def rows_of(classes: int, each: int) -> dict[str, np.ndarray]:
    g, targets = np.random.default_rng(0), np.repeat(np.arange(classes), each)
    numbers = g.normal(size=(len(targets), 4)) + 3 * g.normal(size=(classes, 4))[targets]
    return {"numbers": numbers, "codes": np.zeros((len(targets), 0)), "targets": targets}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of l1_ratios, which the process is silent about
def test_a_linear_model_takes_vectors_or_words_and_not_both() -> None:
    """Words are of one class each in training and the other in what is asked; vectors stay true, as does the number."""
    g, y = np.random.default_rng(0), np.arange(120) % 2
    vectors = g.normal(size=(120, 5)) + 4 * y[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.stack([5 + y, np.full(120, 9), np.zeros(120)], 1)
    wrong = np.stack([6 - y, np.full(120, 9), np.zeros(120)], 1)
    numbers = g.normal(size=(120, 1))
    rows, asked = (
        {"numbers": np.concatenate([numbers, vectors], 1), "tokens": words, "codes": np.zeros((120, 0)), "targets": y}
        for words in (ids, wrong)
    )
    task = {"classes": 2, "log_scale": False, "pictures": False, "sizes": [], "words": [3, 2, 5]}
    task |= {"loss": ("squared_error", 0.5)}
    by = {
        name: _fitted(name, rows, task, log=False).model.predict(_inputs(asked)) == y
        for name in names_for(KINDS["binary"].baselines, text=True, vectors=True)[1:]
    }
    assert by["logistic regression on sentence vectors"].mean() > 0.9
    assert by["logistic regression on tf-idf"].mean() < 0.1
    assert len(names_for("regression", text=True)) == 2


def test_an_svm_decides_in_pieces_of_bounded_bytes_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, pairs, decided = rows_of(12, 5), 12 * 11 // 2, list[int]()
    monkeypatch.setattr(baseline_process, "DECISION_BYTES", 17 * pairs * 7)

    class Watched(SVC):
        def decision_function(self, X: np.ndarray) -> np.ndarray:
            decided.append(len(X))
            return super().decision_function(X)

    wanted = SVC().fit(rows["numbers"], rows["targets"]).decision_function(rows["numbers"])
    pieces = _in_pieces(Watched)().fit(rows["numbers"], rows["targets"])
    assert np.array_equal(pieces.decision_function(rows["numbers"]), wanted)
    assert sum(decided) == 60
    assert max(decided) == 7


def test_of_very_many_classes_few_trees_are_grown_and_the_svm_is_left_out() -> None:
    rows = rows_of(1000, 2)
    trees = _model("gradient-boosted trees", rows, [], regression=False)
    assert trees.max_iter * 1000 <= 60_000  # of about 3 KB each
    assert _model("gradient-boosted trees", rows_of(20, 3), [], regression=False).max_iter == 600
    with pytest.raises(TooManyClassesError, match="1,000"):
        _model("SVM (RBF)", rows, [], regression=False)


@pytest.mark.parametrize("loss", [("absolute_error", 0.5), ("quantile", 0.8), ("poisson", 0.5)])
@pytest.mark.parametrize("log", [False, True])
def test_trees_and_the_constant_minimise_what_the_metric_asks_for(loss: tuple[str, float], log: bool) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(400, 2))
    y = np.exp(0.5 * numbers[:, 0] + rng.normal(size=400))
    rows = {"numbers": numbers, "codes": np.zeros((400, 0)), "targets": np.log(y) if log else y}
    task = {
        "classes": 0,
        "bounds": [-np.inf, np.inf],
        "log_scale": log,
        "loss": loss,
        "pictures": False,
        "sizes": [],
        "words": [0, 0],
    }
    fitted = {name: baseline_process._fitted(name, rows, task, False) for name in ("mean", baseline_process.TREES)}
    constant = baseline_process._values(fitted["mean"], rows, task)[0]
    assert constant == pytest.approx(y.mean() if loss[0] == "poisson" else np.quantile(y, loss[1]), rel=1e-9)
    assert fitted[baseline_process.TREES].model.loss == loss[0]
    told = {name: baseline_process._error(one, rows, task) for name, one in fitted.items()}
    assert told[baseline_process.TREES] < told["mean"]
    plain = baseline_process._fitted("mean", rows, {**task, "loss": ("squared_error", 0.5)}, False)
    assert told["mean"] <= baseline_process._error(plain, rows, task)


def test_one_that_fails_is_said_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare class made one library raise, and the report said of all that time had run out."""
    stream = io.BytesIO()

    def fitted(name: str, *rest: Any) -> Any:
        if name == "second":
            raise ValueError("the least populated class has one member\nand more")

    for part in (rows_of(2, 30), rows_of(2, 10)):
        baseline_process.write_arrays(stream, part)
    task = {
        "names": ["first", "second", "third"],
        "classes": 2,
        "loss": ["softmax", 0],
        "log_scale": False,
        "words": [0, 0, 0],
    }
    (tmp_path / "task.json").write_text(json.dumps(task))
    monkeypatch.setattr(baseline_process, "_fitted", fitted)
    monkeypatch.setattr(baseline_process, "_answer", lambda path, *rest: path.touch())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stream.getvalue())))
    baseline_process.main(tmp_path)
    said = Message.of_data(json.loads((tmp_path / "second.failed").read_text()))
    assert said == (
        "scikit-learn refuses these 60 training rows (ValueError: the least populated class has one member)"
    )
    for name in ("first", "third"):
        assert not (tmp_path / f"{name}.failed").exists()
        assert (tmp_path / f"{name}.validation.npz").exists()


def test_none_is_begun_after_the_seconds_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody stops the process in the middle of a run: it keeps to its slot by itself."""
    stream, now = io.BytesIO(), iter([0.0, 1.0, 6.0])
    for part in (rows_of(2, 30), rows_of(2, 10)):
        baseline_process.write_arrays(stream, part)
    task = {"names": ["first", "second"], "classes": 2, "loss": ["softmax", 0], "log_scale": False, "seconds": 5.0}
    (tmp_path / "task.json").write_text(json.dumps(task))
    monkeypatch.setattr(baseline_process, "_fitted", lambda name, *rest: name)
    monkeypatch.setattr(baseline_process, "_answer", lambda path, *rest: path.touch())
    monkeypatch.setattr(baseline_process, "time", SimpleNamespace(monotonic=lambda: next(now), sleep=lambda s: None))
    monkeypatch.setattr(baseline_process.threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stream.getvalue())))
    baseline_process.main(tmp_path)
    assert (tmp_path / "first.validation.npz").exists()
    assert not (tmp_path / "second.validation.npz").exists()
    assert (tmp_path / "ready").exists()


EMPTY = torch.zeros(40, 3, dtype=torch.int32)
TWO, VALUES = torch.arange(40) % 2, torch.arange(40.0, dtype=torch.float64) + 0.5
REFUSALS: dict[str, tuple[Inputs, torch.Tensor, str]] = {
    "all texts are empty": (Inputs(tokens=EMPTY), TWO, "at least two training texts have(.*)40 of 40 texts are empty"),
    "no word comes twice": (
        Inputs(tokens=torch.arange(1, 121).reshape(40, 3).int()),
        VALUES,
        "at least two training texts have(.*)0 of 40 texts are empty",
    ),
    "one class": (Inputs(numbers=VALUES[:, None]), TWO * 0, "two classes, and all 40 are of one"),
    "no column": (Inputs(numbers=torch.zeros(40, 0)), VALUES, "it needs a column, and there is none"),
    "all missing": (Inputs(numbers=VALUES[:, None] * float("nan")), VALUES, "in 1 of them no training row has one"),
    "huge": (Inputs(numbers=VALUES[:, None] * 1e300), VALUES, "squares and adds numbers(.*)reach 3.95e"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_why_one_cannot_be_fitted_is_said_in_both_languages(tmp_path: Path, case: str) -> None:
    inputs, y, expected = REFUSALS[case]
    rows, length = Rows(inputs, y), 3 if "tokens" in inputs else 0
    values = ["a", "b"] * 20 if y is not VALUES else y.numpy()
    run = BaselineRun(rows, rows, infer_task(pl.Series("y", values)), (), (length, length, 0), place=tmp_path)
    try:
        run.wait(lambda: False)
        failed = run.failed()
        fitted = set(run.names) - set(failed)
    finally:
        run.close()
    assert fitted  # at least the constant
    assert failed
    for why in failed.values():
        assert re.search(expected, why)
        with speaking("zh"):
            assert re.search("[一-鿿]", spoken(why))
            assert not re.search("[a-z]{4}", spoken(why))
