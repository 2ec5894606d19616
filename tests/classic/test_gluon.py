"""The Gluon listing runs with its import lines changed, and every part does what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from luthier.classic import autograd, gluon, init, nd
from luthier.classic.gluon import data as gdata
from luthier.classic.gluon import loss as gloss
from luthier.classic.gluon import nn
from luthier.classic.synthetic import synthetic_data
from luthier.errors import ConfigError, InputError


def listing(seed: int, epochs: int = 3) -> tuple[list[float], nn.Sequential]:
    """Linear regression as the document writes it; the data that it leaves out are drawn here."""
    torch.manual_seed(seed)
    features, labels = synthetic_data([2, -3.4], 4.2, 1000, seed=seed)
    dataset = gdata.ArrayDataset(features, labels)
    data_iter = gdata.DataLoader(dataset, batch_size=10, shuffle=True, seed=seed)
    net = nn.Sequential()
    net.add(nn.Dense(1))
    net.initialize(init.Normal(sigma=0.01))
    loss = gloss.L2Loss()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.03})
    printed = []
    for epoch in range(1, epochs + 1):
        for X, y in data_iter:
            with autograd.record():
                l = loss(net(X), y)  # noqa: E741
            l.backward()
            trainer.step(10)
        l = loss(net(features), labels)  # noqa: E741
        printed.append("epoch %d, loss: %f" % (epoch, l.mean().asnumpy()))  # noqa: UP031
    return [float(line.rpartition(" ")[2]) for line in printed], net


def test_the_losses_of_the_listing_over_seeds() -> None:
    """Printed .040592, .000156, .000051; by theory 16.6 * 0.97^(200 k) + 5e-5: .0376, .000135, .0000502."""
    losses = np.array([listing(seed)[0] for seed in range(8)])
    assert 0.028 < losses[:, 0].mean() < 0.051
    assert 0.00010 < losses[:, 1].mean() < 0.00023
    assert losses[:, 2].mean() == pytest.approx(5e-5, rel=0.08)


def test_the_weights_are_those_of_the_rule() -> None:
    _, net = listing(3)
    layer = net[0]
    assert isinstance(layer, nn.Dense)
    np.testing.assert_allclose(layer.weight.data().asnumpy(), [[2, -3.4]], atol=0.002)
    np.testing.assert_allclose(layer.bias.data().asnumpy(), [4.2], atol=0.002)


def test_sizes_wait_for_the_first_rows() -> None:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add(nn.Dense(400))
    net.initialize(init.Normal(sigma=0.01))
    layer = net[0]
    assert isinstance(layer, nn.Dense)
    assert layer.weight.shape is None
    with pytest.raises(InputError, match="not known yet"):
        layer.weight.data()
    net(nd.ones((3, 50)))
    assert layer.weight.shape == (400, 50)
    assert layer.weight.data().asnumpy().std() == pytest.approx(0.01, rel=0.02)
    assert (layer.bias.data().asnumpy() == 0).all()
    with pytest.raises(InputError, match="differ in length"):
        net(nd.ones((3, 51)))
    fresh = nn.Sequential()
    fresh.add(nn.Dense(1))
    with pytest.raises(InputError, match="not initialised"):
        fresh(nd.ones((1, 2)))


def test_a_vector_is_differentiated_as_its_sum_and_only_what_is_recorded() -> None:
    x = nd.array([1.0, 2.0, 3.0])
    x.attach_grad()
    with autograd.record():
        y = x * x
    y.backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.asnumpy(), [2, 4, 6])
    with pytest.raises(InputError, match="recorded"):
        (x * x).backward()
    assert not autograd.is_recording()


def test_a_step_divides_by_what_it_is_told() -> None:
    """The same gradient and half the batch size: twice the step (S3-19)."""
    moved = []
    for size in (10, 5):
        torch.manual_seed(0)
        net = nn.Sequential()
        net.add(nn.Dense(1))
        net.initialize()
        X, y = synthetic_data(n=10)
        net(X)
        layer = net[0]
        assert isinstance(layer, nn.Dense)
        before = layer.weight.data().asnumpy()
        trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        with autograd.record():
            l = gloss.L2Loss()(net(X), y)  # noqa: E741
        assert l.shape == (10,)
        l.backward()
        trainer.step(size)
        moved.append(layer.weight.data().asnumpy() - before)
    np.testing.assert_allclose(2 * moved[0], moved[1], rtol=1e-5)


def test_a_loader_gives_every_sample_once_and_orders_differ() -> None:
    rows = nd.array(np.arange(25))
    loader = gdata.DataLoader(gdata.ArrayDataset(rows, rows), batch_size=10, shuffle=True)
    walks = [[batch[0].asnumpy() for batch in loader] for _ in range(2)]
    assert [len(batch) for batch in walks[0]] == [10, 10, 5]
    assert all(sorted(np.concatenate(walk)) == list(range(25)) for walk in walks)
    assert not np.array_equal(np.concatenate(walks[0]), np.concatenate(walks[1]))
    with pytest.raises(InputError, match="differ in length"):
        gdata.ArrayDataset([1, 2], [1])


def test_parameters_of_nested_layers_have_names() -> None:
    inner, net = nn.Sequential(), nn.Sequential()
    inner.add(nn.Dense(2))
    net.add(nn.Dense(3, activation="relu"), inner)
    names = ["dense0_weight", "dense0_bias", "sequential1_dense0_weight", "sequential1_dense0_bias"]
    assert list(net.collect_params()) == names
    with pytest.raises(ConfigError, match="sgd"):
        gluon.Trainer(net.collect_params(), "sdg", {"learning_rate": 0.1})


def test_arrays_print_and_reduce_as_gluons() -> None:
    X = nd.array([[1, 2, 3], [4, 5, 6]])
    assert repr(nd.array([[1, 2]])) == "\n[[1. 2.]]\n<NDArray 1x2 @cpu(0)>"
    assert X.sum(axis=0, keepdims=True).shape == (1, 3)
    assert X.sum(axis=1, keepdims=True).asnumpy().tolist() == [[6], [15]]
    total = X.exp() / X.exp().sum(axis=1, keepdims=True)
    np.testing.assert_allclose(total.sum(axis=1).asnumpy(), 1, rtol=1e-6)
    picked = nd.pick(total, nd.array([0, 2]))
    np.testing.assert_allclose(picked.asnumpy(), [total.asnumpy()[0, 0], total.asnumpy()[1, 2]])
    assert (X.T.shape, float(X.mean()), X.max().asscalar()) == ((3, 2), 3.5, 6.0)


def test_softmax_regression_on_pictures() -> None:
    """A single layer over the digits that scikit-learn brings (S3-24)."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    digits = load_digits()
    X, y = nd.array(digits.data / 16), nd.array(digits.target)
    net = nn.Sequential()
    net.add(nn.Dense(10))
    net.initialize(init.Xavier())
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    loss = gloss.SoftmaxCrossEntropyLoss()
    for _ in range(12):
        for rows, labels in gdata.DataLoader(gdata.ArrayDataset(X[:1400], y[:1400]), 32, shuffle=True):
            with autograd.record():
                l = loss(net(rows), labels)  # noqa: E741
            l.backward()
            trainer.step(len(rows))
    right = (net(X[1400:]).argmax(axis=1) == y[1400:]).mean()
    assert float(right) > 0.88
