"""Nielsen's second network: cost functions, better initial weights, regularisation, and monitors.

The evaluation cost is regularised with the n of the training set, as everywhere: the original divides by the size of
the set that is evaluated, which makes its logs of it too large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from luthier import storage
from luthier.classic.network import Network as FirstNetwork
from luthier.classic.network import Sample, shuffled_batches, sigmoid_prime
from luthier.errors import InputError

TINY = 1e-300  # in place of 0 under a logarithm


class Cost(Protocol):
    """A cost of one sample, or of several in columns, by the output activations."""

    @staticmethod
    def fn(a: np.ndarray, y: np.ndarray) -> float:
        """The cost, summed over samples."""
        ...

    @staticmethod
    def delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The error of the output layer, dC/dz."""
        ...


class QuadraticCost:
    """|y - a|^2 / 2."""

    @staticmethod
    def fn(a: np.ndarray, y: np.ndarray) -> float:
        """The cost, summed over samples."""
        return float(0.5 * np.sum((a - y) ** 2))

    @staticmethod
    def delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The error of the output layer."""
        return (a - y) * sigmoid_prime(z)


class CrossEntropyCost:
    """-[y ln a + (1 - y) ln(1 - a)], summed over the outputs."""

    @staticmethod
    def fn(a: np.ndarray, y: np.ndarray) -> float:
        """The cost, summed over samples; a sure and wrong output costs much, not infinitely."""
        return float(-np.sum(y * np.log(np.maximum(a, TINY)) + (1 - y) * np.log(np.maximum(1 - a, TINY))))

    @staticmethod
    def delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The error of the output layer: sigma' cancels."""
        return a - y


COSTS: dict[str, type[Cost]] = {"QuadraticCost": QuadraticCost, "CrossEntropyCost": CrossEntropyCost}
Monitored = tuple[list[float], list[int], list[float], list[int]]


class CostedNetwork(FirstNetwork):
    """A network of sigmoid neurons with a cost of your choice; listings call it `Network`.

    >>> net = Network([784, 30, 10], cost=CrossEntropyCost)
    >>> sum(w.size for w in net.weights) + sum(b.size for b in net.biases)
    23860
    """

    def __init__(self, sizes: Sequence[int], cost: type[Cost] = CrossEntropyCost, *, seed: int | None = 0) -> None:
        super().__init__(sizes, seed=seed)
        self.cost = cost
        self.default_weight_initializer()

    def default_weight_initializer(self) -> None:
        """Biases from N(0, 1), weights from N(0, 1) over the root of the number of inputs. In place; begins anew."""
        self.biases = [self._rng.standard_normal((units, 1)) for units in self.sizes[1:]]
        self.weights = [
            self._rng.standard_normal((after, before)) / np.sqrt(before) for before, after in pairwise(self.sizes)
        ]

    def large_weight_initializer(self) -> None:
        """Biases and weights from N(0, 1), as the first network has them. In place; begins anew."""
        self.biases = [self._rng.standard_normal((units, 1)) for units in self.sizes[1:]]
        self.weights = [self._rng.standard_normal((after, before)) for before, after in pairwise(self.sizes)]

    def output_error(self, z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The error of the output layer for this network's cost."""
        return self.cost.delta(z, a, y)

    def SGD(  # type: ignore[override]
        self,
        training_data: Sequence[Sample],
        epochs: int,
        mini_batch_size: int,
        eta: float,
        lmbda: float = 0.0,
        evaluation_data: Sequence[Sample] | None = None,
        *,
        monitor_evaluation_cost: bool = False,
        monitor_evaluation_accuracy: bool = False,
        monitor_training_cost: bool = False,
        monitor_training_accuracy: bool = False,
        penalty: str = "l2",
        early_stopping: int = 0,
        say: Callable[[str], None] = print,
    ) -> Monitored:
        """Train, and return what was monitored after each epoch: evaluation cost, evaluation accuracy, training cost,
        training accuracy (accuracies are numbers of right ones); lists that were not asked for are empty.

        `lmbda` regularises: lmbda / (2 n) times the sum of squared weights ("l2"), or lmbda / n times the sum of their
        sizes ("l1"), n being the number of training samples; biases are left out. With `early_stopping` training ends
        after so many epochs without a better evaluation accuracy.
        """
        if penalty not in ("l1", "l2"):
            raise InputError(f"'{penalty}' is not a penalty", expected="l1 or l2")
        asks = monitor_evaluation_cost or monitor_evaluation_accuracy or early_stopping
        if asks and evaluation_data is None:
            raise InputError("there is no evaluation_data to monitor")
        data, n = list(training_data), len(training_data)
        result: Monitored = ([], [], [], [])
        best, waited = -1, 0
        for epoch in range(epochs):
            for batch in shuffled_batches(data, mini_batch_size, self._rng):
                before = [w.copy() for w in self.weights]
                self.update_mini_batch_matrix(batch, eta)
                self._shrink(before, eta * lmbda / n, penalty)
            if evaluation_data is not None and monitor_evaluation_cost:
                result[0].append(self.total_cost(evaluation_data, lmbda, n=n, penalty=penalty))
            if evaluation_data is not None and (monitor_evaluation_accuracy or early_stopping):
                result[1].append(self.accuracy(evaluation_data))
            if monitor_training_cost:
                result[2].append(self.total_cost(data, lmbda, penalty=penalty))
            if monitor_training_accuracy:
                result[3].append(self.accuracy(data))
            for line in _printed(epoch, result, n, len(evaluation_data or ())):
                say(line)
            if early_stopping:
                waited = 0 if result[1][-1] > best else waited + 1
                best = max(best, result[1][-1])
                if waited >= early_stopping:
                    break
        return result

    def _shrink(self, before: Sequence[np.ndarray], share: float, penalty: str) -> None:
        """Take off what the penalty asks for, by the weights that the gradient was taken at."""
        slopes = before if penalty == "l2" else [np.sign(w) for w in before]
        if share:
            self.weights = [w - share * slope for w, slope in zip(self.weights, slopes, strict=True)]

    def accuracy(self, data: Sequence[Sample]) -> int:
        """How many samples the most active output predicts right; labels may be numbers or columns."""
        labels = np.array([int(np.argmax(y)) if np.ndim(y) else int(y) for _, y in data])
        return int((self.feedforward(np.hstack([x for x, _ in data])).argmax(0) == labels).sum())

    def total_cost(self, data: Sequence[Sample], lmbda: float = 0.0, *, n: int = 0, penalty: str = "l2") -> float:
        """The mean cost over samples, and the penalty on weights by the n of the training set (0: these samples)."""
        A = self.feedforward(np.hstack([x for x, _ in data]))
        Y = np.hstack([y if np.ndim(y) else vectorized_result(int(y), self.sizes[-1]) for _, y in data])
        size = sum(float((w**2).sum() / 2 if penalty == "l2" else np.abs(w).sum()) for w in self.weights)
        return self.cost.fn(A, Y) / len(data) + lmbda / (n or len(data)) * size

    def save(self, filename: str | Path) -> None:
        """Write sizes, weights, biases and the cost's name as JSON."""
        storage.write_json(
            Path(filename),
            {
                "sizes": self.sizes,
                "weights": [w.tolist() for w in self.weights],
                "biases": [b.tolist() for b in self.biases],
                "cost": self.cost.__name__,
            },
        )


def _printed(epoch: int, monitored: Monitored, trained: int, evaluated: int) -> list[str]:
    """What the book's program prints after an epoch."""
    lines = [f"Epoch {epoch} training complete"]
    for data, cost, right, n in (("training", *monitored[2:], trained), ("evaluation", *monitored[:2], evaluated)):
        lines += [f"Cost on {data} data: {cost[-1]}"] if cost else []
        lines += [f"Accuracy on {data} data: {right[-1]} / {n}"] if right else []
    return [*lines, ""]


Network = CostedNetwork


def load(filename: str | Path) -> CostedNetwork:
    """A network that `save` wrote. InputError for anything else; costs are known by name, no file names code."""
    path = Path(filename)
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        net = CostedNetwork(data["sizes"], cost=COSTS[data["cost"]])
        net.weights = [np.array(w, dtype=float) for w in data["weights"]]
        net.biases = [np.array(b, dtype=float) for b in data["biases"]]
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'", expected="a network written by save") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"'{path.name}' is not a saved network", received=f"{type(error).__name__}: {error}"
        ) from error
    wanted = [(after, before) for before, after in pairwise(net.sizes)]
    if [w.shape for w in net.weights] != wanted or [b.shape for b in net.biases] != [(a, 1) for a, _ in wanted]:
        raise InputError(
            f"'{path.name}' is not a saved network",
            expected=f"weights of shapes {wanted}",
            received=f"{[w.shape for w in net.weights]}",
        )
    return net


def vectorized_result(label: int, classes: int = 10) -> np.ndarray:
    """A label as a column with a one at its place.

    >>> vectorized_result(2, 4).T
    array([[0., 0., 1., 0.]])
    """
    if not 0 <= label < classes:
        raise InputError(f"{label} is not a label", expected=f"0 to {classes - 1}")
    column = np.zeros((classes, 1))
    column[label] = 1.0
    return column
