"""Metrics of one's own: a function or a scikit-learn scorer, asked by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as sk

import luthier
from luthier.assess import Scoring, measure, paired_difference, score
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.errors import ConfigError, InputError
from luthier.objective.metrics import OWN
from luthier.objective.own_metrics import own_metric
from luthier.request import FitConfig
from luthier.runs.belonging import require_metric
from luthier.task import answer_from, chosen_answer, fitted_classes, require_metrics

RNG = np.random.default_rng(0)
Y, GUESSES, WEIGHTS = RNG.normal(size=200), RNG.normal(size=200), RNG.random(200) + 0.1
NUMBERS, CLASSES = Task("regression", "y"), Task("multiclass", "y", ("a", "b", "c"))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    OWN.clear()


def waste(y: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
    """What is predicted too much costs five times what is predicted too little."""
    off = prediction - y
    return float(np.average(np.where(off > 0, 5 * off, -off), weights=weights))


def test_a_function_is_a_metric_with_an_interval() -> None:
    name = own_metric(waste, greater_is_better=False)
    assert FitConfig.of(metric=[name, "mae"]).metric == "own waste,mae"
    assert score(name, Y, GUESSES, WEIGHTS) == pytest.approx(waste(Y, GUESSES, WEIGHTS), rel=1e-12)
    found = measure(name, Y, GUESSES, Scoring(WEIGHTS))
    assert found.low is not None
    assert found.low < found.value < found.high  # type: ignore[operator]
    assert paired_difference(name, Y, Y, GUESSES).value > 0  # less is better
    require_metrics(name, NUMBERS)


def test_without_weights_rows_are_drawn_again() -> None:
    name = own_metric(lambda y, p: float(np.abs(y - p).mean()), greater_is_better=False)
    counts = RNG.integers(0, 3, 200).astype(float)
    expected = sk.mean_absolute_error(Y, GUESSES, sample_weight=counts)
    # As many rows as are there, each by its weight: off by less than a row's share of the largest error.
    assert score(name, Y, GUESSES, counts) == pytest.approx(expected, abs=np.abs(Y - GUESSES).max() / 100)
    assert score(name, Y, GUESSES, np.full(200, 3.0)) == pytest.approx(sk.mean_absolute_error(Y, GUESSES))


@pytest.mark.parametrize("scorer", ["neg_mean_absolute_error", "roc_auc", "balanced_accuracy", "neg_log_loss"])
def test_scorers_say_themselves_what_they_need(scorer: str) -> None:
    name = own_metric(sk.get_scorer(scorer))
    if scorer == "neg_mean_absolute_error":
        assert not OWN[name].larger_is_better
        assert score(name, Y, GUESSES, WEIGHTS) == pytest.approx(score("mae", Y, GUESSES, WEIGHTS))
        return
    y, p = (Y > 0).astype(int), RNG.dirichlet([1, 1], 200)
    same = {"roc_auc": "auc", "balanced_accuracy": "balanced accuracy", "neg_log_loss": "log loss"}[scorer]
    assert score(name, y, p, WEIGHTS) == pytest.approx(score(same, y, p, WEIGHTS))
    if scorer != "balanced_accuracy":  # probabilities
        with pytest.raises(ConfigError, match="not one of"):
            require_metrics(name, NUMBERS)


def test_numbers_get_the_best_answer_out_of_fold() -> None:
    name = own_metric(waste, greater_is_better=False)
    outputs, targets = RNG.normal(size=2000), RNG.normal(size=2000)
    targets = outputs + np.exp(targets)  # skewed: the mean is too much
    answer = chosen_answer(name, TargetTransform(), outputs, targets)
    told = {
        one: score(name, targets, answer_from(TargetTransform(), outputs, targets, one).answer(outputs))
        for one in ("mean", "median", answer)
    }
    assert told[answer] <= min(told.values())
    assert answer != "mean"


def test_classes_are_decided_for_the_metric() -> None:
    def seldom_missed(y: np.ndarray, taken: np.ndarray) -> float:
        return float(np.where(y == 2, 10 * (taken != 2), taken != y).mean())

    name = own_metric(seldom_missed, greater_is_better=False)
    P = RNG.dirichlet([4, 2, 1], 3000)
    y = (RNG.random((3000, 1)) > P.cumsum(1)).sum(1)
    decided = np.eye(3)[fitted_classes(name, y[:1500], P[:1500]).classes(P[1500:])]
    assert score(name, y[1500:], decided) < 0.8 * score(name, y[1500:], P[1500:])


def test_what_cannot_be_asked_is_said() -> None:
    for given, better in ((waste, None), (3, True)):
        with pytest.raises(InputError, match="which way is better"):
            own_metric(given, greater_is_better=better)
    with pytest.raises(InputError, match="answer or probabilities"):
        own_metric(waste, greater_is_better=True, needs="classes")
    unknown: Any = waste
    with pytest.raises(ConfigError, match="own_metric"):
        FitConfig.of(metric=unknown)
    with pytest.raises(InputError, match="own_metric"):
        require_metric("own gone", CLASSES)
    broken = own_metric(lambda y, p: 1 / 0, greater_is_better=True)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        score(broken, Y, GUESSES)


def test_a_run_records_the_name_and_later_commands_ask_for_it(tmp_path: Any) -> None:
    name = own_metric(waste, greater_is_better=False)
    table = pl.DataFrame({"a": GUESSES, "y": GUESSES + np.exp(Y)})
    result = luthier.fit(table, target="y", metric=name, budget="40steps", run=tmp_path / "run")
    assert result.scores["metric"] == "own waste"
    assert result.model.answer != "mean"
    OWN.clear()
    with pytest.raises((InputError, ConfigError), match="own_metric"):
        luthier.test(tmp_path / "run", again=True)
    own_metric(waste, greater_is_better=False)
    again = luthier.test(tmp_path / "run", again=True)
    assert again.scores["readings"][-1]["headline"]["value"] == pytest.approx(result.scores["headline"]["value"])
