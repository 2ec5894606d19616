"""How the steps compare settings: over seeds and rows, with the spread beside every mean."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from torch import Tensor

from luthier.messages import tr


def by_setting(losses: Sequence[float], settings: Sequence[Hashable]) -> dict[Hashable, list[float]]:
    """Losses grouped by setting, settings in order of appearance, seeds within."""
    groups: dict[Hashable, list[float]] = {}
    for loss, setting in zip(losses, settings, strict=True):
        groups.setdefault(setting, []).append(float(loss))
    return groups


def row_losses(outputs: Tensor, targets: Tensor, kind: str, weights: Tensor | None = None) -> Tensor:
    """Loss of each row [N] for averaged outputs [..., N, C]: negative log probability, or squared error.

    With weights [N] a row's loss counts by its share, so that the plain mean is the weighted one.
    """
    if weights is not None:
        return row_losses(outputs, targets, kind) * (weights / weights.mean()).double()
    if kind == "regression":
        return (outputs[..., 0] - targets.double()) ** 2
    return -of_target(outputs, targets).squeeze(-1).clamp_min(1e-12).log()


def of_target(outputs: Tensor, targets: Tensor) -> Tensor:
    """The probability [..., N, 1] of each row's own class, from those of all classes [..., N, C]."""
    return outputs.gather(-1, targets.long().expand(outputs.shape[:-1]).unsqueeze(-1))


@dataclass(frozen=True)
class Gain:
    """A mean of paired differences, the half width of its 95 % interval, and whether it is `clear` of the noise."""

    gain: float | None
    half_width: float | None
    pairs: int
    clear: bool

    @property
    def lowers(self) -> bool:
        """Whether the loss falls, beyond the noise."""
        return self.clear and self.gain is not None and self.gain > 0

    @property
    def size(self) -> str:
        """The gain with its half width."""
        if self.gain is None:
            return tr("not measured")
        return f"{self.gain:+.4f}" + ("" if self.half_width is None else f" ± {self.half_width:.4f}")

    @property
    def in_words(self) -> str:
        """How large it is, and whether it is more than noise.

        >>> Gain(0.02, 0.05, 40, False).in_words
        '+0.0200 ± 0.0500, inside the noise'
        """
        if self.gain is None:
            return self.size
        noise = tr("clear of the noise") if self.clear else tr("inside the noise")
        return tr("{size}, {noise}", size=self.size, noise=noise)


def interval(differences: Sequence[float] | np.ndarray) -> Gain:
    """Mean of paired differences with the half width of its 95 % interval.

    >>> interval([0.1, 0.1, 0.1, 0.1]).clear
    True
    """
    n = len(differences)
    if n < 2:
        return Gain(round(float(differences[0]), 5) if n else None, None, n, clear=False)
    mean = float(np.mean(differences))
    half = float(scipy.stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))
    return Gain(round(mean, 5), round(half, 5), n, clear=abs(mean) > half)
