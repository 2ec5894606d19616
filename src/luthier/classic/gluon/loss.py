"""Gluon's losses: a number for each sample, not their mean."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from luthier.classic.nd import NDArray, _of


class L2Loss:
    """Half the squared difference, averaged over all axes but the first: a vector of the batch's length."""

    def __call__(self, prediction: NDArray, label: NDArray) -> NDArray:
        """The losses [B]."""
        return _of(lambda p, y: ((p - y.reshape(p.shape)) ** 2 / 2).flatten(1).mean(1), prediction, label)


class SoftmaxCrossEntropyLoss:
    """Minus the logarithm of the softmax of the right class, of logits [B, C] and class numbers [B].

    The logarithm of softmax is taken in one piece, so that no logit is too large.
    """

    def __call__(self, prediction: NDArray, label: NDArray) -> NDArray:
        """The losses [B]."""
        return _of(lambda z, y: F.cross_entropy(z, y.reshape(-1).to(torch.int64), reduction="none"), prediction, label)
