"""Classifiers of scikit-learn for targets that are several labels a row: one for each. N rows, K labels.

It imports nothing else of ours: the process that fits the baselines takes it by its path.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def label_by_label(model: Any) -> Any:
    """A classifier, or the last step of a pipeline, as one for each column of targets [N, K].

    A column with a single value is answered with it.
    """
    from sklearn.base import BaseEstimator, ClassifierMixin, clone

    class EachLabel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self, each: Any) -> None:
            self.each = each

        def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> EachLabel:
            self.classes_ = np.arange(y.shape[1])
            weights = {} if sample_weight is None else {"sample_weight": sample_weight}
            self.fitted = [
                float(column[0]) if (column == column[0]).all() else clone(self.each).fit(X, column, **weights)
                for column in y.T
            ]
            return self

        def predict_proba(self, X: np.ndarray) -> np.ndarray:
            known = [one if isinstance(one, float) else one.predict_proba(X)[:, 1] for one in self.fitted]
            return np.stack([np.broadcast_to(one, X.shape[0]) for one in known], 1)

    if hasattr(model, "steps"):
        model.steps[-1] = (model.steps[-1][0], EachLabel(model.steps[-1][1]))
        return model
    return EachLabel(model)
