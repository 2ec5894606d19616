"""Step 1: the loss follows from the task."""

from __future__ import annotations

from luthier.messages import Message
from luthier.recipe.decisions.loss_choice import LossEvidence
from luthier.recipe.runner import Runner


def choose_loss(runner: Runner) -> None:
    """Decide the loss, and write why."""
    task, joint = runner.problem.task, runner.problem.joint
    if joint is not None:
        sentence = Message(
            "loss: the mean over {count} targets of each one's loss, divided by that of its best constant",
            count=len(joint.tasks),
        )
        runner.ledger.add("note", {"step": 1, "sentence": sentence})
        return
    runner.ledger.decide(1, LossEvidence(task.kind, len(task.classes), task.log_scale))
