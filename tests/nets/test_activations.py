"""Activations against autograd, and a user's own in the stack."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from luthier.engine import Member, Settings, train
from luthier.errors import ConfigError
from luthier.nets import ACTIVATIONS, DenseSpec, add_activation, build
from luthier.nets.activations import BUILT_IN
from luthier.rows import Inputs, Rows

TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky relu": F.leaky_relu,
    "gelu": F.gelu,
    "selu": F.selu,
    "mish": F.mish,
    "identity": lambda z: z,
}


def test_every_activation_has_an_oracle() -> None:
    assert set(TORCH) == BUILT_IN


@pytest.mark.parametrize("name", TORCH)
def test_an_activation_and_its_derivative(name: str) -> None:
    z = torch.linspace(-4, 4, 162, dtype=torch.float64, requires_grad=True)
    a = TORCH[name](z)
    torch.testing.assert_close(ACTIVATIONS[name].f(z), a, rtol=1e-12, atol=1e-15)
    (slope,) = torch.autograd.grad(a.sum(), z)
    torch.testing.assert_close(ACTIVATIONS[name].derivative(z.detach(), a.detach()), slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_mish_by_one_exponential_is_mish_far_out_too(dtype: torch.dtype) -> None:
    z = torch.cat([torch.linspace(-120, 120, 4_801, dtype=dtype), torch.tensor([-1e30, 1e30, torch.nan], dtype=dtype)])
    mish, out = ACTIVATIONS["mish"], torch.empty_like(z)
    assert mish.write is not None
    mish.write(z, out)
    # A few roundings of the type; a slope near 0 is a difference of numbers near 1.
    tolerance = {"rtol": 1e-12, "atol": 1e-15} if dtype == torch.float64 else {"rtol": 2e-6, "atol": 1e-30}
    torch.testing.assert_close(out, F.mish(z), equal_nan=True, **tolerance)
    same = z.clone()
    mish.write(same, same)
    assert same[:-1].equal(out[:-1])  # also where it is written over its input; the last is not a number
    exact = z.double().requires_grad_()
    (slope,) = torch.autograd.grad(F.mish(exact).sum(), exact)
    near = {"rtol": 1e-12, "atol": 1e-15} if dtype == torch.float64 else {"rtol": 2e-6, "atol": 1e-6}
    torch.testing.assert_close(mish.derivative(z, out), slope.to(dtype), equal_nan=True, **near)


def part(rows: int = 40) -> Rows:
    X = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Rows(Inputs(numbers=X), X[:, 0] * X[:, 1])


@pytest.fixture
def softsign() -> str:
    if "test softsign" not in ACTIVATIONS:
        add_activation("test softsign", lambda z: z / (1 + z.abs()))
    return "test softsign"


def test_a_function_of_the_users_trains_in_the_stack(softsign: str) -> None:
    """One for each layer; autograd through the module built alone gives the same first step."""
    spec = DenseSpec(3, (6, 5), 1, activation=("tanh", softsign))
    data, rate = part(), 0.1
    settings = Settings("mse", "sgd", 40, 1, 1, dtype=torch.float64)
    outcome = train([Member(spec, seed=s, learning_rate=rate, momentum=0.0) for s in range(2)], data, None, settings)
    for k in range(2):
        net = build(spec, seed=k).double()
        net.load_state_dict(spec.fresh_parameters(k))
        loss = F.mse_loss(net(data.numbers)[:, 0], data.targets)
        loss.backward()
        for name, parameter in net.named_parameters():
            stepped = parameter.detach() - rate * parameter.grad
            torch.testing.assert_close(outcome.state_dict(k)[name], stepped, rtol=1e-10, atol=1e-12)


def test_built_in_activations_cannot_be_replaced() -> None:
    with pytest.raises(ConfigError, match="built-in"):
        add_activation("relu", torch.tanh)
