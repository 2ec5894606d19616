"""Another answer of a model than the one that its run's metric asked for."""

from __future__ import annotations

from typing import Any

from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.errors import InputError
from luthier.messages import Message
from luthier.task import ResidualLaw, answer_named, with_answer


def changes_for(
    answer: str, task: Task, now: str, transform: TargetTransform, residuals: ResidualLaw | None
) -> dict[str, Any]:
    """What changes in a model that gives the answer `now`; InputError for an answer that it cannot give."""
    if task.is_classes:
        if answer == "probability" and not task.traits.is_labels:
            return {"answer": answer}
        raise InputError(
            Message("--answer {answer}: the target has labels", answer=answer)
            if task.traits.is_labels
            else Message("--answer {answer}: the target has classes", answer=answer),
            expected="no --answer: the probability of each label stands beside it"
            if task.traits.is_labels
            else "probability",
        )
    if answer == "probability":
        raise InputError("--answer probability: the target is a number", expected="mean, median, or q0.9")
    answer_named(answer)
    if residuals is None:
        if answer == now:
            return {}
        raise InputError(
            Message("--answer {answer}: this model does not know how its errors are distributed", answer=answer),
            remedy="fit it anew",
        )
    return {"answer": answer, "transform": with_answer(transform, residuals, answer)}
