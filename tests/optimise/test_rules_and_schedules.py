"""Every rule and schedule against its counterpart in PyTorch, or against the formula in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler as ls

from luthier.errors import ConfigError
from luthier.optimise import RULES, Schedule, clip_by_norm, clip_by_value
from luthier.optimise import rules as rules_module
from luthier.seeds import torch_generator

STEPS, SIZE = 200, 9
MEMBERS = [
    {
        "rate": 0.01 * (1 + k),
        "momentum": 0.3 + 0.2 * k,
        "beta1": 0.8 + 0.05 * k,
        "beta2": 0.9 + 0.03 * k,
        "epsilon": 10.0 ** -(6 + k),
        "rho": 0.85 + 0.04 * k,
    }
    for k in range(3)
]


def gradient(P: Tensor, step: int) -> Tensor:
    """A noisy bowl's, for P [..., SIZE]: as in training, and rounding errors do not grow along the way."""
    return 0.1 * P + torch.randn(SIZE, generator=torch_generator(0, "noise", step), dtype=torch.float64)


def stacked(rule: str, start: Tensor, rates: Callable[[int], float] = lambda step: 1.0) -> Tensor:
    P = start.clone()
    hyper = {name: torch.tensor([[m[name]] for m in MEMBERS], dtype=P.dtype) for name in MEMBERS[0]}
    state = RULES[rule].init(P)
    for step in range(1, STEPS + 1):
        RULES[rule].update(P, gradient(P, step), state, {**hyper, "rate": hyper["rate"] * rates(step)}, step)
    return P


TORCH = {
    "sgd": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"]),
    "nesterov": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"], nesterov=True),
    "nesterov-velocity": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"], nesterov=True),
    "adagrad": lambda w, m: torch.optim.Adagrad(w, m["rate"], eps=m["epsilon"]),
    "rmsprop": lambda w, m: torch.optim.RMSprop(w, m["rate"], alpha=m["rho"], eps=m["epsilon"]),
    "adam": lambda w, m: torch.optim.Adam(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
    "adadelta": lambda w, m: torch.optim.Adadelta(w, m["rate"], rho=m["rho"], eps=m["epsilon"]),
    "adamax": lambda w, m: torch.optim.Adamax(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
    "nadam": lambda w, m: torch.optim.NAdam(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
}


def numpy_adam_uncorrected(start: np.ndarray, m: dict[str, float]) -> np.ndarray:
    w, mean, square = start.copy(), 0.0, 0.0
    for step in range(1, STEPS + 1):
        g = gradient(torch.from_numpy(w), step).numpy()
        mean = m["beta1"] * mean + (1 - m["beta1"]) * g
        square = m["beta2"] * square + (1 - m["beta2"]) * g**2
        w = w - m["rate"] * mean / (np.sqrt(square) + m["epsilon"])
    return w


NUMPY = {"adam-uncorrected": numpy_adam_uncorrected}


def test_every_rule_has_an_oracle() -> None:
    assert set(TORCH) | set(NUMPY) == set(RULES)


@pytest.fixture
def start() -> Tensor:
    return torch.randn(len(MEMBERS), SIZE, generator=torch_generator(0, "start"), dtype=torch.float64)


def unfused(monkeypatch: pytest.MonkeyPatch, fused: bool) -> None:
    monkeypatch.setattr(rules_module, "FUSED_FROM", 0 if fused else 10**9)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rule", TORCH)
def test_a_rule_takes_the_steps_of_torch_optim(
    rule: str, fused: bool, start: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfused(monkeypatch, fused)
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)  # NAdam's product of momenta follows it
    result = stacked(rule, start)
    for k, member in enumerate(MEMBERS):
        w = start[k].clone().requires_grad_()
        optimiser = TORCH[rule]([w], member)
        for step in range(1, STEPS + 1):
            w.grad = gradient(w.detach(), step)
            optimiser.step()
        torch.testing.assert_close(result[k], w.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", NUMPY)
def test_a_rule_follows_its_formula(rule: str, start: Tensor) -> None:
    result = stacked(rule, start)
    for k, member in enumerate(MEMBERS):
        np.testing.assert_allclose(result[k].numpy(), NUMPY[rule](start[k].numpy(), member), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_does_not_mix_members(rule: str, start: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    together = stacked(rule, start)
    other = start.clone()
    other[1] = 1e3
    torch.testing.assert_close(stacked(rule, other)[[0, 2]], together[[0, 2]], rtol=0, atol=0)


def test_nesterovs_forms_differ_once_the_rate_moves(start: Tensor) -> None:
    """Inside the velocity (S2-17) the rate acts on what is to come; outside (S2-18) on the whole step."""
    rates = lambda step: 1.0 if step < 50 else 0.1  # noqa: E731
    result = stacked("nesterov-velocity", start, rates)
    assert not torch.allclose(result, stacked("nesterov", start, rates), atol=1e-9)
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


def test_clipping() -> None:
    G = torch.tensor([[3.0, -4.0], [0.3, 0.4], [torch.inf, 1.0]])
    by_value = G.clone()
    clip_by_value(by_value, torch.tensor([[1.0], [1.0], [2.0]]))
    assert by_value.tolist() == [[1.0, -1.0], [pytest.approx(0.3), pytest.approx(0.4)], [2.0, 1.0]]
    by_norm = G[:2].clone()
    clip_by_norm(by_norm, torch.tensor([[1.0], [1.0]]))
    torch.testing.assert_close(by_norm, torch.tensor([[0.6, -0.8], [0.3, 0.4]]))


def torch_factors(
    make: Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler], steps: int
) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1)], 1.0)
    scheduler, factors = make(optimiser), []
    for _ in range(steps):
        factors.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return factors


TOTAL = 60
COUNTERPARTS = {
    "constant": (Schedule(), lambda o: ls.ConstantLR(o, 1.0)),
    "cosine": (Schedule("cosine"), lambda o: ls.CosineAnnealingLR(o, TOTAL)),
    "restarts": (Schedule("restarts", period=4, multiplier=2.0), lambda o: ls.CosineAnnealingWarmRestarts(o, 4, 2)),
    "exponential": (Schedule("exponential", decay=0.9), lambda o: ls.ExponentialLR(o, 0.9)),
    "staircase": (Schedule("staircase", decay=0.5, period=7), lambda o: ls.StepLR(o, 7, 0.5)),
    "inverse": (Schedule("inverse", decay=0.3, period=5), lambda o: ls.LambdaLR(o, lambda t: 1 / (1 + 0.3 * t / 5))),
    "linear": (Schedule("linear"), lambda o: ls.LinearLR(o, 1.0, 0.0, TOTAL)),
    "one-cycle": (Schedule("one-cycle"), lambda o: ls.OneCycleLR(o, 1.0, TOTAL, cycle_momentum=False)),
    "warm-up": (Schedule("constant", warmup=5), lambda o: ls.LinearLR(o, 0.2, 1.0, 4)),
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_a_schedule_is_its_counterpart_in_torch(name: str) -> None:
    schedule, make = COUNTERPARTS[name]
    result = [schedule.factor(step, TOTAL) for step in range(TOTAL)]
    np.testing.assert_allclose(result, torch_factors(make, TOTAL), rtol=1e-9, atol=1e-12)


def test_a_wrong_schedule_is_refused_with_all_its_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        Schedule("cosin", period=0)
    assert "did you mean 'cosine'" in str(caught.value)
    assert "period" in str(caught.value)
