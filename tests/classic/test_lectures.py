"""Andrew Ng's columns, both cross-entropies of *Dive into Deep Learning*, the book's dropout and its program."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax as scipys_softmax
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss

from luthier.classic import d2l, nd
from luthier.classic.dropout import DropoutNetwork
from luthier.classic.mnist_loader import load_data_wrapper
from luthier.classic.network import Network
from luthier.classic.network2 import vectorized_result
from luthier.classic.ng import cost, hardmax, one_hot, output_error, softmax
from luthier.errors import InputError
from luthier.labs.mnist import digits


def test_softmax_is_scipys_and_its_error_the_slope_of_the_cost() -> None:
    rng = np.random.default_rng(0)
    Z, Y = 3 * rng.standard_normal((4, 6)), one_hot([0, 1, 3, 2, 2, 0], 4)
    np.testing.assert_allclose(softmax(Z), scipys_softmax(Z, 0), rtol=1e-13)
    assert cost(softmax(Z), Y) == pytest.approx(log_loss(Y.argmax(0), softmax(Z).T), rel=1e-12)
    assert cost(softmax(np.array([[5.0], [2.0], [-1.0], [3.0]])), one_hot([0], 4)) == pytest.approx(0.1719, abs=5e-5)
    h, slope = 1e-6, output_error(softmax(Z), Y)
    for place in ((0, 0), (3, 2), (2, 5)):
        up, down = Z.copy(), Z.copy()
        up[place] += h
        down[place] -= h
        assert slope[place] == pytest.approx((cost(softmax(up), Y) - cost(softmax(down), Y)) / (2 * h), abs=1e-9)


def test_labels_are_columns_and_come_back() -> None:
    labels = [0, 1, 3, 2]
    assert one_hot(labels, 4).argmax(0).tolist() == labels
    assert hardmax(one_hot(labels, 4) * 7 - 3).tolist() == one_hot(labels, 4).tolist()
    with pytest.raises(InputError):
        one_hot([4], 4)


def test_both_cross_entropies_and_accuracy_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, P = rng.integers(0, 3, 50), scipys_softmax(rng.standard_normal((50, 3)), 1)
    losses = d2l.cross_entropy(nd.array(P), nd.array(y)).asnumpy()
    assert losses.mean() == pytest.approx(log_loss(y, P), rel=1e-5)
    assert d2l.accuracy(nd.array(P), nd.array(y)) == pytest.approx(accuracy_score(y, P.argmax(1)), abs=1e-7)
    assert d2l.binary_cross_entropy(y > 0, P[:, 1]) == pytest.approx(log_loss(y > 0, P[:, 1]), rel=1e-9)
    assert np.isfinite(d2l.binary_cross_entropy(np.array([0, 1]), np.array([1.0, 0.0])))


def test_the_books_dropout_deletes_half_for_a_mini_batch_and_restores_it() -> None:
    net = DropoutNetwork([5, 8, 6, 3])
    rng = np.random.default_rng(0)
    batch = [(rng.random((5, 1)), rng.random((3, 1))) for _ in range(4)]
    moved = []
    for _ in range(2):
        before = [w.copy() for w in net.weights]
        net.update_mini_batch_matrix(batch, 0.5)
        moved.append([w != old for w, old in zip(net.weights, before, strict=True)])
    first, other = moved
    rows, columns = first[0].any(1), first[1].any(0)
    assert rows.sum() == 4
    assert (rows == columns).all()  # a deleted neuron's weights stay, in and out
    assert first[0].any(0).all()  # no input is deleted
    assert first[2].any(1).all()  # nor an output
    assert first[1].any(1).sum() == 3
    assert (first[0] != other[0]).any()


def test_the_books_dropout_halves_weights_for_all_neurons() -> None:
    net, x = DropoutNetwork([5, 40, 3]), np.random.default_rng(0).random((5, 1))
    whole = net.layers(x)[1][-1]
    drawn = np.stack([net.thinned(net.kept()).layers(x)[1][-1] for _ in range(4000)])
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(0) - whole) < 4.5 * error).all()


def test_the_program_learns_digits() -> None:
    """The first network, unchanged, on scikit-learn's digits: above 90 % where a guess is right in 10."""
    bunch = load_digits()
    X, y = bunch.data / 16, bunch.target
    training = [(x.reshape(-1, 1), vectorized_result(int(label))) for x, label in zip(X[:1300], y[:1300], strict=True)]
    test = [(x.reshape(-1, 1), int(label)) for x, label in zip(X[1300:], y[1300:], strict=True)]
    right = Network([64, 30, 10]).SGD(training, 12, 10, 3.0, test, say=lambda line: None)
    assert max(right) / len(test) > 0.9


@pytest.mark.labs
def test_the_program_passes_96_percent_on_mnist() -> None:
    if not digits().is_mnist:
        pytest.skip("needs MNIST")
    training, _, test = load_data_wrapper()
    net = Network([784, 100, 10])
    net.update_mini_batch = net.update_mini_batch_matrix  # type: ignore[method-assign]
    assert max(net.SGD(training, 20, 10, 3.0, test, say=lambda line: None)) > 9600
