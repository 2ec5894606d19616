"""What the documents' programs offer: names, shapes, defaults, what is printed; and the listing of the linear model."""

from __future__ import annotations

import inspect
from itertools import pairwise

import numpy as np
import pytest
import torch

import luthier
from luthier.classic import autograd, init, nd, network, network2
from luthier.classic.gluon import Trainer, nn
from luthier.classic.gluon import data as gdata
from luthier.classic.gluon import loss as gloss
from luthier.classic.synthetic import synthetic_data
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.objective import LOSSES
from luthier.search.spaces.registry import REGISTRY


@pytest.mark.parametrize("sizes", [[784, 30, 10], [2, 3, 1], [5, 4, 3, 2]])
def test_a_network_has_weights_for_each_pair_of_layers(sizes: list[int]) -> None:
    net = network.Network(sizes)
    assert net.num_layers == len(sizes)
    assert net.sizes == sizes
    assert [b.shape for b in net.biases] == [(n, 1) for n in sizes[1:]]
    assert [w.shape for w in net.weights] == [(after, before) for before, after in pairwise(sizes)]
    nabla_b, nabla_w = net.backprop(np.zeros((sizes[0], 1)), np.zeros((sizes[-1], 1)))
    assert [b.shape for b in nabla_b] == [b.shape for b in net.biases]
    assert [w.shape for w in nabla_w] == [w.shape for w in net.weights]


def test_the_quadratic_cost_and_its_derivative() -> None:
    a, y = np.array([[0.8], [0.1]]), np.array([[1.0], [0.0]])
    assert network2.QuadraticCost.fn(a, y) == pytest.approx(0.5 * (0.04 + 0.01))
    np.testing.assert_allclose(network.Network.cost_derivative(a, y), a - y)
    assert network2.CrossEntropyCost.fn(a, y) == pytest.approx(-np.log(0.8) - np.log(0.9))
    np.testing.assert_allclose(network2.CrossEntropyCost.delta(np.zeros((2, 1)), a, y), a - y)


def test_a_cost_is_a_mean_over_samples_of_a_function_of_outputs() -> None:
    """Both assumptions on costs: the gradient of the mean is the mean of the gradients."""
    rng = np.random.default_rng(0)
    net = network2.Network([3, 4, 2])
    X, Y = rng.random((3, 6)), np.eye(2)[rng.integers(0, 2, 6)].T
    together = net.backprop(X, Y)[1]
    single = [net.backprop(X[:, [k]], Y[:, [k]])[1] for k in range(6)]
    for layer, total in enumerate(together):
        np.testing.assert_allclose(total / 6, np.mean([one[layer] for one in single], 0), atol=1e-14)


def test_a_short_last_batch_divides_by_its_own_length() -> None:
    rng = np.random.default_rng(0)
    batch = [(rng.random((3, 1)), np.array([[1.0], [0.0]])) for _ in range(2)]
    net = network.Network([3, 2, 2])
    before, (_, nabla) = net.weights[0].copy(), net.backprop(*batch[0])
    net.update_mini_batch(batch[:1], 0.5)
    np.testing.assert_allclose(net.weights[0], before - 0.5 * nabla[0], atol=1e-15)


def test_an_epoch_says_how_many_are_right() -> None:
    rng, message = np.random.default_rng(0), []  # type: ignore[var-annotated]
    data = [(rng.random((3, 1)), np.array([[1.0], [0.0]])) for _ in range(20)]
    net = network.Network([3, 4, 2])
    right = net.SGD(data, 3, 7, 1.0, [(x, 0) for x, _ in data], say=message.append)
    assert message == [f"Epoch {k}: {n} / 20" for k, n in enumerate(right)]
    assert net.evaluate([(x, 0) for x, _ in data]) == right[-1]


def test_the_second_network_has_the_books_names() -> None:
    parameters = inspect.signature(network2.Network.SGD).parameters
    wanted = (
        "training_data",
        "epochs",
        "mini_batch_size",
        "eta",
        "lmbda",
        "evaluation_data",
        "monitor_evaluation_cost",
        "monitor_evaluation_accuracy",
        "monitor_training_cost",
        "monitor_training_accuracy",
    )
    assert [name for name in parameters if name in wanted] == list(wanted)
    assert parameters["lmbda"].default == 0.0
    assert network2.Network.SGD.__doc__


def test_large_first_weights_may_be_drawn_again() -> None:
    net = network2.Network([400, 300, 10])
    assert net.weights[0].std() == pytest.approx(1 / 20, rel=0.02)
    for _ in range(2):
        before = net.weights[0]
        net.large_weight_initializer()
        assert net.weights[0].std() == pytest.approx(1, rel=0.02)
        assert net.biases[0].std() == pytest.approx(1, rel=0.15)
        assert not np.array_equal(before, net.weights[0])


def test_the_listing_of_the_linear_model(capsys: pytest.CaptureFixture[str]) -> None:
    """As printed, with the root of the imports changed."""
    features, labels = synthetic_data([2, -3.4], 4.2, 1000)
    data_iter = gdata.DataLoader(gdata.ArrayDataset(features, labels), 10, shuffle=True)
    net = nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=0.01))
    loss = gloss.L2Loss()
    trainer = Trainer(net.collect_params(), "sgd", {"learning_rate": 0.03})
    for epoch in range(1, 4):
        for X, y in data_iter:
            with autograd.record():
                answer = loss(net(X), y)
            answer.backward()
            trainer.step(10)
        last = loss(net(features), labels)
        print("epoch %d, loss: %f" % (epoch, last.mean().asnumpy()))  # noqa: UP031
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3"]
    assert float(lines[-1].split()[-1]) < 1e-4
    assert np.abs(net[0].weight.data().asnumpy() - [[2, -3.4]]).max() < 5e-3


def test_first_weights_wait_for_the_rows_and_biases_are_nothing() -> None:
    net = nn.Sequential()
    net.add(nn.Dense(200))
    net.initialize(init.Normal(sigma=0.01))
    net(nd.array(np.ones((2, 500))))
    assert float(net[0].weight.data().asnumpy().std()) == pytest.approx(0.01, rel=0.02)
    assert not net[0].bias.data().asnumpy().any()


def test_layers_are_called_one_after_another() -> None:
    net = nn.Sequential()
    net.add(nn.Dense(4))
    net.add(nn.Dense(2))
    net.initialize(init.Normal(sigma=1.0))
    X = nd.array(np.random.default_rng(0).normal(size=(3, 5)))
    np.testing.assert_allclose(net(X).asnumpy(), net[1](net[0](X)).asnumpy())


def test_rows_and_labels_go_in_pairs() -> None:
    pairs = gdata.ArrayDataset([1, 2, 3], [4, 5, 6])
    assert len(pairs) == 3
    assert pairs[2] == (3, 6)
    with pytest.raises(InputError, match="differ in length"):
        gdata.ArrayDataset([1, 2], [1, 2, 3])


def test_a_linear_model_in_vectors_is_the_loop() -> None:
    spec = DenseSpec(inputs=2, hidden=(), outputs=1)
    net = build(spec, seed=0)
    w, b = (value.detach() for value in net.parameters())
    X = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    loop = [float(x[0] * w[0, 0] + x[1] * w[0, 1] + b[0]) for x in X]
    np.testing.assert_allclose(net(X).detach().numpy().ravel(), loop, atol=1e-6)
    message = luthier.summary(spec)
    assert "3" in str(message)
    assert spec.layers == 1
    assert spec.parameter_count() == 3


def test_the_square_loss_is_never_negative_and_smallest_at_the_target() -> None:
    Z = torch.linspace(-3, 3, 61).reshape(1, -1, 1)
    rows = LOSSES["mse"].rows(Z, torch.ones(61))[0]
    assert bool((rows >= 0).all())
    assert int(rows.argmin()) == 40
    half = gloss.L2Loss()(nd.array(Z[0].numpy()), nd.array(np.ones(61))).asnumpy()
    np.testing.assert_allclose(half, rows.numpy() / 2, atol=1e-6)


def test_betas_have_names_of_their_own() -> None:
    """Momentum's beta, Adam's two, and batch norm's scale and shift are never confused."""
    assert {"momentum", "beta1", "beta2"} <= set(REGISTRY)
    shapes = DenseSpec(inputs=2, hidden=(3,), outputs=1, batch_norm=True).shapes()
    assert {"norms.0.scale", "norms.0.shift"} <= set(shapes)
    assert not any("beta" in name for name in shapes)


def test_a_new_operation_made_of_known_ones_is_differentiated() -> None:
    x = nd.array(np.array([0.5, 1.0, 2.0]))
    x.attach_grad()
    with autograd.record():
        y = (x * x + 1).log() * x.exp()
    y.backward()
    v = np.array([0.5, 1.0, 2.0])
    wanted = 2 * v / (v * v + 1) * np.exp(v) + np.log(v * v + 1) * np.exp(v)
    np.testing.assert_allclose(x.grad.asnumpy(), wanted, rtol=1e-5)
