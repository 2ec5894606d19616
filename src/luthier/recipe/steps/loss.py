"""Step 1: the loss follows from the task."""

from __future__ import annotations

from luthier.recipe.work import Work
from luthier.records import Decision, Option

LOSSES = {
    "regression": ("mean squared error", "the target is a number"),
    "binary": ("binary cross-entropy", "the target has two classes"),
    "multiclass": ("softmax cross-entropy", "the target has {classes} classes"),
}


def choose_loss(work: Work) -> None:
    """Decide the loss, and write why."""
    task = work.data.task
    name, reason = LOSSES[task.kind]
    if task.log_scale:
        reason += " whose logarithm is modelled, so errors count in proportion"
    work.ledger.decide(
        Decision(
            step=1,
            topic="loss",
            chosen=name,
            reason=reason.format(classes=len(task.classes)),
            options=tuple(Option(option) for option, _ in LOSSES.values()),
            evidence={"task": task.kind},
            override="--task",
            rule="loss of the task",
        )
    )
