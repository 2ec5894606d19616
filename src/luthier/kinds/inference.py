"""The kind that a target is taken for, and why: the first whose rule holds, in a stated order."""

from __future__ import annotations

from luthier.kinds.amount import AMOUNT
from luthier.kinds.count import COUNT
from luthier.kinds.kind import Kind, TaskKind
from luthier.kinds.labels import LABELS
from luthier.kinds.numbers_and_classes import BINARY, MULTICLASS, REGRESSION
from luthier.kinds.ordered import ORDERED
from luthier.kinds.share import SHARE
from luthier.kinds.target_facts import TargetFacts
from luthier.messages import Message

# In the order in which they are asked; the last one fits everything.
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (LABELS, ORDERED, COUNT, SHARE, AMOUNT, REGRESSION, BINARY, MULTICLASS)
}


def task_of(facts: TargetFacts) -> tuple[TaskKind, str]:
    """The kind that a target's facts call for, and why.

    >>> task_of(TargetFacts(numeric=False, fractions=False, distinct=3))
    ('multiclass', 'the target is text with 3 classes')
    """
    if facts.asked is not None:
        return facts.asked, Message("you said so")  # type: ignore[return-value]
    return next((kind.name, reason) for kind in KINDS.values() if (reason := kind.because(facts)))
