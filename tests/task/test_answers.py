"""Answers are the best for their metrics: against a search over all values, closed forms, and written laws."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.answers import drawn, measured

from luthier.assess import score
from luthier.data.target_transform import TargetTransform
from luthier.errors import InputError
from luthier.objective import metric_named
from luthier.task import (
    ClassAnswer,
    ResidualLaw,
    answer_for,
    answer_from,
    answer_named,
    fitted_classes,
    fitted_decision,
    of_costs,
    of_cuts,
    residual_atoms,
    with_answer,
)

RNG = np.random.default_rng(3)
METRICS_OF_VALUES = ("mse", "mae", "mape", "smape", "msle", "pinball 0.8", "poisson deviance", "median absolute error")


@pytest.mark.parametrize("metric", METRICS_OF_VALUES)
@pytest.mark.parametrize("count", [5, 40])
def test_no_other_value_has_a_better_score(metric: str, count: int) -> None:
    values = RNG.lognormal(0.5, 1.0, count)
    answer = float(answer_named(answer_for(metric))(values[None])[0])
    tried = np.concatenate([np.linspace(values.min(), values.max(), 2000), values, (values[1:] + values[:-1]) / 2])
    best = min(score(metric, values, np.full(count, value)) for value in tried)
    given = score(metric, values, np.full(count, answer))
    if metric == "median absolute error":  # the middle of half the values: their median differs by half a step
        assert given <= best + (values.max() - values.min()) / count
    else:  # the grid of the symmetric error ends at a 4000th of the range, others are exact but for rounding
        assert given <= best * (1 + (1e-3 if metric == "smape" else 1e-9))


def test_answers_of_a_log_normal_law_are_its_closed_forms() -> None:
    deviation, mean = 0.7, np.array([-1.0, 0.0, 2.0])
    residuals = deviation * RNG.normal(size=200_000)
    transform = TargetTransform(mean=0.5, std=2.0, log=True, lowest=-3.0, highest=3.0)
    atoms, middle = residual_atoms(residuals), np.exp(0.5 + 2 * mean)
    known = {
        "median": middle,
        "relative median": middle * np.exp(-(deviation**2)),  # 1/y times the density is that of a smaller mean
        "q0.9": middle * np.exp(1.2815516 * deviation),
    }
    for answer, expected in known.items():
        found = with_answer(transform, ResidualLaw.alike(atoms), answer).answer(mean)
        np.testing.assert_allclose(found, expected, rtol=0.01, err_msg=answer)  # 400 atoms of 200,000 draws


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("answer", ["mean", "median", "relative median", "mean of logarithms", "least symmetric error"])
def test_intervals_find_back_from_an_answer(log: bool, answer: str) -> None:
    transform = TargetTransform(mean=1.0, std=0.5, log=log, smear=1.3, lowest=-2.0, highest=3.0)
    found = with_answer(transform, ResidualLaw.alike(0.3 * np.sort(RNG.gumbel(size=300))), answer)
    outputs = np.linspace(-1.5, 2.5, 50)
    np.testing.assert_allclose(found.centre(found.answer(outputs)), transform.modelled(outputs), atol=1e-9)
    import torch

    same = found.answer(torch.from_numpy(outputs)[:, None])
    np.testing.assert_allclose(same[:, 0].numpy(), found.answer(outputs), rtol=1e-12)


def test_the_mean_stays_what_it_was() -> None:
    transform = TargetTransform(mean=1.0, std=0.5, log=True, smear=1.3)
    assert with_answer(transform, ResidualLaw.alike(np.array([0.1, 2.0])), "mean") == transform
    outputs, targets = RNG.normal(size=400), RNG.normal(size=400)
    smeared = answer_from(TargetTransform(log=True), outputs, targets, "mean")
    assert smeared.smear == pytest.approx(np.exp(targets - outputs).mean())


def test_unknown_answers_are_refused() -> None:
    for name in ("q1.2", "q0", "maximum"):
        with pytest.raises(InputError, match="mean, median"):
            answer_named(name)


def test_every_decision_is_linear() -> None:
    P = RNG.dirichlet([0.5, 1.0, 2.0, 0.7], 500)
    costs = RNG.random((4, 4)) * (1 - np.eye(4))
    np.testing.assert_array_equal(of_costs(costs).classes(P), (P @ costs).argmin(1))
    cuts = np.array([0.3, 1.9, 2.2])
    np.testing.assert_array_equal(of_cuts(cuts).classes(P), np.searchsorted(cuts, P @ np.arange(4), side="right"))
    for pair in ([[0.0, 1.0], [7.0, 0.0]], [[-1.0, 3.0], [4.0, 1.0]]):
        decision, two = of_costs(np.array(pair)), np.stack([1 - P[:, 0], P[:, 0]], 1)
        np.testing.assert_array_equal(decision.classes(two), two[:, 1] >= decision.threshold)


@pytest.mark.parametrize("metric", ["f1 macro", "kappa", "mcc", "quadratic kappa", "balanced accuracy"])
def test_a_decision_is_better_on_other_rows(metric: str) -> None:
    y, P = drawn("three classes, one of them rare", 6000, 5)
    decision = fitted_classes(metric, y[:3000], P[:3000], np.ones(3000))
    taken = np.eye(3)[decision.classes(P[3000:])]
    assert score(metric, y[3000:], taken) > score(metric, y[3000:], P[3000:]) + 0.02
    assert fitted_decision("accuracy", y, P) is None
    assert fitted_decision("log loss", y, P) is None


def test_balanced_accuracy_divides_by_the_shares() -> None:
    y, P = np.array([0, 0, 0, 1, 2]), RNG.dirichlet(np.ones(3), 5)
    decision = fitted_classes("balanced accuracy", y, P, np.array([1.0, 1, 1, 1, 2]))
    np.testing.assert_allclose(np.diag(decision.matrix), 1 / np.array([3, 1, 2]) * 6)
    assert isinstance(decision, ClassAnswer)


def test_answers_lose_little_given_the_true_law_and_the_usual_one_much() -> None:
    result = measured(20_000)
    assert len(result) > 15
    for one in result:
        absolute = one.metric != "cost" and metric_named(one.metric).larger_is_better
        # 20,000 draws, of which a tenth fits decisions, in place of 200,000: a share more for chance.
        assert one.ours <= (0.02 if absolute else 0.015), one
        assert one.usual >= 0.03, one


@pytest.mark.parametrize("answer", ["median", "relative median"])
def test_bounds_that_leave_out_zero_move_no_answer(answer: str) -> None:
    """Baselines' predictions are logarithms as they are, far from 0: a median is still near the prediction."""
    g = np.random.default_rng(0)
    outputs = np.log(g.uniform(5e4, 4e5, 500))
    modelled = outputs + 0.1 * g.normal(size=500)
    transform = TargetTransform(log=True, lowest=float(outputs.min()), highest=float(outputs.max()))
    told = answer_from(transform, outputs, modelled, answer).answer(outputs)
    np.testing.assert_allclose(told, np.exp(outputs), rtol=0.05)
