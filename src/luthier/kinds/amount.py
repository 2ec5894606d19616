"""Amounts of which many are 0, such as rain or claims: a mean behind a logarithm, by Tweedie's deviance (1987)."""

from __future__ import annotations

import numpy as np

from luthier.kinds.kind import Kind
from luthier.kinds.links import LOG
from luthier.kinds.target_facts import SKEWED, TargetFacts
from luthier.messages import Message

POWER = 1.5  # of the mean in the variance, between counts (1) and amounts without zeros (2)
MANY, VALUES = 0.05, 20  # rows that are 0; distinct values of an amount in whole numbers


def _because(facts: TargetFacts) -> str:
    fine = facts.fractions or (facts.numeric and facts.distinct > VALUES and facts.gaps > 0)
    if not fine or facts.lowest != 0 or facts.zeros < MANY or facts.bent <= SKEWED:
        return ""
    return Message(
        "{zeros:.0%} of the values are 0 and the others are skewed, read as amounts with zeros "
        "(--task regression reads plain numbers)",
        zeros=facts.zeros,
    )


def _spread(mean: np.ndarray) -> np.ndarray:
    return np.asarray(mean ** (POWER / 2))


AMOUNT = Kind(
    "amount",
    "regression",
    f"tweedie {POWER:g}",
    f"tweedie deviance {POWER:g}",
    ("mean", "Tweedie regression", "gradient-boosted trees", "nearest neighbours"),
    _because,
    link=LOG,
    spread=_spread,
    lowest=0.0,
    values="numbers from 0 on",
)
