"""How each label does by itself. N rows, K labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def label_scores(
    names: Sequence[str], y: np.ndarray, taken: np.ndarray, weights: np.ndarray | None, thresholds: np.ndarray
) -> list[dict[str, Any]]:
    """Each label with its rows, their share, its threshold, precision, recall and F1, the most frequent first.

    `y` and `taken` [N, K] are 1 for the labels that a row has and is answered with; None stands for a score that is not
    defined.

    >>> found = label_scores(("a", "b"), np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]]), None, np.full(2, 0.5))
    >>> [(one["label"], one["recall"], one["precision"]) for one in found]
    [('a', 0.5, 1.0), ('b', None, None)]
    """
    w = np.ones(len(y)) if weights is None else weights
    there, answered, right = (w @ one for one in (y, taken, y * taken))
    found = [
        {
            "label": name,
            "place": k,
            "rows": int((y[:, k] > 0).sum()),
            "share": float(there[k] / w.sum()),
            "threshold": float(thresholds[k]),
            "precision": _ratio(right[k], answered[k]),
            "recall": _ratio(right[k], there[k]),
            "f1": _ratio(2 * right[k], there[k] + answered[k]),
        }
        for k, name in enumerate(names)
    ]
    return sorted(found, key=lambda one: -one["share"])


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
