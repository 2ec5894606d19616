"""Rules under constant gradients and on saddles: the documents' numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from luthier.optimise import RULES
from luthier.optimise.rules import FUSED_FROM
from luthier.seeds import torch_generator
from luthier.testing.rule_contract import MEMBERS, SIZE, STEPS, first_parameters, gradient, stepped


@pytest.fixture
def start() -> Tensor:
    return first_parameters()


def test_nesterovs_forms_differ_once_the_rate_moves(start: Tensor) -> None:
    """Inside the velocity (S2-17) the rate acts on what is to come; outside (S2-18) on the whole step."""
    rates = lambda step: 1.0 if step < 50 else 0.1  # noqa: E731
    result = stepped(RULES["nesterov-velocity"], start, rates=rates)
    assert not torch.allclose(result, stepped(RULES["nesterov"], start, rates=rates), atol=1e-9)
    for k, m in enumerate(MEMBERS):
        x, v = start[k].numpy().copy(), np.zeros(SIZE)
        for step in range(1, STEPS + 1):
            old = v
            v = m["momentum"] * v - m["rate"] * rates(step) * gradient(torch.from_numpy(x), step).numpy()
            x = x - m["momentum"] * old + (1 + m["momentum"]) * v
        np.testing.assert_allclose(result[k].numpy(), x, rtol=1e-12, atol=1e-12)


def constant(rule: str, steps: int, **hyper: float) -> list[float]:
    """The sizes of the steps under a constant gradient of 1, in units of the rate."""
    P, G = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    given = {"rate": 1.0, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 0.0, "rho": 0.9, **hyper}
    columns = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in given.items()}
    state, indices = RULES[rule].init(P), [0.0]
    for step in range(1, steps + 1):
        RULES[rule].update(P, G, state, columns, step)
        indices.append(P.item())
    return [-float(d) for d in np.diff(indices)]


def test_the_documents_numbers_under_a_constant_gradient() -> None:
    np.testing.assert_allclose(constant("adagrad", 9), 1 / np.sqrt(np.arange(1, 10)))  # S2-20
    assert constant("rmsprop", 1)[0] == pytest.approx(3.162, abs=1e-3)  # S2-21: lr / sqrt(1 - decay)
    assert constant("rmsprop", 1, rho=0.99)[0] == pytest.approx(10)
    assert constant("rmsprop", 400)[-1] == pytest.approx(1)
    uncorrected = constant("adam-uncorrected", 40)  # S2-23
    assert uncorrected[0] == pytest.approx(3.162, abs=1e-3)
    assert max(uncorrected) == pytest.approx(6.57, abs=0.005)
    assert int(np.argmax(uncorrected)) + 1 == 12
    np.testing.assert_allclose(constant("adam", 40), 1.0)  # S2-24
    # Without its momentum Adam is RMSProp with correction (S2-25).
    np.testing.assert_allclose(constant("adam", 20, beta1=0.0), 1.0)


@pytest.mark.parametrize(
    ("rule", "steps", "hyper"),
    [
        ("sgd", 582, {"momentum": 0.0}),
        ("sgd", 117, {}),
        ("nesterov", 110, {}),
        ("rmsprop", 72, {"rho": 0.9}),
        ("adam", 77, {}),
    ],
)
def test_steps_to_leave_a_saddle(rule: str, steps: int, hyper: dict[str, float]) -> None:
    """f = x^2 - y^2 from (1, 1e-5) at rate 0.01: steps until |y| > 1 (S2-11).

    RMSProp's 72 steps are those of a memory of 0.9; with 0.99 it needs 17.
    """
    P = torch.tensor([[1.0, 1e-5]], dtype=torch.float64)
    given = {"rate": 0.01, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "rho": 0.99, **hyper}
    columns = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in given.items()}
    state, done = RULES[rule].init(P), 0
    while abs(P[0, 1].item()) <= 1:
        done += 1
        RULES[rule].update(P, P * torch.tensor([2.0, -2.0], dtype=torch.float64), state, columns, done)
    assert done == steps


@pytest.mark.parametrize("rule", RULES)
def test_on_the_axis_of_a_saddle_no_rule_leaves_it(rule: str) -> None:
    P = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    columns = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in MEMBERS[0].items()}
    state = RULES[rule].init(P)
    for step in range(1, 50):
        RULES[rule].update(P, P * torch.tensor([2.0, -2.0], dtype=torch.float64), state, columns, step)
    assert P[0, 1] == 0


@pytest.mark.parametrize("numbers", [FUSED_FROM - 1, FUSED_FROM])
def test_adam_with_a_rate_for_each_number_is_adam_of_groups(numbers: int) -> None:
    """With and without the fused kernel, against one PyTorch optimiser whose groups have these rates."""
    g = torch_generator(0)
    P = torch.randn(2, numbers, generator=g, dtype=torch.float64)
    factors = torch.where(torch.arange(numbers) % 3 == 0, 0.1, torch.tensor(6.0, dtype=torch.float64))
    rates, state = torch.tensor([[0.01], [0.02]], dtype=torch.float64), RULES["adam"].init(P)
    theirs = [[P[m, k::3].clone().requires_grad_() for k in range(3)] for m in range(2)]
    groups = [
        {"params": [theirs[m][k]], "lr": float(rates[m]) * (0.1 if k == 0 else 6.0)} for m in range(2) for k in range(3)
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.95))
    hyper = {
        "beta1": torch.full((2, 1), 0.9, dtype=torch.float64),
        "beta2": torch.full((2, 1), 0.95, dtype=torch.float64),
    }
    hyper |= {"epsilon": torch.full((2, 1), 1e-8, dtype=torch.float64), "rate": rates * factors}
    for step in range(1, 6):
        G = torch.randn(2, numbers, generator=g, dtype=torch.float64)
        for m in range(2):
            for k in range(3):
                theirs[m][k].grad = G[m, k::3].clone()
        optimiser.step()
        RULES["adam"].update(P, G, state, hyper, step)
    for m in range(2):
        for k in range(3):
            torch.testing.assert_close(P[m, k::3], theirs[m][k].detach(), rtol=1e-9, atol=1e-12)
