"""How each label does by itself. N rows, K labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schema_types import Count, Number, Text


@dataclass(frozen=True)
class LabelScore:
    """A label, its rows and their share, the threshold from which on it is answered, and how well; None where a score
    is not defined."""

    label: Text
    rows: Count
    share: Number
    threshold: Number
    precision: Number | None = None
    recall: Number | None = None
    f1: Number | None = None


def label_scores(
    names: Sequence[str], y: np.ndarray, taken: np.ndarray, weights: np.ndarray | None, thresholds: np.ndarray
) -> list[LabelScore]:
    """The scores of each label, the most frequent first. `y` and `taken` [N, K] are 1 for the labels that a row has and
    is answered with.

    >>> found = label_scores(("a", "b"), np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]]), None, np.full(2, 0.5))
    >>> [(one.label, one.recall, one.precision) for one in found]
    [('a', 0.5, 1.0), ('b', None, None)]
    """
    w = np.ones(len(y)) if weights is None else weights
    there, answered, right = (w @ one for one in (y, taken, y * taken))
    found = [
        LabelScore(
            name,
            int((y[:, k] > 0).sum()),
            float(there[k] / w.sum()),
            float(thresholds[k]),
            _ratio(right[k], answered[k]),
            _ratio(right[k], there[k]),
            _ratio(2 * right[k], there[k] + answered[k]),
        )
        for k, name in enumerate(names)
    ]
    return sorted(found, key=lambda one: -one.share)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
