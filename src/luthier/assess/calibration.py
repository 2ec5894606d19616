"""Whether probabilities mean what they say, and how far off values are. Fitted on validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

BINS = 10
NOMINAL = 0.9


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [N, C] sharpened (temperature below 1) or softened (above 1).

    >>> tempered(np.array([[0.5, 0.5]]), 2.0).tolist()
    [[0.5, 0.5]]
    """
    logs = np.log(np.clip(probabilities, 1e-12, None)) / temperature
    logs -= logs.max(1, keepdims=True)
    powers = np.exp(logs)
    return np.asarray(powers / powers.sum(1, keepdims=True))


def fit_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the lowest log loss (Guo and others, 2017), between 1/4 and 4."""

    def loss(log_temperature: float) -> float:
        p = tempered(probabilities, float(np.exp(log_temperature)))
        return float(-np.log(np.clip(p[np.arange(len(y)), y], 1e-12, None)).mean())

    result = scipy.optimize.minimize_scalar(
        loss, bounds=(-np.log(4), np.log(4)), method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(result.x)) if result.fun < loss(0.0) else 1.0


def reliability(probabilities: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Bins of confidence with their accuracy, and the expected calibration error over them."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == y
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = [
        {
            "confidence": float(confidence[place == b].mean()),
            "accuracy": float(right[place == b].mean()),
            "count": int((place == b).sum()),
        }
        for b in range(BINS)
        if (place == b).any()
    ]
    error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / len(y)
    return {"bins": bins, "ece": float(error)}


def half_width(residuals: np.ndarray, nominal: float = NOMINAL) -> float:
    """The split-conformal half width: new rows fall within it with at least the nominal chance.

    >>> half_width(np.arange(1, 100) / 1.0)
    90.0
    """
    rank = min(len(residuals), int(np.ceil((len(residuals) + 1) * nominal)))
    return float(np.sort(np.abs(residuals))[rank - 1])
