"""Intervals as wide as each row asks for: conformalised quantile regression (Romano, Patterson and Candes, 2019).

A small network learns where the middle 90 % of a row's residuals lie, from rows that the delivered networks had left
out. Both ends are then moved by one correction, so that the intervals hold the stated share of these rows.
With folds and a mean of networks the share is approximate: it is measured on the sealed rows. N rows, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from luthier.assess.calibration import NOMINAL, conformal_quantile
from luthier.nets import Net
from luthier.objective import quantiles
from luthier.schema_types import Count, Number, Undefined

LEVELS = ((1 - NOMINAL) / 2, (1 + NOMINAL) / 2)
PINBALL = quantiles(*LEVELS)
EQUAL = 1e-6  # of the widest interval: widths that differ by less are one


@dataclass(frozen=True)
class RowIntervals:
    """A network of two outputs for each row: the quantiles of its residual over `scale`, which `correction` widens.

    It sees a row's features and, in a last column, its standardised prediction. `correction` and what `offsets` gives
    are on the scale of the model: that of the target, or of its logarithm.
    """

    net: Net
    scale: float
    correction: float

    @torch.no_grad()
    def offsets(self, features: Tensor, codes: Tensor, outputs: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """By how much the ends of the intervals lie beside the predictions, both [N], of standardised outputs [N]."""
        seen = with_prediction(features, outputs)
        return moved(self.scale * quantiles_of(self.net(seen, codes)), self.correction)


def with_prediction(features: Tensor, outputs: Tensor) -> Tensor:
    """Features [N, F] and the standardised prediction of each row [N] as one more column."""
    return torch.cat([features, outputs.to(features.dtype).unsqueeze(1)], 1)


def quantiles_of(outputs: Tensor) -> np.ndarray:
    """The two quantiles [N, 2] that a network's outputs stand for, the lower one first."""
    assert PINBALL.answer is not None
    return np.asarray(PINBALL.answer(outputs).double().numpy())


def moved(ends: np.ndarray, correction: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends [N, 2] moved outwards, or inwards to where they meet.

    >>> moved(np.array([[-1.0, 2.0], [-1.0, 1.0]]), -1.25)
    (array([0.25, 0.  ]), array([0.75, 0.  ]))
    """
    low, high = ends[:, 0] - correction, ends[:, 1] + correction
    middle = ends.mean(1)
    return np.minimum(low, middle), np.maximum(high, middle)


def correction_of(
    ends: np.ndarray, residuals: np.ndarray, weights: np.ndarray | None = None, units: int | None = None
) -> float:
    """How far the ends [N, 2] have to be moved so that the intervals hold residuals [N] as often as is stated.

    >>> correction_of(np.tile([-1.0, 1.0], (99, 1)), np.linspace(-4.9, 4.9, 99)) > 3.4
    True
    """
    return conformal_quantile(np.maximum(ends[:, 0] - residuals, residuals - ends[:, 1]), NOMINAL, weights, units)


@dataclass(frozen=True)
class ThirdCoverage:
    """Of a third of the rows: how often its intervals hold the value."""

    rows: Count
    coverage: Undefined
    mean_width: Undefined


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold the value; `thirds` are those of the intervals' widths, none where all are as wide."""

    nominal: Number
    coverage: Undefined
    mean_width: Undefined = float("nan")
    thirds: list[ThirdCoverage] = field(default_factory=list)
    half_width: Undefined = float("nan")
    by_row: bool = False


def interval_figures(y: np.ndarray, low: np.ndarray, high: np.ndarray, weights: np.ndarray | None = None) -> Coverage:
    """How often intervals hold values [N], how wide they are, and both in each third of their widths.

    Intervals of one width have no thirds.

    >>> figures = interval_figures(np.zeros(6), -np.arange(1.0, 7), np.array([1.0, 1, 1, 1, 1, -1]))
    >>> round(figures.coverage, 3), [third.coverage for third in figures.thirds]
    (0.833, [1.0, 1.0, 0.5])
    """
    inside, width = (low <= y) & (y <= high), high - low
    thirds = []
    if np.ptp(width) > EQUAL * float(np.abs(width).max(initial=0)):
        for rows in np.array_split(np.argsort(width, kind="stable"), 3):
            some = None if weights is None else weights[rows]
            thirds.append(ThirdCoverage(len(rows), _mean(inside[rows], some), _mean(width[rows], some)))
    return Coverage(NOMINAL, _mean(inside, weights), _mean(width, weights), thirds)


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(values, weights=weights)) if len(values) else float("nan")


def interval_score(low: np.ndarray, high: np.ndarray, values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean width, and 2 / (1 - 0.9) times how far values [N] lie outside: lowest for the true quantiles (Gneiting
    and Raftery, 2007).

    >>> round(interval_score(np.zeros(2), np.ones(2), np.array([0.5, 1.5])), 9)
    6.0
    """
    outside = np.maximum(low - values, 0) + np.maximum(values - high, 0)
    return float(np.average(high - low + 2 / (1 - NOMINAL) * outside, weights=weights))
