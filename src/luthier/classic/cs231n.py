"""The course's update rules on a gradient function `compute_gradient(x)`, and its dropout network, mistakes mended.

The momentum update is printed with the wrong sign (x += rate * v climbs); Adam's t counts from 1. Columns are samples
in the dropout network, rows everywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from luthier.errors import InputError

Gradient = Callable[[np.ndarray], np.ndarray]
EPSILON = 1e-7


class UpdateRule:
    """An update rule with its state; one step at a time, for toy functions and for networks alike.

    >>> rule = UpdateRule("momentum", learning_rate=0.01)
    >>> x = np.array([1.0])
    >>> for _ in range(200):
    ...     x = rule.step(x, 2 * x)
    >>> bool(abs(x[0]) < 1e-3)
    True
    """

    def __init__(
        self,
        name: str,
        *,
        learning_rate: float,
        rho: float = 0.9,
        decay_rate: float = 0.99,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = EPSILON,
    ) -> None:
        if name not in RULES:
            raise InputError(f"'{name}' is not a rule", expected=", ".join(RULES))
        self.name, self.learning_rate, self.rho, self.decay_rate = name, learning_rate, rho, decay_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.t = 0
        self.first: Any = 0.0  # the velocity, or Adam's first moment
        self.second: Any = 0.0  # what squares add up to

    def step(self, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
        """The next x."""
        self.t += 1
        return RULES[self.name](self, x, dx)

    def run(self, compute_gradient: Gradient, x: Sequence[float], steps: int) -> np.ndarray:
        """The path [steps + 1, D] from a start."""
        path = [np.array(x, dtype=float)]
        for _ in range(steps):
            path.append(self.step(path[-1], compute_gradient(path[-1])))
        return np.array(path)


def _sgd(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    return x - rule.learning_rate * dx


def _momentum(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    rule.first = rule.rho * rule.first + dx
    return x - rule.learning_rate * rule.first


def _nesterov(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    old = rule.first
    rule.first = rule.rho * rule.first - rule.learning_rate * dx
    return x - rule.rho * old + (1 + rule.rho) * rule.first


def _adagrad(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    rule.second = rule.second + dx * dx
    return x - rule.learning_rate * dx / (np.sqrt(rule.second) + rule.epsilon)


def _rmsprop(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    rule.second = rule.decay_rate * rule.second + (1 - rule.decay_rate) * dx * dx
    return x - rule.learning_rate * dx / (np.sqrt(rule.second) + rule.epsilon)


def _adam_uncorrected(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    rule.first = rule.beta1 * rule.first + (1 - rule.beta1) * dx
    rule.second = rule.beta2 * rule.second + (1 - rule.beta2) * dx * dx
    return x - rule.learning_rate * rule.first / (np.sqrt(rule.second) + rule.epsilon)


def _adam(rule: UpdateRule, x: np.ndarray, dx: np.ndarray) -> np.ndarray:
    if rule.t < 1:
        raise InputError("Adam counts its steps from 1", received=f"t = {rule.t}")
    rule.first = rule.beta1 * rule.first + (1 - rule.beta1) * dx
    rule.second = rule.beta2 * rule.second + (1 - rule.beta2) * dx * dx
    first, second = rule.first / (1 - rule.beta1**rule.t), rule.second / (1 - rule.beta2**rule.t)
    return x - rule.learning_rate * first / (np.sqrt(second) + rule.epsilon)


RULES: dict[str, Callable[[UpdateRule, np.ndarray, np.ndarray], np.ndarray]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam-uncorrected": _adam_uncorrected,
    "adam": _adam,
}


class DropoutNet:
    """Three layers with dropout after the two hidden ones; `p` is the probability to keep a unit.

    `inverted` divides by p in training, so that nothing is left to do at test time; otherwise activations are
    multiplied by p there.
    """

    def __init__(self, sizes: Sequence[int], *, p: float = 0.5, inverted: bool = True, seed: int = 0) -> None:
        if len(sizes) != 4 or not 0 < p <= 1:
            raise InputError(
                "the sizes of a three-layer network or its keep probability are wrong",
                expected="four sizes and a keep probability 0 < p <= 1",
                received=f"{list(sizes)}, p = {p}",
            )
        self.p, self.inverted, self._rng = p, inverted, np.random.default_rng(seed)
        self.W = [self._rng.standard_normal((after, before)) * np.sqrt(2 / before) for before, after in pairwise(sizes)]
        self.b = [np.zeros((after, 1)) for after in sizes[1:]]
        self.masks: list[np.ndarray] = []

    def train_step(self, X: np.ndarray, masks: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Outputs of columns X in training mode; masks are drawn, or given."""
        self._H, self.masks = [X], []
        for place in (0, 1):
            H = np.maximum(0, self.W[place] @ self._H[-1] + self.b[place])
            U = (self._rng.random(H.shape) < self.p) / (self.p if self.inverted else 1)
            self.masks.append(U if masks is None else masks[place])
            self._H.append(H * self.masks[place])
        return self.W[2] @ self._H[-1] + self.b[2]

    def backward(self, dout: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Gradients by weights and biases from the derivative by the last outputs (the page leaves it out)."""
        dW: list[np.ndarray] = []
        db: list[np.ndarray] = []
        for place in (2, 1, 0):
            dW.insert(0, dout @ self._H[place].T)
            db.insert(0, dout.sum(1, keepdims=True))
            if place:
                dout = (self.W[place].T @ dout) * self.masks[place - 1] * (self._H[place] > 0)
        return dW, db

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Outputs in evaluation mode: all units, their activations as they are expected in training."""
        H, share = X, 1.0 if self.inverted else self.p
        for place in (0, 1):
            H = np.maximum(0, self.W[place] @ H + self.b[place]) * share
        return self.W[2] @ H + self.b[2]
