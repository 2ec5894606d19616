"""Step 1: the loss follows from the task."""

from __future__ import annotations

from luthier.messages import Message
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.loss_choice import LossEvidence
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Said, noted


def choose_loss(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """The loss, and why."""
    problem, task, joint = runner.problem, runner.problem.task, runner.problem.joint
    if joint is not None:
        template = "loss: the mean over {count} targets of each one's loss, divided by that of its best constant"
        yield noted(1, Message(template, count=len(joint.tasks)))
        return so_far
    metric = problem.asked_metric if problem.is_judged_by_answers else ""
    asked = (problem.losses, metric) if problem.asks_losses else ()
    yield from decided(1, LossEvidence(task.kind, len(task.classes), task.log_scale, *asked))
    return so_far
