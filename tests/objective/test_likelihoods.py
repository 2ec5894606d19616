"""Losses of counts, amounts, shares, levels and quantiles: networks trained to their end are the classical models."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from torch import Tensor, nn

import luthier
from luthier.engine import Member, Settings, train
from luthier.engine.dense.dense_rows import views
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.objective import (
    best_constant,
    level_probabilities,
    loss_named,
    outputs_for,
    quantile_values,
    shared_outputs,
)
from luthier.optimise import schedule_for
from luthier.rows import Inputs, Rows

RNG = np.random.default_rng(0)
N, F = 300, 2
X = RNG.normal(size=(N, F))
SCORE = X @ np.array([1.2, -0.7])
COUNTS = RNG.poisson(np.exp(0.3 + 0.4 * SCORE) * RNG.gamma(2.0, 0.5, N))
LEVELS = np.digitize(SCORE + RNG.logistic(size=N), [-1.0, 0.5, 2.0])
TARGETS: dict[str, Any] = {
    "fractional": special.expit(SCORE),
    "poisson": COUNTS,
    "negative binomial": COUNTS,
    "negative binomial 0.8": COUNTS,
    "gamma": 0.1 + np.exp(SCORE),
    "tweedie 1.4": COUNTS * 0.7,
    "ordinal": LEVELS,
    "mae": SCORE,
    "huber 0.5": SCORE,
    "quantiles 0.25 0.75": SCORE,
}


def fitted(loss: str, y: Any, steps: int = 1500) -> tuple[DenseSpec, dict[str, Tensor]]:
    """A linear network of this loss, trained on all rows until nothing moves, and its weights by name."""
    targets = torch.as_tensor(y)
    outputs = outputs_for(loss, targets)
    spec = DenseSpec(F, (), outputs, constant_outputs=shared_outputs(loss, outputs))
    part = Rows(Inputs(numbers=torch.from_numpy(X)), targets)
    member = Member(spec, seed=0, learning_rate=0.1, schedule=schedule_for("cosine"))
    outcome = train([member], part, None, Settings(loss, "adam", N, steps, steps, dtype=torch.float64))
    return spec, {name: value[0] for name, value in views(spec, outcome.parameters).items()}


def likeliest(cost: Callable[[Any], float], size: int) -> Any:
    found = optimize.minimize(cost, np.zeros(size), method="BFGS", options={"gtol": 1e-7})
    return found.x


def test_ordered_levels_are_the_proportional_odds_model() -> None:
    """As statsmodels' OrderedModel (logit) parametrises it: slopes, a first threshold, logarithms of steps."""

    def cost(values: Any) -> float:
        cuts = np.concatenate([[-np.inf], values[2] + np.concatenate([[0.0], np.exp(values[3:]).cumsum()]), [np.inf]])
        off = X @ values[:2]
        return -float(np.log(special.expit(cuts[LEVELS + 1] - off) - special.expit(cuts[LEVELS] - off)).mean())

    best = likeliest(cost, F + 3)
    _, named = fitted("ordinal", LEVELS)
    slopes, biases = named["layers.0.weight"].numpy(), named["layers.0.bias"].numpy()
    np.testing.assert_allclose(slopes[0], best[:2], atol=1e-3)
    np.testing.assert_allclose(-biases[0], best[2], atol=1e-3)
    np.testing.assert_allclose(np.log1p(np.exp(biases[1:])), np.exp(best[3:]), atol=1e-3)
    assert not slopes[1:].any()  # the same cuts for all rows


def test_counts_have_one_dispersion_that_is_learnt() -> None:
    def cost(values: Any) -> float:
        mean, r = np.exp(X @ values[:2] + values[2]), np.exp(-values[3])
        return -float(stats.nbinom.logpmf(COUNTS, r, r / (r + mean)).mean())

    best = likeliest(cost, F + 2)
    _, named = fitted("negative binomial", COUNTS)
    np.testing.assert_allclose(named["layers.0.weight"][0], best[:2], atol=1e-3)
    np.testing.assert_allclose(named["layers.0.bias"], best[2:], atol=1e-3)


def test_counts_of_a_known_dispersion_have_the_likeliest_means() -> None:
    def cost(values: Any) -> float:
        r = 1 / 0.8
        return -float(stats.nbinom.logpmf(COUNTS, r, r / (r + np.exp(X @ values[:2] + values[2]))).mean())

    best = likeliest(cost, F + 1)
    _, named = fitted("negative binomial 0.8", COUNTS)
    np.testing.assert_allclose(named["layers.0.weight"][0], best[:2], atol=1e-3)
    np.testing.assert_allclose(named["layers.0.bias"], best[2:], atol=1e-3)


def test_outputs_that_are_constant_stay_so_in_a_module() -> None:
    """The same step by autograd: the module's weights of constant outputs are 0 and keep no gradient."""
    spec = DenseSpec(F, (4,), 3, "tanh", constant_outputs=(1, 2))
    net = build(spec, seed=0)
    (net(torch.randn(5, F)) + 1).square().sum().backward()
    assert not net.layers[-1].weight.grad[1:].any()
    assert net.layers[-1].weight.grad[0].all()
    assert net.layers[-1].bias.grad.all()
    assert torch.equal(net(torch.randn(5, F))[:, 1:], net.layers[-1].bias[1:].expand(5, -1))


@pytest.mark.parametrize("loss", TARGETS)
def test_every_layout_learns_the_same(loss: str) -> None:
    y = torch.as_tensor(TARGETS[loss])
    outputs = outputs_for(loss, y)
    results = []
    for layout in ("stacked", "vmapped", "looped"):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(F, 5), nn.Tanh(), nn.Linear(5, outputs)).double()
        found = luthier.train(net, (X, y), loss=loss, learning_rate=[0.01, 0.03], steps=12, layout=layout)
        assert found.layout == layout
        results.append(found.logits(torch.from_numpy(X)))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-9, atol=1e-9)  # float64, a dozen steps
    rows = loss_named(loss).rows(results[0], y)
    assert (rows.mean(1) < loss_named(loss).rows(torch.zeros_like(results[0]), y).mean(1)).all()


def test_a_deferred_network_has_the_outputs_that_its_loss_asks_for() -> None:
    for loss, wanted in (("poisson", 1), ("negative binomial", 2), ("ordinal", 3), ("quantiles 0.1 0.9", 2)):
        y = TARGETS.get(loss, COUNTS)
        found = luthier.train(DenseSpec.deferred((4,)), (X, y), loss=loss, steps=2)
        assert found.logits(torch.from_numpy(X).float()).shape[2] == wanted


def test_answers_are_in_their_order() -> None:
    Z = torch.linspace(-40, 40, 60, dtype=torch.float64).view(1, 15, 4)
    shares = level_probabilities(Z)
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(1, 15, dtype=torch.float64))
    assert (quantile_values(Z, 1).diff() >= 0).all()


def test_a_constant_weighs_rows() -> None:
    """A row that counts three times is a row that is there three times."""
    y, weights = torch.tensor([0, 1, 4]), torch.tensor([1.0, 3.0, 1.0])
    for loss in ("mse", "mae", "huber", "poisson", "negative binomial", "ordinal", "quantiles", "softmax"):
        repeated = best_constant(loss, y.repeat_interleave(weights.long()), outputs=outputs_for(loss, y))
        torch.testing.assert_close(best_constant(loss, y, weights), repeated, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("poisson", [1, -1, 2], "below 0"),
        ("tweedie", [1.0, -0.5, 2.0], "below 0"),
        ("gamma", [1.0, 0.0, 2.0], "not above 0"),
        ("fractional", [0.5, 1.5, 0.2], "not between 0 and 1"),
        ("ordinal", [0, 1, -1], "not a class"),
        ("ordinal", [0.0, 0.5, 1.0], "not a class"),
        ("negative binomial", [1, 2, 3], "2 outputs"),
        ("negative binomial 0", [1, 2, 3], "must lie between"),
        ("negative binomial 1e9", [1, 2, 3], "must lie between"),
        ("tweedie 2.5", [1.0, 2.0, 3.0], "between 1 and 2"),
        ("quantiles 0.9 0.1", [1.0, 2.0, 3.0], "must rise"),
        ("huber 0", [1.0, 2.0, 3.0], "above 0"),
        ("huber nan", [1.0, 2.0, 3.0], "not one of"),
        ("tweedie 1.2 1.3", [1.0, 2.0, 3.0], "one number"),
        ("poison", [1, 2, 3], "poisson"),
    ],
)
def test_targets_and_names_that_do_not_fit_are_said(loss: str, y: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        luthier.train(nn.Linear(1, 1), (torch.zeros(3, 1), torch.tensor(y)), loss=loss, steps=1)


def test_levels_are_not_mixed() -> None:
    with pytest.raises(InputError, match="leave out mixup"):
        luthier.train(DenseSpec.deferred((4,)), (X, LEVELS), loss="ordinal", steps=2, mixup=0.2)


def test_a_network_is_watched_and_tuned_under_them() -> None:
    net = nn.Sequential(nn.Linear(F, 8), nn.Tanh(), nn.Linear(8, 1))
    rows = torch.from_numpy(X).float()
    result = luthier.diagnose(net, (rows, torch.as_tensor(COUNTS)), loss="poisson", steps=100)
    assert sum(result.trace.losses[-20:]) < sum(result.trace.losses[:20])
    found = luthier.tune(
        DenseSpec.deferred((4,)), (rows, torch.as_tensor(LEVELS)), {"learning_rate": (1e-3, 1e-1)},
        loss="ordinal", trials=2, epochs=1, confirm=2, workers=1,
    )  # fmt: skip
    assert found.best


def test_a_spec_says_which_outputs_are_constant() -> None:
    spec = DenseSpec(2, (3,), 3, constant_outputs=(2,))
    assert DenseSpec.from_json(spec.to_json()) == spec
    assert "constant_outputs" not in dataclasses.replace(spec, constant_outputs=()).to_json()
    with pytest.raises(InputError, match="3 outputs"):
        DenseSpec(2, (3,), 3, constant_outputs=(3,))
