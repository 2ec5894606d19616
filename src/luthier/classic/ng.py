"""Andrew Ng's lectures: classes as columns, softmax in two steps, batch norm forwards and backwards.

Columns are samples: Z is (n, m), gamma and beta are (n, 1). Labels count from 0, so label 2 of 4 is (0, 0, 1, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.classic.network2 import TINY, vectorized_result

EPSILON = 1e-5  # inside the root, against a variance of 0
MEMORY = 0.9  # the share that moving averages keep of themselves


def one_hot(labels: Sequence[int], classes: int) -> np.ndarray:
    """Labels [m] as columns (classes, m) with a single one. InputError for a label that is not a class.

    >>> one_hot([0, 1, 3, 2], 4).astype(int).tolist()
    [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    """
    return np.hstack([vectorized_result(int(label), classes) for label in labels])


def softmax(z: np.ndarray, c: float = 1.0) -> np.ndarray:
    """t = exp(c z), then t over its sum: probabilities (C, m) or (C,) of scores; the largest is taken off first.

    >>> softmax(np.array([5.0, 2.0, -1.0, 3.0])).round(3)
    array([0.842, 0.042, 0.002, 0.114])
    """
    z = np.asarray(z, dtype=float)
    t = np.exp(c * (z - z.max(0)))
    result: np.ndarray = t / t.sum(0)
    return result


def hardmax(z: np.ndarray) -> np.ndarray:
    """A one at the largest score of each column, zeros elsewhere: what softmax is the softened version of.

    >>> hardmax(np.array([5.0, 2.0, -1.0, 3.0]))
    array([1., 0., 0., 0.])
    """
    z = np.asarray(z, dtype=float)
    return (np.arange(len(z)).reshape(-1, *[1] * (z.ndim - 1)) == z.argmax(0)).astype(float)


def cost(A: np.ndarray, Y: np.ndarray) -> float:
    """J, the mean over samples of -sum y ln a, of probabilities and one-hot columns (C, m)."""
    return float(-(Y * np.log(np.maximum(A, TINY))).sum(0).mean())


def output_error(A: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """dJ/dZ of softmax with that cost: A - Y, over m because J is a mean."""
    return (A - Y) / A.shape[1]


class Normalised(NamedTuple):
    """A batch after batch norm, and what its backward pass needs."""

    out: np.ndarray  # gamma z_norm + beta, (n, m)
    z_norm: np.ndarray
    mu: np.ndarray  # (n, 1)
    variance: np.ndarray
    gamma: np.ndarray


def batch_norm(Z: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float = EPSILON) -> Normalised:
    """Batch norm of weighted inputs (n, m) in training, by this batch's mean and variance."""
    mu = Z.mean(1, keepdims=True)
    variance = ((Z - mu) ** 2).mean(1, keepdims=True)
    z_norm = (Z - mu) / np.sqrt(variance + epsilon)
    return Normalised(gamma * z_norm + beta, z_norm, mu, variance, gamma)


def batch_norm_backward(
    dout: np.ndarray, kept: Normalised, Z: np.ndarray, epsilon: float = EPSILON
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """dZ, dgamma and dbeta from the derivative by what batch norm gave."""
    m, root = Z.shape[1], np.sqrt(kept.variance + epsilon)
    dgamma, dbeta = (dout * kept.z_norm).sum(1, keepdims=True), dout.sum(1, keepdims=True)
    dnorm = dout * kept.gamma
    dvariance = (dnorm * (Z - kept.mu)).sum(1, keepdims=True) * -0.5 * root**-3
    dmu = -(dnorm / root).sum(1, keepdims=True) + dvariance * (-2 * (Z - kept.mu)).mean(1, keepdims=True)
    return dnorm / root + dvariance * 2 * (Z - kept.mu) / m + dmu / m, dgamma, dbeta


class MovingAverages:
    """Means and variances of batches, weighted exponentially: what a single row is normalised with in evaluation."""

    def __init__(self, units: int, memory: float = MEMORY) -> None:
        self.memory, self.mu, self.variance = memory, np.zeros((units, 1)), np.ones((units, 1))

    def follow(self, batch: Normalised) -> None:
        """Take in a batch's statistics."""
        self.mu = self.memory * self.mu + (1 - self.memory) * batch.mu
        self.variance = self.memory * self.variance + (1 - self.memory) * batch.variance

    def normalise(self, Z: np.ndarray, gamma: np.ndarray, beta: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
        """Batch norm in evaluation: each column by itself."""
        return gamma * (Z - self.mu) / np.sqrt(self.variance + epsilon) + beta
