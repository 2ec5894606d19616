"""Between a regression's target and what its networks predict, written once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from luthier.kinds import KINDS, LOG, Kind

Values = TypeVar("Values", np.ndarray, Tensor)
LARGEST = 1e300  # stands for no bound where other runtimes have no infinity
WIDER = 0.05  # of the range of training targets, at both ends


@dataclass(frozen=True)
class TargetTransform:
    """A target, its logarithm where `log`, less `mean`, over `std`; that is what networks predict.

    On the way back a value on the log scale is multiplied by `smear`, so that the mean is met and not the median (Duan,
    1983). Predictions stay between `lowest` and `highest`, a little beyond what training rows had: one row far outside
    the training range must not be predicted at e to the tenth of anything seen.

    An answer that is not the mean (a median, say) lies by `shifts` [K] beside the prediction on the modelled scale: a
    line through these at outputs `knots` [K], level outside of them. It takes the place of `smear`.

    Of a linked `kind` (a count, say) networks predict a mean behind a link: targets are divided by their own mean e to
    the `mean` where the link is a logarithm, and residuals are in deviations of a value around its mean; once the
    `dispersion` of a kind that has a law is fitted, in normal scores of that law.

    >>> transform = TargetTransform(mean=1.0, std=2.0, log=True)
    >>> round(float(transform.answer(transform.standardise(np.log(np.array([20.0]))))[0]), 9)
    20.0
    """

    mean: float = 0.0
    std: float = 1.0
    log: bool = False
    smear: float = 1.0
    lowest: float = -np.inf
    highest: float = np.inf
    knots: tuple[float, ...] = ()
    shifts: tuple[float, ...] = ()
    kind: Kind = KINDS["regression"]
    dispersion: float | None = None

    @classmethod
    def fit(
        cls, targets: Tensor, weights: Tensor | None, *, log: bool, kind: Kind = KINDS["regression"]
    ) -> TargetTransform:
        """Mean and deviation of modelled targets [N] (logarithms where `log`), each counting by its weight [N]."""
        mean, std = centre_of(targets, weights)
        if kind.is_linked:
            return cls(float(np.log(mean)) if kind.link == LOG else 0.0, kind=kind)
        return cls(mean, std, log)

    def standardise(self, modelled: Values) -> Values:
        """Targets, or their logarithms, as networks learn them."""
        result: Values = modelled / np.exp(self.mean) if self.kind.is_linked else (modelled - self.mean) / self.std
        return result

    def restored(self, targets: Values) -> Values:
        """`standardise` undone."""
        result: Values = targets * np.exp(self.mean) if self.kind.is_linked else self.modelled(targets)
        return result

    def residuals(self, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """By how much targets [N] lie beside predictions: on the modelled scale, or in deviations around a mean."""
        if self.kind.spread is None:
            return np.asarray(targets - self.modelled(outputs))
        mean = self.kind.link.mean(self.modelled(outputs))
        if self.kind.law is not None and self.dispersion is not None:
            return self.kind.law.scores(targets, mean, self.dispersion)
        return np.asarray((targets - mean) / self.kind.spread(mean))

    def beside(self, modelled: np.ndarray, residuals: float | np.ndarray) -> np.ndarray:
        """Values by residuals beside predictions on the modelled scale: `residuals` undone."""
        if self.kind.spread is None:
            values = modelled + residuals
            return np.asarray(np.exp(values) if self.log else values)
        mean = self.kind.link.mean(modelled)
        if self.kind.law is not None and self.dispersion is not None:
            return self.kind.law.values(residuals, mean, self.dispersion)
        return self.kind.within(mean + residuals * self.kind.spread(mean))

    def with_law(self, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None = None) -> TargetTransform:
        """With the dispersion of the kind's law, where it has one, of targets [N] that were not learnt from."""
        if self.kind.law is None:
            return self
        mean = self.kind.link.mean(self.modelled(outputs))
        return replace(self, dispersion=self.kind.law.fitted(targets, mean, weights))

    def modelled(self, outputs: Values) -> Values:
        """Predictions on the target's scale, or on that of its logarithm."""
        result: Values = outputs * self.std + self.mean
        return result

    def bounded(self, outputs: Values) -> Values:
        """Predictions within the bounds."""
        result: Values = outputs.clip(max(self.lowest, -LARGEST), min(self.highest, LARGEST))
        return result

    def answer(self, outputs: Values) -> Values:
        """Predictions on the target's own scale."""
        values = self.modelled(outputs)
        if self.shifts:
            values = values + self._shift(outputs)
        if not self.log:
            means = self.kind.link.mean(values)
            return means.round() if self.rounds else means
        result: Values = torch.exp(values) if isinstance(values, Tensor) else np.exp(values)
        return result if self.shifts else result * self.smear

    @property
    def rounds(self) -> bool:
        """Whether answers are whole numbers: medians of counts and the like, not their means."""
        return self.kind.whole and bool(self.shifts)

    def _shift(self, outputs: Values) -> Values | float:
        """By how much answers lie beside predictions, in operations that gradients pass and other runtimes have."""
        if len(self.shifts) == 1:
            return self.shifts[0]
        knots, shifts = np.array(self.knots), np.array(self.shifts)
        result: Any
        if isinstance(outputs, np.ndarray):
            result = np.interp(outputs, knots, shifts)
        else:
            first, widths, rises = (
                torch.as_tensor(x).to(outputs) for x in (knots[:-1], np.diff(knots), np.diff(shifts))
            )
            along = torch.minimum((outputs.unsqueeze(-1) - first).clamp_min(0.0), widths)
            result = (along * (rises / widths)).sum(-1) + float(shifts[0])
        return cast(Values, result)

    def centre(self, values: np.ndarray) -> np.ndarray:
        """Answers [N] on the target's own scale as predictions on the modelled one: `answer` undone."""
        if not self.shifts:
            return np.log(values / self.smear) if self.log else self.kind.link.output(values)
        ends = np.log(values) if self.log else self.kind.link.output(values)
        if len(self.shifts) == 1:
            return np.asarray(ends - self.shifts[0])
        at = np.array(self.knots) * self.std + self.mean
        return np.asarray(ends - np.interp(ends, at + np.array(self.shifts), self.shifts))

    def around(
        self, middle: np.ndarray, low: float | np.ndarray, high: float | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ends of intervals around predictions on the modelled scale [N], which lie `low` and `high` (of each row,
        or one for all) beside them."""
        below, above = self.beside(middle, low), self.beside(middle, high)
        if self.kind.whole:  # the whole numbers inside; where there is none, the nearest
            nearest = np.round(self.kind.link.mean(middle))
            below, above = np.minimum(np.ceil(below), nearest), np.maximum(np.floor(above), nearest)
        return below, above

    def bounded_by(self, targets: Tensor, other: TargetTransform | None = None) -> TargetTransform:
        """With the range of modelled training targets [N] as bounds, a twentieth wider, and within `other` ones too."""
        seen = self.standardise(targets.double())
        low, high = float(seen.min()), float(seen.max())
        low, high = low - WIDER * (high - low), high + WIDER * (high - low)
        if self.kind.is_linked:
            low, high = self.kind.link.bounds(float(seen.max()))
        if other is not None:
            low, high = min(low, other.lowest), max(high, other.highest)
        return replace(self, lowest=low, highest=high)


def centre_of(targets: Tensor, weights: Tensor | None = None) -> tuple[float, float]:
    """Mean and deviation of a regression's targets [N], of which each counts by its weight [N].

    >>> import torch
    >>> centre_of(torch.tensor([1.0, 4.0]).double(), torch.tensor([2.0, 1.0]).double())
    (2.0, 1.4142135623730951)
    """
    if weights is None:
        return float(targets.mean()), float(targets.std(correction=0))
    shares = (weights / weights.sum()).to(targets.dtype)
    mean = float(shares @ targets)
    return mean, float(shares @ (targets - mean) ** 2) ** 0.5
