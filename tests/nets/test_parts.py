"""Activations against autograd, initialisers against their moments, specs against what they promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from luthier.engine import Member, Part, Settings, train
from luthier.errors import ConfigError
from luthier.nets import ACTIVATIONS, INITIALISERS, DenseSpec, add_activation, build, chain, summary

TORCH = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky relu": F.leaky_relu,
    "gelu": F.gelu,
    "identity": lambda z: z,
}


@pytest.mark.parametrize("name", TORCH)
def test_an_activation_and_its_derivative(name: str) -> None:
    z = torch.linspace(-4, 4, 162, dtype=torch.float64, requires_grad=True)
    a = TORCH[name](z)
    torch.testing.assert_close(ACTIVATIONS[name].f(z), a, rtol=1e-12, atol=1e-15)
    (slope,) = torch.autograd.grad(a.sum(), z)
    torch.testing.assert_close(ACTIVATIONS[name].derivative(z.detach(), a.detach()), slope, rtol=1e-12, atol=1e-15)


def part(rows: int = 40) -> Part:
    X = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return Part(X, torch.zeros(rows, 0, dtype=torch.int64), X[:, 0] * X[:, 1])


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
        loss = F.mse_loss(net(data.features)[:, 0], data.targets)
        loss.backward()
        for name, parameter in net.named_parameters():
            stepped = parameter.detach() - rate * parameter.grad
            torch.testing.assert_close(outcome.state_dict(k)[name], stepped, rtol=1e-10, atol=1e-12)


def test_built_in_activations_cannot_be_replaced() -> None:
    with pytest.raises(ConfigError, match="built-in"):
        add_activation("relu", torch.tanh)


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


def test_a_spec_survives_json() -> None:
    spec = DenseSpec(5, (4, 3), 2, activation=("tanh", "leaky relu"), initialiser="normal", deviation=0.5)
    assert DenseSpec.from_json(spec.to_json()) == spec


def test_a_wrong_spec_is_refused_with_all_its_mistakes() -> None:
    with pytest.raises(ConfigError) as caught:
        DenseSpec(0, (4,), 2, activation=("tanh", "rellu"), initialiser="hee")
    message = str(caught.value)
    assert "2 activations for 1 hidden layers" in message
    assert "did you mean 'relu'?" in message
    assert "did you mean 'he'?" in message


def test_a_single_neuron_has_a_function_of_its_own() -> None:
    """Only the derivative at that neuron changes (S1-24): the stack's gradients against the module's."""
    spec = DenseSpec(3, (6, 5), 1, activation="sigmoid", neurons=((0, 2, "identity"), (1, 4, "relu"), (0, 5, "tanh")))
    assert DenseSpec.from_json(spec.to_json()) == spec
    data = part()
    settings = Settings("mse", "sgd", 40, 1, 1, dtype=torch.float64)
    outcome = train([Member(spec, seed=0, learning_rate=0.1, momentum=0.0)], data, None, settings)
    net = build(spec, seed=0).double()
    net.load_state_dict(spec.fresh_parameters(0))
    z = data.features @ net.layers[0].weight.T + net.layers[0].bias
    a = torch.sigmoid(z)
    torch.testing.assert_close(
        torch.cat([a[:, :2], z[:, 2:3], a[:, 3:5], z[:, 5:].tanh()], 1), spec.functions[0].f(z), rtol=1e-12, atol=0
    )
    F.mse_loss(net(data.features)[:, 0], data.targets).backward()
    for name, parameter in net.named_parameters():
        stepped = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(outcome.state_dict(0)[name], stepped, rtol=1e-10, atol=1e-12)
    with pytest.raises(ConfigError, match="no unit 6 in hidden layer 0"):
        DenseSpec(3, (6,), 1, neurons=((0, 6, "tanh"),))


def test_a_layer_before_batch_norm_has_no_bias() -> None:
    """Batch norm takes a bias away with the mean, and has a shift of its own."""
    spec = DenseSpec(3, (5, 4), 2, batch_norm=True)
    assert [spec.biased(layer) for layer in range(3)] == [False, False, True]
    assert not {"layers.0.bias", "layers.1.bias"} & set(spec.shapes())
    assert spec.shapes()["norms.1.shift"] == (4,)
    assert spec.parameter_count() == (3 * 5 + 2 * 5) + (5 * 4 + 2 * 4) + (4 * 2 + 2)


def test_layer_norm_needs_no_batch_and_excludes_batch_norm() -> None:
    net = build(DenseSpec(4, (8, 8), 2, layer_norm=True, residual=True), seed=0)
    X = torch.randn(5, 4)
    torch.testing.assert_close(net(X)[:1], net(X[:1]))
    with pytest.raises(ConfigError, match="not both"):
        DenseSpec(4, (8,), 2, layer_norm=True, batch_norm=True)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.GELU(), nn.Dropout(0.5), nn.Linear(5, 4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(12, 3)),
        nn.Sequential(nn.Linear(12, 5), nn.LeakyReLU(), nn.Linear(5, 2)),
    ],
)
def test_a_chain_of_layers_is_recognised(module: nn.Module) -> None:
    result = chain(module)
    assert result is not None
    net = build(result.spec, seed=0)
    net.load_state_dict({ours: module.state_dict()[theirs] for ours, theirs in result.names.items()})
    X = torch.randn(7, 12)
    torch.testing.assert_close(net.eval()(X), module.eval()(X))


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 2, bias=False)),
        nn.Sequential(nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.3), nn.Linear(4, 2)),
        nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 4)),
    ],
)
def test_other_modules_are_not(module: nn.Module) -> None:
    assert chain(module) is None


def test_summaries_count_what_is_learnt_and_draw_it() -> None:
    spec = DenseSpec(5, (7, 7), 3, embeddings=((4, 2),), batch_norm=True, residual=True)
    assert summary(spec).parameters == spec.parameter_count()
    assert "plus its input" in str(summary(spec))
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    module[0].weight.requires_grad_(False)
    result = summary(module, torch.zeros(2, 1, 6, 6))
    assert (result.parameters, result.frozen) == (4 + 8 + 64 * 3 + 3, 36)
    assert [row.shape for row in result.rows] == [(4, 4, 4), (4, 4, 4), (4, 4, 4), (64,), (3,)]
    assert str(result).splitlines()[-1] == "207 parameters, 36 frozen"
    assert module.training
    assert summary(module).rows[0].shape is None


def test_a_deferred_spec_reads_its_sizes_off_the_data() -> None:
    import luthier

    X, y = torch.randn(50, 2, 3), torch.arange(50) % 4
    assert luthier.train(DenseSpec.deferred((5,), activation="tanh"), (X, y), steps=2).members[0].spec == DenseSpec(
        6, (5,), 4, activation="tanh"
    )
