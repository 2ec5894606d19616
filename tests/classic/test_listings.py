"""The documents' listings, executed statement by statement with the root of their imports changed."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from luthier.classic.network import Network

LINEAR = """
from mxnet import autograd, nd
num_inputs = 2
num_examples = 1000
true_w = [2, -3.4]
true_b = 4.2
features = nd.random.normal(scale=1, shape=(num_examples, num_inputs))
labels = true_w[0] * features[:, 0] + true_w[1] * features[:, 1] + true_b
labels += nd.random.normal(scale=0.01, shape=labels.shape)
from mxnet.gluon import data as gdata
batch_size = 10
dataset = gdata.ArrayDataset(features, labels)
data_iter = gdata.DataLoader(dataset, batch_size, shuffle=True)
from mxnet.gluon import nn
net = nn.Sequential()
net.add(nn.Dense(1))
from mxnet import init
net.initialize(init.Normal(sigma=0.01))
from mxnet.gluon import loss as gloss
loss = gloss.L2Loss()
from mxnet import gluon
trainer = gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.03})
num_epochs = 3
for epoch in range(1, num_epochs + 1):
    for X, y in data_iter:
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(batch_size)
    l = loss(net(features), labels)
    print('epoch %d, loss: %f' % (epoch, l.mean().asnumpy()))
dense = net[0]
print(net)
"""

SOFTMAX = """
from mxnet import nd
X = nd.array([[1, 2, 3], [4, 5, 6]])
rows = X.sum(axis=0, keepdims=True), X.sum(axis=1, keepdims=True)
def softmax(X):
    X_exp = X.exp()
    partition = X_exp.sum(axis=1, keepdims=True)
    return X_exp / partition
X_prob = softmax(nd.random.normal(shape=(2, 5)))
y_hat = nd.array([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
y = nd.array([0, 2], dtype='int32')
picked = nd.pick(y_hat, y)
def cross_entropy(y_hat, y):
    return -nd.pick(y_hat, y).log()
def accuracy(y_hat, y):
    return (y_hat.argmax(axis=1) == y.astype('float32')).mean().asscalar()
"""


def executed(listing: str) -> list[tuple[str, dict[str, Any]]]:
    """Each statement with the names as they are after it."""
    names: dict[str, Any] = {}
    after = []
    for statement in ast.parse(listing.replace("mxnet", "luthier.classic")).body:
        exec(compile(ast.Module([statement], []), "listing", "exec"), names)
        after.append((ast.unparse(statement).splitlines()[0], dict(names)))
    return after


def test_the_linear_model_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    after = dict(executed(LINEAR))
    assert after["labels += nd.random.normal(scale=0.01, shape=labels.shape)"]["labels"].shape == (1000,)
    assert len(after["data_iter = gdata.DataLoader(dataset, batch_size, shuffle=True)"]["data_iter"]) == 100
    assert len(after["net.add(nn.Dense(1))"]["net"]) == 1
    *losses, head, layer, tail = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in losses] == ["epoch 1", "epoch 2", "epoch 3"]
    values = [float(line.split()[-1]) for line in losses]
    for value, low, high in zip(values, (0.025, 0.00008, 4.5e-5), (0.055, 0.00030, 5.7e-5), strict=True):
        assert low < value < high  # a little wider than 90 % of 500 seeds; the page prints .040592 .000156 .000051
    assert (head, layer, tail) == ("Sequential(", "  (0): Dense(2 -> 1, linear)", ")")
    dense = after["dense = net[0]"]["dense"]
    assert np.abs(dense.weight.data().asnumpy() - [[2, -3.4]]).max() < 0.003
    assert abs(float(dense.bias.data()) - 4.2) < 0.003
    assert repr(dense.bias.data()).splitlines()[-1] == "<NDArray 1 @cpu(0)>"


def test_softmax_and_its_cross_entropy_line_by_line() -> None:
    names = executed(SOFTMAX)[-1][1]
    assert [row.asnumpy().tolist() for row in names["rows"]] == [[[5, 7, 9]], [[6], [15]]]
    np.testing.assert_allclose(names["X_prob"].sum(axis=1).asnumpy(), [1, 1], rtol=1e-6)
    np.testing.assert_allclose(names["picked"].asnumpy(), [0.1, 0.5], rtol=1e-6)
    losses = names["cross_entropy"](names["y_hat"], names["y"]).asnumpy()
    np.testing.assert_allclose(losses, -np.log([0.1, 0.5]), rtol=1e-6)
    assert names["accuracy"](names["y_hat"], names["y"]) == 0.5


class Listing:
    """The book's network, typed off with `range` for `xrange`."""

    def __init__(self, biases: list[np.ndarray], weights: list[np.ndarray]) -> None:
        self.biases, self.weights = [b.copy() for b in biases], [w.copy() for w in weights]
        self.num_layers = len(biases) + 1

    def update_mini_batch(self, mini_batch: list[tuple[np.ndarray, np.ndarray]], eta: float) -> None:
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        for x, y in mini_batch:
            delta_nabla_b, delta_nabla_w = self.backprop(x, y)
            nabla_b = [nb + dnb for nb, dnb in zip(nabla_b, delta_nabla_b, strict=True)]
            nabla_w = [nw + dnw for nw, dnw in zip(nabla_w, delta_nabla_w, strict=True)]
        self.weights = [w - (eta / len(mini_batch)) * nw for w, nw in zip(self.weights, nabla_w, strict=True)]
        self.biases = [b - (eta / len(mini_batch)) * nb for b, nb in zip(self.biases, nabla_b, strict=True)]

    def backprop(self, x: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        activation = x
        activations = [x]
        zs = []
        for b, w in zip(self.biases, self.weights, strict=True):
            z = np.dot(w, activation) + b
            zs.append(z)
            activation = sigmoid(z)
            activations.append(activation)
        delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
        nabla_b[-1] = delta
        nabla_w[-1] = np.dot(delta, activations[-2].transpose())
        for l in range(2, self.num_layers):  # noqa: E741
            z = zs[-l]
            sp = sigmoid_prime(z)
            delta = np.dot(self.weights[-l + 1].transpose(), delta) * sp
            nabla_b[-l] = delta
            nabla_w[-l] = np.dot(delta, activations[-l - 1].transpose())
        return (nabla_b, nabla_w)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-z)))


def sigmoid_prime(z: np.ndarray) -> np.ndarray:
    return sigmoid(z) * (1 - sigmoid(z))


def test_the_book_s_mini_batch_is_ours() -> None:
    """Not bit for bit: for z < 0 the stable sigmoid rounds otherwise. Ten batches keep it near the last digits."""
    rng = np.random.default_rng(0)
    data = [(rng.random((20, 1)), rng.random((4, 1))) for _ in range(33)]  # the last batch is short
    ours = Network([20, 8, 6, 4])
    book = Listing(ours.biases, ours.weights)
    for start in range(0, 33, 10):
        ours.update_mini_batch(data[start : start + 10], 3.0)
        book.update_mini_batch(data[start : start + 10], 3.0)
    for mine, theirs in zip([*ours.weights, *ours.biases], [*book.weights, *book.biases], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-13)
