"""Step 1: the loss follows from the task."""

from __future__ import annotations

from luthier.recipe.runner import Runner
from luthier.records import Decision, Option

LOSSES = {
    "regression": ("mean squared error", "the target is a number"),
    "binary": ("binary cross-entropy", "the target has two classes"),
    "multiclass": ("softmax cross-entropy", "the target has {classes} classes"),
}


def choose_loss(runner: Runner) -> None:
    """Decide the loss, and write why."""
    task = runner.data.task
    name, reason = LOSSES[task.kind]
    if task.log_scale:
        reason += ", and the model predicts its logarithm, so that errors are relative"
    runner.ledger.decide(
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
