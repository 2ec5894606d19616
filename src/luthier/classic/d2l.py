"""*Dive into Deep Learning*: softmax by rows, its two cross-entropies under names of their own, accuracy.

The page calls both cross-entropies `cross_entropy`: one is binary, averaged, and takes labels first; the other is of
several classes, one number a row, and takes probabilities first. Rows are samples.
"""

from __future__ import annotations

import numpy as np

from luthier.classic.nd import NDArray, pick

CLIPPED = 1e-12  # how near to 0 and 1 a probability may come under a logarithm


def softmax(X: NDArray) -> NDArray:
    """Probabilities of scores [N, C], row by row; the largest score of a row is taken off first."""
    t = (X - X.max(axis=1, keepdims=True)).exp()
    return t / t.sum(axis=1, keepdims=True)


def cross_entropy(y_hat: NDArray, y: NDArray) -> NDArray:
    """-ln of the probability [N] that rows [N, C] give to their labels [N].

    >>> from luthier.classic import nd
    >>> cross_entropy(nd.array([[0.1, 0.3, 0.6]]), nd.array([2])).asnumpy().round(4).tolist()
    [0.5108000040054321]
    """
    return -pick(y_hat, y).log()


def binary_cross_entropy(Y: np.ndarray, P: np.ndarray) -> float:
    """The mean of -[y ln p + (1 - y) ln(1 - p)] over 0/1 labels [N] and probabilities [N], finite at 0 and 1.

    >>> round(binary_cross_entropy([1, 0], [0.5, 0.5]), 4)
    0.6931
    """
    y, p = np.asarray(Y, dtype=float), np.clip(np.asarray(P, dtype=float), CLIPPED, 1 - CLIPPED)
    return float(-np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / len(y))


def accuracy(y_hat: NDArray, y: NDArray) -> float:
    """The share of rows [N, C] whose largest number is at the label [N]."""
    return float((y_hat.argmax(axis=1) == y.astype("float32")).mean())
