"""Ordered levels: one score a row between cuts that all rows share (cumulative logits; McCullagh, 1980)."""

from __future__ import annotations

from luthier.kinds.kind import Kind
from luthier.kinds.numbers_and_classes import CLASS_BASELINES
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import tr

FEWEST = 3
SHOWN = 6


def _because(facts: TargetFacts) -> str:
    if len(facts.scale) < FEWEST:
        return ""
    order = " < ".join(facts.scale[:SHOWN]) + (" < ..." if len(facts.scale) > SHOWN else "")
    reason = {
        "type": tr("the column's type has an order, {order}", order=order),
        "name": tr("whole numbers in a column named as a scale are read as levels, {order}", order=order),
        "words": tr("its values are levels of a known scale, {order}", order=order),
    }[facts.scaled_by]
    return reason + " " + tr("(--order says another one, --task multiclass reads classes without order)")


ORDERED = Kind(
    "ordered",
    "multiclass",
    "ordinal",
    "quadratic kappa",
    CLASS_BASELINES,
    _because,
    values="levels, one for each place in the order",
    is_ordered=True,
)
