"""Ordered levels: one score a row between cuts that all rows share (cumulative logits; McCullagh, 1980)."""

from __future__ import annotations

from luthier.kinds.kind import Kind
from luthier.kinds.numbers_and_classes import CLASS_BASELINES
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message, joined

FEWEST = 3
SHOWN = 6


def _because(facts: TargetFacts) -> str:
    if len(facts.scale) < FEWEST:
        return ""
    order = " < ".join(facts.scale[:SHOWN]) + (" < ..." if len(facts.scale) > SHOWN else "")
    reason = {
        "type": Message("the column's type has an order, {order}", order=order),
        "name": Message("whole numbers in a column named as a scale are read as levels, {order}", order=order),
        "words": Message("its values are levels of a known scale, {order}", order=order),
    }[facts.scaled_by]
    remedy = Message("(--order says another one, --task multiclass reads classes without order)")
    return joined([reason, remedy], "{first} {rest}")


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
