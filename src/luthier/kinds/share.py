"""Shares from 0 to 1, both ends included: a mean behind the logistic function (Papke and Wooldridge, 1996)."""

from __future__ import annotations

import numpy as np

from luthier.kinds.kind import Kind
from luthier.kinds.links import LOGIT
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message

REACH = 0.5  # small numbers alone are rather amounts in a large unit
EDGE = 1e-3  # of a variance, at both ends


def _because(facts: TargetFacts) -> str:
    if not facts.fractions or facts.distinct < 3 or facts.lowest is None:
        return ""
    inside = facts.lowest >= 0 and REACH <= facts.lowest + facts.spread <= 1
    if not inside:
        return ""
    return Message("all values lie between 0 and 1, read as shares (--task regression reads plain numbers)")


def _spread(mean: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(mean * (1 - mean) + EDGE))


SHARE = Kind(
    "share",
    "regression",
    "fractional",
    "rmse",
    ("mean", "logistic regression of shares", "gradient-boosted trees", "nearest neighbours", "SVM (RBF)"),
    _because,
    link=LOGIT,
    spread=_spread,
    lowest=0.0,
    highest=1.0,
    values="numbers from 0 to 1",
)
