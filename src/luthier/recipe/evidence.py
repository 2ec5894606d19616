"""How the steps compare settings: over seeds and rows, with the spread beside every mean."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import scipy
from torch import Tensor


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, spread (standard deviation over seeds) and count of a measured loss.

    >>> summary([1.0, 3.0])
    {'mean': 2.0, 'spread': 1.4142, 'seeds': 2}
    """
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return {"mean": None, "spread": None, "seeds": 0}
    spread = round(float(np.std(finite, ddof=1)), 4) if len(finite) > 1 else None
    return {"mean": round(float(np.mean(finite)), 5), "spread": spread, "seeds": len(finite)}


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


def interval(differences: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Mean of paired differences with the half width of its 95 % interval.

    >>> interval([0.1, 0.1, 0.1, 0.1])["clear"]
    True
    """
    n = len(differences)
    if n < 2:
        return {
            "gain": round(float(differences[0]), 5) if n else None,
            "half_width": None,
            "pairs": n,
            "clear": False,
        }
    mean = float(np.mean(differences))
    half = float(scipy.stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))
    return {"gain": round(mean, 5), "half_width": round(half, 5), "pairs": n, "clear": bool(abs(mean) > half)}


def in_words(gain: dict[str, Any]) -> str:
    """A paired gain as a clause: how large, and whether it is more than noise."""
    if gain["gain"] is None:
        return "not measured"
    size = f"{gain['gain']:+.4f}" + ("" if gain["half_width"] is None else f" ± {gain['half_width']:.4f}")
    return f"{size}, clear of the noise" if gain["clear"] else f"{size}, inside the noise"
