"""Labels: any number of them a row, each a yes or no of its own; one cross-entropy a label."""

from __future__ import annotations

from luthier.kinds.kind import Kind
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message


def _because(facts: TargetFacts) -> str:
    if not facts.listed:
        return ""
    return Message(
        "cells are lists such as '{listed}', of {count} labels that recur in other lists "
        "(--task multiclass reads each list as a class)",
        listed=facts.listed,
        count=facts.labels,
    )


LABELS = Kind(
    "labels",
    "labels",
    "binary",
    "hamming loss",
    ("majority class", "logistic regression", "gradient-boosted trees"),
    _because,
    values="lists of labels, such as a;b",
)
