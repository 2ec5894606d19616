"""Quantiles of each row's value: a small network learns those of a row's residuals, which never cross.

It learns them from rows that the delivered networks had left out, by the pinball loss (Koenker and Bassett, 1978); each
quantile is then moved by one correction, so that as large a share of these rows lies below it as is stated. Where that
network is no better than one law for all rows, that law's quantiles stand for it. N rows, F features, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.assess.drift import weighted_quantiles
from luthier.assess.row_intervals import with_prediction
from luthier.nets import Net
from luthier.objective import quantiles


@dataclass(frozen=True)
class RowQuantiles:
    """The quantiles `levels` [Q] of rows' residuals on the modelled scale: `offsets` [Q] for all rows alike, and beside
    these, where there is a `net`, `scale` times its outputs for each row."""

    levels: tuple[float, ...]
    offsets: tuple[float, ...]
    scale: float = 1.0
    net: Net | None = None

    @torch.no_grad()
    def residuals(self, features: Tensor, codes: Tensor, outputs: Tensor) -> np.ndarray:
        """The quantiles [N, Q] of rows with standardised outputs [N], rising from left to right."""
        if self.net is None:
            return np.tile(self.offsets, (len(outputs), 1))
        found = rising(self.net(with_prediction(features, outputs), codes), self.levels)
        return risen(self.scale * found + np.array(self.offsets))


def rising(outputs: Tensor, levels: tuple[float, ...]) -> np.ndarray:
    """The quantiles [..., Q] that outputs [..., Q] of a network stand for: none lies above the next."""
    answer = quantiles(*levels).answer
    assert answer is not None
    return np.asarray(answer(outputs).double().numpy())


def risen(values: np.ndarray) -> np.ndarray:
    """Quantiles [N, Q] where corrections have let some cross: each at least the one before.

    >>> risen(np.array([[1.0, 0.5, 2.0]]))
    array([[1., 1., 2.]])
    """
    return np.asarray(np.maximum.accumulate(values, 1))


def corrections(
    found: np.ndarray, residuals: np.ndarray, levels: tuple[float, ...], weights: np.ndarray | None = None
) -> tuple[float, ...]:
    """By how much quantiles [N, Q] have to move so that the stated share of residuals [N] lies below each.

    >>> corrections(np.zeros((99, 1)), np.arange(1.0, 100), (0.5,))
    (50.0,)
    """
    counting = np.ones(len(residuals)) if weights is None else weights
    one = [
        float(weighted_quantiles(residuals - found[:, q], counting, np.array([level]))[0])
        for q, level in enumerate(levels)
    ]
    return tuple(one)


def pinball_of(
    found: np.ndarray, values: np.ndarray, levels: tuple[float, ...], weights: np.ndarray | None = None
) -> np.ndarray:
    """The mean pinball loss [Q] of quantiles [N, Q] for values [N].

    >>> pinball_of(np.array([[1.0], [1.0]]), np.array([3.0, 0.0]), (0.9,))  # 0.9 * 2, and 0.1 * 1
    array([0.95])
    """
    off, q = values[:, None] - found, np.array(levels)
    return np.asarray(np.average(np.maximum(q * off, (q - 1) * off), axis=0, weights=weights))
