"""Nielsen's first network: stochastic gradient descent and backpropagation, sample by sample and as matrices.

Columns are samples: x is (n_1, 1), y is (n_L, 1). `weights[i][j, k]` goes from neuron k of a layer to neuron j of the
next, so a = sigma(w a + b) needs no transpose. Of the document's algorithm is mended: the update runs over all
layers L to 2, its loop left out the output layer; and a short last batch divides by its own length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Sample = tuple[np.ndarray, Any]
Gradients = tuple[list[np.ndarray], list[np.ndarray]]


def sigmoid(z: np.ndarray | float) -> Any:
    """1 / (1 + e^-z), without overflow however negative z is.

    >>> sigmoid(np.array([0.0, -1000.0]))
    array([0.5, 0. ])
    """
    z = np.asarray(z, dtype=float)
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))[()]


def sigmoid_prime(z: np.ndarray | float) -> Any:
    """The derivative sigma (1 - sigma), at most a quarter."""
    a = sigmoid(z)
    return a * (1 - a)


class Network:
    """A network of sigmoid neurons with so many in each layer; weights and biases are drawn from N(0, 1).

    >>> [w.shape for w in Network([2, 3, 1]).weights]
    [(3, 2), (1, 3)]
    """

    def __init__(self, sizes: Sequence[int], *, seed: int | None = 0) -> None:
        self.num_layers, self.sizes = len(sizes), list(sizes)
        self._rng = np.random.default_rng(seed)
        self.biases = [self._rng.standard_normal((units, 1)) for units in sizes[1:]]
        self.weights = [self._rng.standard_normal((after, before)) for before, after in pairwise(sizes)]

    def feedforward(self, a: np.ndarray) -> np.ndarray:
        """The network's output for inputs [n_1, m]."""
        return self.layers(a)[0][-1]

    def layers(self, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Activations of every layer, the inputs first, and the weighted inputs z = w a + b of every layer above."""
        activations, zs = [x], []
        for b, w in zip(self.biases, self.weights, strict=True):
            zs.append(w @ activations[-1] + b)
            activations.append(sigmoid(zs[-1]))
        return activations, zs

    def SGD(
        self,
        training_data: Sequence[Sample],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        test_data: Sequence[Sample] | None = None,
        *,
        say: Callable[[str], None] = print,
    ) -> list[int]:
        """Mini-batch stochastic gradient descent; with test data a line an epoch. Returns how many were right."""
        data, right = list(training_data), []
        for epoch in range(epochs):
            for batch in shuffled_batches(data, mini_batch_size, self._rng):
                self.update_mini_batch(batch, eta)
            if test_data is None:
                say(f"Epoch {epoch} complete")
            else:
                right.append(self.evaluate(test_data))
                say(f"Epoch {epoch}: {right[-1]} / {len(test_data)}")
        return right

    def update_mini_batch(self, mini_batch: Sequence[Sample], eta: float) -> None:
        """One step of gradient descent by the mean gradient over a mini-batch of (x, y)."""
        nabla_b, nabla_w = [np.zeros_like(b) for b in self.biases], [np.zeros_like(w) for w in self.weights]
        for x, y in mini_batch:
            db, dw = self.backprop(x, y)
            nabla_b = [total + one for total, one in zip(nabla_b, db, strict=True)]
            nabla_w = [total + one for total, one in zip(nabla_w, dw, strict=True)]
        rate = eta / len(mini_batch)
        self.weights = [w - rate * nabla for w, nabla in zip(self.weights, nabla_w, strict=True)]
        self.biases = [b - rate * nabla for b, nabla in zip(self.biases, nabla_b, strict=True)]

    def backprop(self, x: np.ndarray, y: np.ndarray) -> Gradients:
        """The gradients of the cost of one sample by biases and by weights, layer by layer."""
        activations, zs = self.layers(x)
        delta = self.output_error(zs[-1], activations[-1], y)  # BP1
        deltas = [delta]
        for w, z in zip(self.weights[:0:-1], zs[-2::-1], strict=True):
            deltas.insert(0, (w.T @ deltas[0]) * sigmoid_prime(z))  # BP2
        return (
            [delta.sum(1, keepdims=True) for delta in deltas],  # BP3, summed over the samples in columns
            [delta @ a.T for delta, a in zip(deltas, activations, strict=False)],  # BP4
        )

    def update_mini_batch_matrix(self, mini_batch: Sequence[Sample], eta: float) -> None:
        """The same step with all samples at once, as columns of matrices: twice as fast or more."""
        X, Y = np.hstack([x for x, _ in mini_batch]), np.hstack([y for _, y in mini_batch])
        nabla_b, nabla_w = self.backprop(X, Y)
        rate = eta / len(mini_batch)
        self.weights = [w - rate * nabla for w, nabla in zip(self.weights, nabla_w, strict=True)]
        self.biases = [b - rate * nabla for b, nabla in zip(self.biases, nabla_b, strict=True)]

    def output_error(self, z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The error of the output layer for the quadratic cost (BP1a)."""
        return self.cost_derivative(a, y) * sigmoid_prime(z)

    @staticmethod
    def cost_derivative(output_activations: np.ndarray, y: np.ndarray) -> np.ndarray:
        """dC/da of the quadratic cost of a sample, |y - a|^2 / 2."""
        return output_activations - y

    def evaluate(self, test_data: Sequence[Sample]) -> int:
        """How many of (x, label) the most active output neuron predicts right."""
        X = np.hstack([x for x, _ in test_data])
        return int((self.feedforward(X).argmax(0) == np.array([y for _, y in test_data])).sum())


def shuffled_batches(data: list[Sample], size: int, rng: np.random.Generator) -> Iterator[list[Sample]]:
    """The samples in a random order, so many at a time; the last batch may be short."""
    order = rng.permutation(len(data))
    for start in range(0, len(data), size):
        yield [data[k] for k in order[start : start + size]]
