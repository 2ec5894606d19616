"""Initialisers against their moments."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from luthier.engine import Member, Settings, train
from luthier.errors import ConfigError
from luthier.nets import INITIALISERS, DenseSpec, build
from luthier.rows import Inputs, Rows


def part(rows: int = 40) -> Rows:
    X = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Rows(Inputs(numbers=X), X[:, 0] * X[:, 1])


FANS = {  # standard deviation of a hidden weight [300, 200] behind ReLU
    "he": (2 / 200) ** 0.5,
    "xavier": 200**-0.5,
    "glorot": (2 / 500) ** 0.5,
    "normal": 0.02,
    "large": 1.0,
    "zeros": 0.0,
    "orthogonal": 2**0.5 * 300**-0.5,  # columns of length sqrt(2), spread over 300 rows
}


@pytest.mark.parametrize("name", INITIALISERS)
def test_an_initialisers_moments(name: str) -> None:
    spec = DenseSpec(200, (300,), 10, initialiser=name, deviation=0.02)
    W = spec.fresh_parameters(0)["layers.0.weight"]
    # 60,000 draws: a mean within 5 standard errors, a deviation within 5 of its own (0.3 %).
    assert W.std().item() == pytest.approx(FANS[name], rel=0.015)
    assert abs(W.mean().item()) <= 5 * FANS[name] / 60_000**0.5
    biases = spec.fresh_parameters(0)["layers.0.bias"]
    assert (biases.std() > 0.8) if name == "large" else (biases == 0).all()


def test_orthogonal_is_orthogonal() -> None:
    for shape in ((40, 20), (20, 40)):
        spec = DenseSpec(shape[1], (shape[0],), 2, initialiser="orthogonal", activation="tanh")
        W = spec.fresh_parameters(3)["layers.0.weight"]
        product = W.T @ W if shape[0] >= shape[1] else W @ W.T
        torch.testing.assert_close(product, torch.eye(20, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", INITIALISERS)
def test_starting_again_gives_the_same_weights(name: str) -> None:
    spec = DenseSpec(5, (4,), 2, initialiser=name, embeddings=((3, 2),))
    first, again, other = (spec.fresh_parameters(seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)  # embeddings differ even for zeros


def test_a_single_neuron_has_a_function_of_its_own() -> None:
    """Only the derivative at that neuron changes (S1-24): the stack's gradients against the module's."""
    spec = DenseSpec(3, (6, 5), 1, activation="sigmoid", neurons=((0, 2, "identity"), (1, 4, "relu"), (0, 5, "tanh")))
    assert DenseSpec.from_json(spec.to_json()) == spec
    data = part()
    settings = Settings("mse", "sgd", 40, 1, 1, dtype=torch.float64)
    outcome = train([Member(spec, seed=0, learning_rate=0.1, momentum=0.0)], data, None, settings)
    net = build(spec, seed=0).double()
    net.load_state_dict(spec.fresh_parameters(0))
    z = data.numbers @ net.layers[0].weight.T + net.layers[0].bias
    a = torch.sigmoid(z)
    torch.testing.assert_close(
        torch.cat([a[:, :2], z[:, 2:3], a[:, 3:5], z[:, 5:].tanh()], 1), spec.functions[0].f(z), rtol=1e-12, atol=0
    )
    F.mse_loss(net(data.numbers)[:, 0], data.targets).backward()
    for name, parameter in net.named_parameters():
        stepped = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(outcome.state_dict(0)[name], stepped, rtol=1e-10, atol=1e-12)
    with pytest.raises(ConfigError, match="no unit 6 in hidden layer 0"):
        DenseSpec(3, (6,), 1, neurons=((0, 6, "tanh"),))
