"""Metrics against scikit-learn, intervals by simulation, the seal, drift without false alarms."""

from __future__ import annotations

import ast
import copy
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

import luthier
from luthier.assess import (
    Profile,
    Scoring,
    SealedTest,
    at_threshold,
    best_threshold,
    drift,
    fit_temperature,
    half_width,
    measure,
    open_test,
    paired_difference,
    reliability,
    tempered,
    within_noise,
)
from luthier.assess.drift import KEPT_IN_ALL
from luthier.errors import SealError
from luthier.records import result_and_entries
from luthier.rows import Inputs, Rows
from luthier.untrusted import LARGEST_JSON, MOST_VALUES

rng = np.random.default_rng(0)
Y = rng.integers(0, 2, 300)
P = np.stack([1 - Y, Y], 1) * 0.2 + rng.dirichlet([1, 1], 300)
P = P / P.sum(1, keepdims=True)
T, Q = rng.integers(0, 4, 300), rng.dirichlet([1] * 4, 300)
V, W = rng.normal(size=300), rng.normal(size=300)


@pytest.mark.parametrize(
    ("name", "y", "prediction", "expected"),
    [
        ("accuracy", Y, P, oracle.accuracy_score(Y, P.argmax(1))),
        ("log loss", Y, P, oracle.log_loss(Y, P)),
        ("balanced accuracy", Y, P, oracle.balanced_accuracy_score(Y, P.argmax(1))),
        ("f1", Y, P, oracle.f1_score(Y, P.argmax(1))),
        ("f1", T, Q, oracle.f1_score(T, Q.argmax(1), average="macro")),
        ("balanced accuracy", T, Q, oracle.balanced_accuracy_score(T, Q.argmax(1))),
        ("auc", Y, P, oracle.roc_auc_score(Y, P[:, 1])),
        ("auc", Y, P.round(1), oracle.roc_auc_score(Y, P.round(1)[:, 1])),  # ties
        ("rmse", V, W, oracle.root_mean_squared_error(V, W)),
        ("mae", V, W, oracle.mean_absolute_error(V, W)),
        ("r2", V, W, oracle.r2_score(V, W)),
    ],
)
def test_metrics_equal_scikit_learn(name: str, y: np.ndarray, prediction: np.ndarray, expected: float) -> None:
    result = measure(name, y, prediction)
    assert result.value == pytest.approx(expected, rel=1e-12)
    assert result.low is not None
    assert result.high is not None
    assert result.low < result.value < result.high


@pytest.mark.parametrize("metric", ["accuracy", "rmse"])
def test_intervals_cover_the_truth_as_often_as_they_say(metric: str) -> None:
    draws, covered = np.random.default_rng(1), 0
    for seed in range(200):
        if metric == "accuracy":
            right = draws.random(150) < 0.9
            truth, result = 0.9, measure("accuracy", np.zeros(150, int), np.stack([right, ~right], 1) * 1.0, seed=seed)
        else:
            error = draws.normal(size=150)
            truth, result = 1.0, measure("rmse", error, np.zeros(150), seed=seed)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= truth <= result.high
    # 95 % of 200 is 190; three standard errors are 9.2.
    assert 180 <= covered <= 200


def test_paired_differences_see_what_unpaired_intervals_hide() -> None:
    y = rng.normal(size=400) * 10
    one = y + rng.normal(size=400)
    other = y + (one - y) * 1.05
    result = paired_difference("rmse", y, one, other)
    assert result.value > 0
    assert not within_noise(result)
    assert within_noise(paired_difference("rmse", y, one, y + rng.normal(size=400)))


def test_temperature_recovers_the_one_that_was_applied() -> None:
    g = np.random.default_rng(2)
    logits = g.normal(size=(20_000, 3)) * 2
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (true.cumsum(1) > g.random((20_000, 1))).argmax(1)
    overconfident = tempered(true, 0.5)
    assert fit_temperature(overconfident, y) == pytest.approx(2.0, rel=0.05)
    assert reliability(tempered(overconfident, 2.0), y).ece < reliability(overconfident, y).ece


def test_conformal_intervals_cover() -> None:
    g = np.random.default_rng(3)
    covered = [np.abs(g.normal(size=2000)) <= half_width(g.normal(size=100)) for _ in range(100)]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)


def sealed() -> SealedTest:
    return SealedTest(Rows(Inputs(numbers=torch.zeros(3, 1)), torch.ones(3)))


def test_the_opening_is_written_before_the_rows_are_seen() -> None:
    box = sealed()
    assert next(open_test(box, purpose="x")).kind == "opening"  # a disk that is full here leaves the rows unseen
    rows, (entry,) = result_and_entries(open_test(box, purpose="x"))
    assert len(rows) == 3
    assert entry.content["purpose"] == "x"
    with pytest.raises(SealError, match="opened before"):
        result_and_entries(open_test(box, purpose="again"))


def test_the_seal_cannot_be_walked_around() -> None:
    box = sealed()
    with pytest.raises(SealError):
        box._open(object())
    for escape in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(SealError):
            escape(box)
    assert "3 rows" in repr(box)


def test_one_module_opens_the_seal_and_one_step_asks_for_it() -> None:
    source = Path(luthier.__file__).parent
    touching, asking = set(), set()
    for path in source.rglob("*.py"):
        names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        called = {
            n.func.id
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
        }
        if {"_open", "_SealedTest__rows"} & names and path.parent.name != "serving":
            touching.add(path.name)
        if "open_test" in called:
            asking.add(path.name)
    assert touching == {"seal.py"}
    assert asking == {
        "judge.py",
        "sealed_rows.py",
        "refitting.py",
    }  # step 5, and what is asked for and marked


def columns(rows: int, seed: int, shift: float = 0.0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    g = np.random.default_rng(seed)
    numbers = {f"n{i}": g.normal(shift if i == 0 else 0, 1, rows) for i in range(8)}
    numbers["n7"][g.random(rows) < 0.1] = np.nan
    return numbers, {"c": g.integers(0, 6, rows)}


@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_drift_raises_no_false_alarm(rows: int) -> None:
    numbers, codes = columns(2000, 0)
    profile = Profile.of(numbers, codes, {"c": 6})
    alarms = sum(any(row.drifted for row in drift(profile, *columns(rows, seed))) for seed in range(1, 201))
    # The level is 1 % for all columns together; three standard errors above it in 200 samples are 6.
    assert alarms <= 6


def test_the_profile_of_many_columns_is_small_and_still_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 10,000 columns can be read again: its profile is within what is read."""
    assert 2 * KEPT_IN_ALL < MOST_VALUES
    assert 25 * KEPT_IN_ALL < LARGEST_JSON  # a number takes up to 25 letters
    monkeypatch.setattr(sys.modules[Profile.__module__], "KEPT_IN_ALL", 8 * 40)
    numbers, codes = columns(2000, 0)
    profile = Profile.of(numbers, codes, {"c": 6})
    assert sum(map(len, profile.numbers.values())) == 8 * 40
    alarms = sum(any(row.drifted for row in drift(profile, *columns(1000, seed))) for seed in range(1, 41))
    assert alarms <= 3  # three standard errors above 1 % of 40
    assert [row.column for row in drift(profile, *columns(500, 1, shift=1.0)) if row.drifted] == ["n0"]


def test_drift_sees_a_shift_and_names_the_column() -> None:
    numbers, codes = columns(2000, 0)
    profile = Profile.from_json(Profile.of(numbers, codes, {"c": 6}).to_json())
    drifted = [row.column for row in drift(profile, *columns(500, 1, shift=1.0)) if row.drifted]
    assert drifted == ["n0"]


@pytest.mark.parametrize(
    ("name", "y", "prediction"),
    [
        *((m, Y, P) for m in ("accuracy", "log loss", "auc", "f1", "balanced accuracy")),
        *((m, V, W) for m in ("rmse", "r2")),
    ],
)
def test_weights_are_as_good_as_copies(name: str, y: np.ndarray, prediction: np.ndarray) -> None:
    weights = rng.integers(1, 4, len(y))
    copied = np.repeat(np.arange(len(y)), weights)
    weighed = measure(name, y, prediction, Scoring(weights.astype(float)))
    assert weighed.value == pytest.approx(measure(name, y[copied], prediction[copied]).value, rel=1e-9)
    assert weighed.low is not None
    assert weighed.low < weighed.value < (weighed.high or 0.0)


def test_the_best_threshold_is_that_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(150) < 0.2).astype(int)
    p = np.clip(0.25 * y + 0.2 * rng.random(150), 0, 1)
    both = np.stack([1 - p, p], 1)
    result = best_threshold("f1", y, both)
    values = [oracle.f1_score(y, p >= t) for t in np.unique(p)]
    assert oracle.f1_score(y, p >= result) == pytest.approx(max(values), abs=1e-9)
    moved = at_threshold(both, result)
    assert (moved.argmax(1) == (p >= result)).all()
    assert (np.argsort(moved[:, 1], kind="stable") == np.argsort(p, kind="stable")).all()
    assert best_threshold("auc", y, both) == 0.5
