"""A row of weight 2 among rows of 1 is two copies of it kept together, for everything that looks at targets.

Both are worked out in float64, on the same predictions: they differ by the order of sums alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from luthier.assess import (
    Costs,
    Profile,
    Scoring,
    best_threshold,
    drift,
    figures_of_sets,
    fit_temperature,
    half_width,
    measure,
    permutation_importance,
    prediction_sets,
    reliability,
    score,
    set_threshold,
    smearing,
    told_apart,
)
from luthier.assess.jackknife import Units
from luthier.assess.subgroups import subgroup_scores
from luthier.data import centre_of, share_explained
from luthier.data.typed_columns.measured_target import target_facts
from luthier.objective import LOSSES, METRICS, mean_gradient, mean_loss
from luthier.rows import Inputs
from luthier.statistics.bags import greedy_weights

N, C, EQUAL = 240, 3, 1e-12
RNG = np.random.default_rng(11)
TWICE = np.repeat(np.arange(N), COPIES := 1 + (RNG.random(N) < 0.4))  # the rows and their copies
WEIGHTS = COPIES / COPIES.mean()  # mean 1, as a run scales them
Y = {2: RNG.integers(0, 2, N), 3: RNG.integers(0, 3, N)}
P = {k: RNG.dirichlet(np.ones(k), N) for k in (2, 3)}
VALUES, GUESSES = RNG.normal(size=N), RNG.normal(size=N)
HAS, SHARES = RNG.integers(0, 2, (N, 4)), RNG.random((N, 4))  # labels of rows


def close(weighed: Any, doubled: Any) -> None:
    np.testing.assert_allclose(weighed, doubled, rtol=EQUAL, atol=EQUAL)


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if not loss.couples])
def test_loss_and_gradient(name: str) -> None:
    loss = LOSSES[name]
    outputs = 1 if name in ("binary", "mse", "mae", "huber") else 2 if name == "negative binomial" else C
    Z = torch.randn(1, N, outputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    Z = Z.sigmoid() if name == "negative_log" else Z
    y: Any = torch.from_numpy(Y[3] if outputs == C else Y[2].astype(float))
    two, weights = torch.from_numpy(TWICE), torch.from_numpy(WEIGHTS)
    close(mean_loss(loss.rows(Z, y), weights), mean_loss(loss.rows(Z[:, two], y[two]), None))
    once = mean_gradient(loss.residual(Z, y).clone(), weights)
    copies = mean_gradient(loss.residual(Z[:, two], y[two]).clone(), None)
    close(once, torch.zeros_like(Z).index_add(1, two, copies))


@pytest.mark.parametrize("name", METRICS)
def test_score(name: str) -> None:
    kinds = METRICS[name].kinds
    guesses = np.abs(GUESSES)[:, None] + np.arange(3) if METRICS[name].of_law else np.abs(GUESSES)
    cases = (
        [(np.abs(VALUES), guesses)]
        if "regression" in kinds
        else [(Y[k], P[k]) for k in (2, 3) if k == 2 or len(kinds) > 1]
    )
    if "labels" in kinds:
        cases = [*(cases if len(kinds) > 1 else []), (HAS, SHARES)]
    for y, prediction in cases:
        close(score(name, y, prediction, WEIGHTS), score(name, y[TWICE], prediction[TWICE]))
        weighed, doubled = (
            measure(name, y, prediction, Scoring(WEIGHTS)),
            measure(name, y[TWICE], prediction[TWICE], Scoring(np.ones(len(TWICE)), units=Units("rows", TWICE))),
        )
        assert weighed.low is not None
        close((weighed.low, weighed.high), (doubled.low, doubled.high))


def test_centre_log_and_smearing() -> None:
    once, twice = torch.from_numpy(VALUES), torch.from_numpy(VALUES[TWICE])
    close(centre_of(once, torch.from_numpy(WEIGHTS)), centre_of(twice))
    import polars as pl

    weighed, doubled = (
        target_facts(pl.Series(np.exp(VALUES)), weights=WEIGHTS),
        target_facts(pl.Series(np.exp(VALUES[TWICE]))),
    )
    close((weighed.skew, weighed.log_skew), (doubled.skew, doubled.log_skew))
    close(smearing(VALUES, WEIGHTS), smearing(VALUES[TWICE]))


def test_temperature_thresholds_and_quantiles() -> None:
    y, p = Y[2], P[2]
    # The search of the temperature ends within 1e-4: that it takes the same way to 1e-9 is all that can be asked.
    np.testing.assert_allclose(fit_temperature(p, y, WEIGHTS), fit_temperature(p[TWICE], y[TWICE]), rtol=1e-9)
    for costs in (Costs(1, 5), Costs(3, 1)):
        close(costs.best(p[:, 1], y == 1, WEIGHTS), costs.best(p[TWICE, 1], y[TWICE] == 1))
        close(costs.of(p[:, 1], y == 1, 0.3, WEIGHTS), costs.of(p[TWICE, 1], y[TWICE] == 1, 0.3))
    for metric in ("f1", "accuracy", "balanced accuracy"):
        at = [best_threshold(metric, y, p, WEIGHTS), best_threshold(metric, y[TWICE], p[TWICE])]
        taken = [score(metric, y, np.eye(2)[(p[:, 1] >= t).astype(int)], WEIGHTS) for t in at]
        close(*taken) if metric else None
    close(half_width(VALUES, weights=WEIGHTS), half_width(VALUES[TWICE], units=N))
    for k in (2, 3):
        close(set_threshold(P[k], Y[k], weights=WEIGHTS), set_threshold(P[k][TWICE], Y[k][TWICE], units=N))


def test_what_the_report_says() -> None:
    y, p = Y[3], P[3]
    close(reliability(p, y, WEIGHTS).ece, reliability(p[TWICE], y[TWICE]).ece)
    inside = prediction_sets(p, 0.2)
    once, twice = figures_of_sets(inside, y, 0.9, WEIGHTS), figures_of_sets(inside[TWICE], y[TWICE], 0.9)
    close(*([one.coverage, one.mean_size, one.sure] for one in (once, twice)))
    labels = np.where(VALUES > 0, "high", "low")
    once_, twice_ = (
        {row.value: row.score for row in subgroup_scores({"a": a}, "multiclass", t, q, "accuracy", weights=w)}
        for a, t, q, w in ((labels, y, p, WEIGHTS), (labels[TWICE], y[TWICE], p[TWICE], None))
    )
    assert once_ == pytest.approx(twice_, rel=EQUAL)
    assert prediction_sets(p, 0.2).any()


def test_the_greedy_ensemble() -> None:
    outputs = torch.from_numpy(RNG.dirichlet(np.ones(C), (5, N)))
    y, two = torch.from_numpy(Y[3]), torch.from_numpy(TWICE)
    weighed = greedy_weights(outputs, y, "multiclass", weights=torch.from_numpy(WEIGHTS))
    close(weighed, greedy_weights(outputs[:, two], y[two], "multiclass"))


def test_importance_counts_by_weight() -> None:
    """Rows of a vanishing weight do not count: the column that matters for them alone does not matter."""
    X = torch.from_numpy(RNG.normal(size=(N, 2)))
    light = np.arange(N) % 2 == 1
    y = np.where(light, X[:, 1].numpy(), X[:, 0].numpy())

    def predict(x: Inputs) -> np.ndarray:
        return np.where(light, x.numbers[:, 1].numpy(), x.numbers[:, 0].numpy())

    groups = {"a": {"numbers": [0]}, "b": {"numbers": [1]}}
    weights = np.where(light, 1e-9, 1.0)
    result = permutation_importance(predict, Inputs(numbers=X), y, "rmse", groups, Scoring(weights))
    assert [row.column for row in result] == ["a", "b"]
    assert result[1].drop < 1e-3 < result[0].drop


def test_drift_and_leaks() -> None:
    codes = Y[3]
    weighed = Profile.of({"a": VALUES}, {"k": codes}, {"k": 3}, WEIGHTS)
    doubled = Profile.of({"a": VALUES[TWICE]}, {"k": codes[TWICE]}, {"k": 3})
    close(np.array(weighed.codes["k"]) * COPIES.mean(), doubled.codes["k"])
    middle = [np.quantile(profile.numbers["a"], (0.1, 0.5, 0.9)) for profile in (weighed, doubled)]
    np.testing.assert_allclose(*middle, atol=0.05)  # a thousand quantiles beside 340 values
    new = RNG.normal(1, 1, N)
    rows = [
        drift(doubled, {"a": new}, {"k": codes}, weights=WEIGHTS),
        drift(doubled, {"a": new[TWICE]}, {"k": codes[TWICE]}),
    ]
    close(*([row.value for row in found] for found in rows))
    x = np.repeat(VALUES, 5)
    y, w, two = (x > 0).astype(int), np.repeat(WEIGHTS, 5), np.repeat(TWICE, 5) * 5
    assert share_explained(x, y, classes=True, weights=w) == pytest.approx(
        share_explained(x[two], y[two], classes=True) or 0, abs=1e-9
    )


def test_trees_separate_rows_by_their_weights() -> None:
    """Rows that all but vanish do not set the two sides apart."""
    before, now = RNG.normal(size=(400, 2)), RNG.normal(size=(400, 2))
    far = np.arange(400) % 2 == 0
    now[far] += 20
    alike = told_apart(before, now, weights=(None, np.where(far, 1e-6, 1.0)))
    apart = told_apart(before, now)
    assert alike is not None
    assert apart is not None
    assert alike.auc < 0.65
    assert apart.auc > 0.7


def test_a_greedy_ensemble_of_many_classes_looks_at_the_targets_alone() -> None:
    """The weights are those of a choice over all classes' probabilities, to the last bit."""
    outputs, y = torch.from_numpy(RNG.dirichlet(np.ones(9), (4, 60))), torch.from_numpy(RNG.integers(0, 9, 60))
    total, counts = torch.zeros_like(outputs[0]), np.zeros(4)
    for done in range(12):
        tried = (total + outputs) / (done + 1)
        losses = -tried.gather(-1, y.expand(4, -1).unsqueeze(-1)).squeeze(-1).clamp_min(1e-12).log()
        best = int(losses.mean(-1).argmin())
        total, counts[best] = total + outputs[best], counts[best] + 1
    np.testing.assert_array_equal(greedy_weights(outputs, y, "multiclass", rounds=12), counts / 12)
