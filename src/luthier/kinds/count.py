"""Counts: whole numbers from 0 on, whose expected value is learnt behind a logarithm (Poisson's likelihood).

Only the mean has to be right for that: counts that vary more than Poisson's keep it, and are asked whether the negative
binomial law learns it better. Intervals are quantiles of that law around the mean, whose dispersion and width rows not
learnt from show.
"""

from __future__ import annotations

import numpy as np

from luthier.kinds.count_law import counts, fitted_dispersion, scores
from luthier.kinds.kind import Kind, Law
from luthier.kinds.links import LOG
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message

FEWEST, RARE, TAIL = 5, 0.05, 0.15  # values; rows with the largest one; rows above the middle of the range
VARIES = 1.25  # variance over mean (1 by Poisson's law) from which rows of large means may count for less
HALF = 0.5  # added to a mean, so that a deviation near 0 does not vanish


def _because(facts: TargetFacts) -> str:
    whole = facts.numeric and not facts.fractions and facts.lowest == 0 and facts.gaps == 0
    if not whole or facts.distinct < FEWEST or facts.largest > RARE or facts.upper > TAIL:
        return ""
    return Message(
        "whole numbers from 0 to {largest} that get rarer towards the end, read as counts "
        "(--task multiclass reads classes, --task regression plain numbers)",
        largest=round(facts.spread),
    )


def _spread(mean: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(mean + HALF))


def _other_loss(values: np.ndarray, weights: np.ndarray | None) -> str:
    """The negative binomial law's, where values vary more than by Poisson's, with the dispersion of their moments.

    What inputs explain is part of that dispersion, so it is an upper end; means are learnt without bias by any.
    """
    mean = np.average(values, weights=weights)
    variance = np.average(np.square(values - mean), weights=weights)
    return f"negative binomial {(variance - mean) / mean**2:.3g}" if mean and variance > VARIES * mean else ""


COUNT = Kind(
    "count",
    "regression",
    "poisson",
    "poisson deviance",
    ("mean", "Poisson regression", "gradient-boosted trees", "nearest neighbours"),
    _because,
    link=LOG,
    spread=_spread,
    lowest=0.0,
    whole=True,
    values="whole numbers from 0 on",
    law=Law(scores, counts, fitted_dispersion),
    other_loss=_other_loss,
)
