"""Are new rows from the same population as the training rows? Column by column, and all columns at once.

N rows. For each column: the Kolmogorov-Smirnov or the chi-square test, with Holm's correction over all columns,
and the population stability index, whose usual bounds are 0.1 (watch) and 0.25 (act).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from luthier.schema_types import Count, Number

BINS = 10
WATCH, ACT = 0.1, 0.25
MOST_ROWS = 4000  # of each side, for the classifier
FEWEST_ROWS = 50
TINY = 1e-4


def stability_index(before: np.ndarray, now: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The population stability index of two samples of numbers, over tenths of the first; the second's by `weights`.

    >>> x = np.arange(1000.0)
    >>> stability_index(x, x) < 1e-9, stability_index(x, x + 2000) > ACT
    (True, True)
    """
    edges = np.unique(np.quantile(before, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [
        np.bincount(np.searchsorted(edges, x, side="right"), w, minlength=len(edges) + 1)
        for x, w in ((before, None), (now, weights))
    ]
    return shares_index(*(count / count.sum() for count in counts))


def shares_index(before: np.ndarray, now: np.ndarray) -> float:
    """The index of two sets of shares: the sum of differences times the logarithm of ratios."""
    a, b = (np.maximum(share, TINY) for share in (before, now))
    return float(((b - a) * np.log(b / a)).sum())


def holm(chances: Sequence[float]) -> list[float]:
    """Chances corrected for their number (Holm 1979), in their order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(chances)
    corrected, largest = np.empty(len(order)), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * chances[i]))
        corrected[i] = largest
    return [float(round(x, 12)) for x in corrected]


def count_test(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """Cramer's V of two rows of counts, and the chance of the chi-square test; empty levels are left out."""
    table = np.stack([before, now])[:, (before + now) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0
    result = scipy.stats.chi2_contingency(table, correction=False)
    return float(np.sqrt(result.statistic / table.sum())), float(result.pvalue)


@dataclass(frozen=True)
class ToldApart:
    """How well trees tell new rows from training rows: the area under the curve, and the rows of both sides."""

    auc: Number
    low: Number
    high: Number
    rows: list[Count] = field(default_factory=list)


def told_apart(
    before: np.ndarray,
    now: np.ndarray,
    *,
    seed: int = 0,
    weights: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> ToldApart | None:
    """Whether boosted trees can separate new rows [N, F] from training rows: the AUC on rows they were not fitted on.

    One half means that nothing sets them apart. The interval is that of the ranks (Hanley and McNeil 1982). Rows count
    by the `weights` of both sides. None for few rows.
    """
    if min(len(before), len(now)) < FEWEST_ROWS:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier  # half a second: only here, so that models load fast
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(len(side))[:MOST_ROWS] for side in (before, now)]
    sides = [side[rows] for side, rows in zip((before, now), chosen, strict=True)]
    X, y = np.concatenate(sides), np.repeat([0, 1], [len(side) for side in sides])
    counts = [np.ones(len(rows)) if w is None else w[rows] for w, rows in zip(weights, chosen, strict=True)]
    w = None if all(given is None for given in weights) else np.concatenate([count / count.mean() for count in counts])
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)
    folds = StratifiedKFold(4, shuffle=True, random_state=seed)
    params = {} if w is None else {"sample_weight": w}
    scores = cross_val_predict(model, X, y, cv=folds, method="predict_proba", params=params)[:, 1]
    auc = float(roc_auc_score(y, scores, sample_weight=w))
    half = 1.96 * _auc_error(auc, len(sides[1]), len(sides[0]))
    return ToldApart(auc, auc - half, min(1.0, auc + half), [len(side) for side in sides])


def _auc_error(auc: float, positive: int, negative: int) -> float:
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (one - auc**2) + (negative - 1) * (two - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (positive * negative)))
