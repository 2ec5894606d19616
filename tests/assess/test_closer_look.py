"""Sets hold what they promise, curves are followed rightly, thresholds cost least, groups are told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.inspection import permutation_importance as oracle_importance
from sklearn.linear_model import LinearRegression

from luthier.assess import (
    Costs,
    Familiarity,
    fit_power_law,
    more_rows,
    permutation_importance,
    prediction_sets,
    set_figures,
    set_threshold,
    subgroup_scores,
    worst_cases,
)
from luthier.assess.distribution_shift import holm, stability_index, told_apart
from luthier.errors import InputError
from luthier.runs.checking import judge_population


def classes_of(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are off, and labels drawn from others: the promise does not need calibration."""
    logits = rng.normal(size=(rows, 5)) * 2
    truth = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = (truth.cumsum(1) > rng.random((rows, 1))).argmax(1)
    off = np.exp(logits * 2.5)
    return off / off.sum(1, keepdims=True), y


@pytest.mark.parametrize("nominal", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_they_say(nominal: float) -> None:
    rng = np.random.default_rng(0)
    result = []
    for _ in range(60):
        p, y = classes_of(rng, 400)
        threshold = set_threshold(p[:200], y[:200], nominal)
        result.append(set_figures(p[200:], y[200:], threshold, nominal)["coverage"])
    mean, error = np.mean(result), np.std(result, ddof=1) / np.sqrt(len(result))
    assert nominal - 3 * error <= mean <= nominal + 0.01 + 3 * error


def test_a_set_is_never_empty() -> None:
    p = np.array([[0.4, 0.3, 0.3], [0.98, 0.01, 0.01]])
    assert prediction_sets(p, 0.9).sum(1).tolist() == [1, 1]
    assert prediction_sets(p, 0.0).all()


def test_rows_unlike_training_are_told() -> None:
    rng = np.random.default_rng(1)
    mix = rng.normal(size=(6, 6))
    training, validation, fresh = (rng.normal(size=(n, 6)) @ mix for n in (2000, 800, 2000))
    result = Familiarity.fit(training, validation)
    assert result.unlike(fresh).mean() < 0.02
    assert result.unlike(fresh + 8 * np.abs(mix).sum(0)).all()
    # within each column's range, but against the correlation of all
    twisted = training[rng.permuted(np.tile(np.arange(2000), (6, 1)), axis=1).T, np.arange(6)]
    assert result.unlike(twisted).mean() > 5 * result.unlike(fresh).mean()
    alone = Familiarity.fit(np.ones((50, 3)), np.ones((20, 3)))
    assert not alone.unlike(np.ones((5, 3))).any()


def test_rows_unlike_training_among_more_columns_than_rows() -> None:
    """By the products of rows the distances are those of the products of columns, and there is a bound on both."""
    rng = np.random.default_rng(2)
    training, validation, fresh = (rng.normal(size=(n, 1100)) @ np.diag(np.linspace(1, 2, 1100)) for n in (90, 60, 30))
    centred = training - training.mean(0)
    inverse = np.linalg.pinv(np.cov(centred, rowvar=False), rcond=1e-3, hermitian=True)
    away = fresh - training.mean(0)
    result = Familiarity.fit(training, validation)
    np.testing.assert_allclose(
        result.distance(fresh), np.sqrt(np.einsum("nf,fg,ng->n", away, inverse, away)), rtol=1e-9
    )
    many = Familiarity.fit(np.tile(training, (14, 1)), validation)
    assert many.whitening.shape[1] <= 256


@pytest.mark.parametrize("exponent", [0.3, 0.7, 1.2])
def test_a_power_law_is_found_again(exponent: float) -> None:
    sizes = [100, 200, 400, 800]
    law = fit_power_law(sizes, [0.1 + 3 * n**-exponent for n in sizes])
    assert law.at(1600) == pytest.approx(0.1 + 3 * 1600**-exponent, rel=0.01)


def test_whether_more_rows_would_help() -> None:
    """The documents' accuracies over training sizes still rise: more would help; a flat curve says no (S1-109)."""
    sizes = [1000, 5000, 20000, 50000]
    errors = [1 - x / 100 for x in (88.85, 93.24, 95.85, 95.97)]
    rng = np.random.default_rng(0)
    rising = more_rows(sizes, [[e + 0.0005 * rng.normal() for _ in range(3)] for e in (0.5, 0.35, 0.25, 0.2)])
    assert rising["helps"]
    assert rising["low"] <= rising["gain"] <= rising["high"]
    flat = more_rows(sizes, [[0.3 + 0.002 * rng.normal() for _ in range(3)] for _ in sizes])
    assert not flat["helps"]
    law = fit_power_law(sizes, errors)
    assert law.at(50000) == pytest.approx(errors[-1], abs=0.006)


def test_thresholds_cost_least() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(4000)
    y = (rng.random(4000) < p).astype(int)
    for text in ("1:1", "1:5", "4:1"):
        costs = Costs.parse(text)
        threshold, cost = costs.best(p, y)
        tried = [costs.of(p, y, at) for at in np.linspace(0, 1, 201)]
        assert cost <= min(tried) + 1e-12
        assert threshold == pytest.approx(costs.threshold, abs=0.06)
        assert costs.of(p, y, threshold) == pytest.approx(cost)


@pytest.mark.parametrize("text", ["", "5", "1:0", "a:b", "1:2:3", "-1:2"])
def test_costs_that_are_none(text: str) -> None:
    with pytest.raises(InputError):
        Costs.parse(text)


def test_importance_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(2000, 3))
    y = 3 * X[:, 0] + X[:, 1] + 0.1 * rng.normal(size=2000)
    model = LinearRegression().fit(X, y)
    groups = {name: ([i], []) for i, name in enumerate("abc")}
    codes = torch.zeros(2000, 0, dtype=torch.int64)
    result = permutation_importance(
        lambda x, c: model.predict(x.numpy()), torch.from_numpy(X), codes, y, "rmse", groups
    )
    known = oracle_importance(model, X, y, scoring="neg_root_mean_squared_error", n_repeats=5, random_state=0)
    assert [row["column"] for row in result] == ["a", "b", "c"]
    for row, mean in zip(result, known.importances_mean, strict=True):
        assert row["drop"] == pytest.approx(mean, rel=0.05, abs=0.005)


def test_a_group_that_fares_worse_is_found_and_others_are_not() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for trial in range(40):
        rows = 800
        columns = {name: rng.choice(["a", "b", "c"], rows) for name in ("x", "y", "z")}
        y = rng.integers(0, 2, rows)
        right = rng.random(rows) < 0.9
        if trial == 0:
            right[columns["x"] == "b"] = rng.random((columns["x"] == "b").sum()) < 0.7
        p = np.stack([1 - y, y], 1) * np.where(right, 1, -1)[:, None]
        result = subgroup_scores(columns, "binary", y, p.astype(float), "accuracy")
        worse = [(row["column"], row["value"]) for row in result if row["worse"]]
        if trial == 0:
            assert worse[0] == ("x", "b")
        else:
            alarms += bool(worse)
    assert alarms <= 5  # 5 % of 39, and chance


def test_worst_cases_name_their_rows() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01]])
    result = worst_cases(np.array([0, 0, 1]), p, "binary", np.array([10, 20, 30]))
    assert [row["row"] for row in result] == [30, 20]
    values = worst_cases(np.array([1.0, 2.0]), np.array([1.5, 7.0]), "regression", np.array([4, 5]))
    assert [row["row"] for row in values] == [5, 4]


def test_holm_is_scipys() -> None:
    chances = [0.001, 0.02, 0.03, 0.4]
    ordered = sorted(chances)
    wanted, largest = [], 0.0
    for i, p in enumerate(ordered):
        largest = max(largest, (len(ordered) - i) * p)
        wanted.append(min(1.0, largest))
    assert holm(chances) == pytest.approx(wanted)


def test_the_stability_index_has_its_usual_sizes() -> None:
    rng = np.random.default_rng(5)
    before = rng.normal(size=20_000)
    assert stability_index(before, rng.normal(size=20_000)) < 0.01
    assert 0.1 < stability_index(before, rng.normal(0.4, 1, 20_000)) < 0.25
    assert stability_index(before, rng.normal(1.0, 1, 20_000)) > 0.25


def test_trees_tell_what_columns_alone_do_not() -> None:
    """Each column as before, their correlation turned round: only all columns together show it."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(800, 1)), rng.normal(size=(800, 1))
    before = np.hstack([a, a + 0.3 * rng.normal(size=(800, 1))])
    now = np.hstack([b, -b + 0.3 * rng.normal(size=(800, 1))])
    result, same = told_apart(before, now), told_apart(before[:400], before[400:])
    assert result is not None
    assert same is not None
    assert result["low"] > 0.8
    assert same["low"] <= 0.55
    assert told_apart(before[:20], now) is None


def test_the_verdict_on_new_rows() -> None:
    columns = [{"column": "a", "drifted": True}, {"column": "b", "drifted": False}]
    worse, same = ({"value": v, "low": v - 0.02, "high": v + 0.02} for v in (-0.1, 0.0))
    assert judge_population(columns, None, worse)[0] == "act"
    assert judge_population(columns, None, same)[0] == "watch"
    assert judge_population(columns[1:], {"auc": 0.7, "low": 0.65, "high": 0.75}, same)[0] == "watch"
    assert judge_population(columns[1:], {"auc": 0.95, "low": 0.93, "high": 0.97}, same)[0] == "act"
    assert judge_population(columns[1:], {"auc": 0.5, "low": 0.45, "high": 0.55}, same) == (
        "fine",
        "the new rows look like the training rows",
    )
