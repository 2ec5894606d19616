"""Step 1: the loss follows from the task."""

from __future__ import annotations

from luthier.recipe.decisions.loss_choice import LossEvidence
from luthier.recipe.runner import Runner


def choose_loss(runner: Runner) -> None:
    """Decide the loss, and write why."""
    problem, task = runner.problem, runner.problem.task
    asked = (problem.losses, "" if task.is_classes else problem.asked_metric) if problem.asks_losses else ()
    runner.ledger.decide(1, LossEvidence(task.kind, len(task.classes), task.log_scale, *asked))
