"""Step 5, small tables: the winner once more in folds, so that every open row is learnt from.

Each of K networks leaves out another part of the training and validation rows together, is stopped by it,
and predicts it: these predictions judge and calibrate the mean of all K. N open rows, C outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from luthier.engine import Part
from luthier.messages import Message
from luthier.recipe.decisions.delivered import DeliverableEvidence
from luthier.recipe.pieces_of_populations import TrainingPlan
from luthier.recipe.plan import FOLDS, Stage
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting, seeded
from luthier.recipe.steps.deliverable import Component, Folds
from luthier.saved import activate
from luthier.seeds import derive

SEEDS = 1
MOST_ROUNDS = 4
LEFT_TO_DISTIL = 0.6  # of the time left goes into the folds, where one network has to learn from them afterwards
AS_LONG = 0.8  # of the first round's steps: shorter trainings would pull the mean down
ALONE = 0.5  # of the time that the five seeds take together, at most
USED = 0.9  # of the time left, by the speed of the networks before


def train_folds(runner: Runner, setting: Setting) -> Folds | None:
    """The setting in folds, over and over while there is time; None where rows are many or follow time.

    How many rounds there is time for, and of how many steps, is asked of the clock once and recorded.
    """
    problem = runner.problem
    if runner.plan.folds is None or problem.asked.time:
        return None
    _, training, validation = problem.prepared(setting.method)
    whole = training.joined(validation)
    components: list[Component] = []
    rounds = 0
    total = torch.zeros(len(whole), max(1, len(problem.task.classes)), dtype=torch.float64)
    for number in range(MOST_ROUNDS):
        dealt = problem.cross_fitted().dealt(number)
        folds = [np.flatnonzero(dealt == fold) for fold in range(int(dealt.max()) + 1)]
        steps = _steps_of_round(runner, setting, number, len(folds)) if len(folds) > 1 else None
        if steps is None:
            break
        result = _round(runner, setting, whole, number, steps, folds)
        if result is None:
            break
        components += result[0]
        total += result[1]
        rounds += 1
    return Folds(tuple(components), total / rounds, whole.targets, rounds) if rounds else None


def _steps_of_round(runner: Runner, setting: Setting, number: int, folds: int) -> int | None:
    """Steps for each network of a round, from the record or from the clock; None when there is to be no more."""
    assert runner.plan.folds is not None
    planned = runner.plan.folds.for_batches(setting.batch_size, runner.plan.batch_size).steps
    recorded = [int(record["steps"]) for record in runner.ledger.recorded("repeat")]
    if number < len(recorded):
        steps: int | None = recorded[number]
    elif any(record["code"] == DeliverableEvidence.code for record in runner.ledger.recorded("decision")):
        steps = None  # an earlier sitting had come past the folds
    elif runner.recipe.repeats is not None:
        steps = runner.recipe.repeats[number] if number < len(runner.recipe.repeats) else None
    elif runner.budget_clock.budget.seconds is None:
        steps = planned if number == 0 else None
    else:
        steps = _affordable(runner, setting, planned, number)
    if steps is not None:
        sentence = Message(
            "round {number} of {folds} folds, {steps} steps each: there is time for it",
            number=number + 1,
            folds=folds,
            steps=steps,
        )
        runner.ledger.add("repeat", {"step": 5, "steps": steps, "sentence": sentence})
    return steps


def _affordable(runner: Runner, setting: Setting, planned: int, number: int) -> int | None:
    """As many steps as the time left allows, up to the most; None when that is less than was planned."""
    left = runner.deadline("folds") - runner.budget_clock.spent()
    left *= LEFT_TO_DISTIL if runner.problem.asked.distil else 1.0
    known = {f"folds-{number - 1}-0": 1.0, "seeds": ALONE}
    speeds = [share * runner.speeds[name] for name, share in known.items() if name in runner.speeds]
    if bool(runner.interrupted) or left <= 0:
        return None
    most = max(1, runner.plan.most_steps * runner.plan.batch_size // setting.batch_size)
    if not speeds:
        return planned if number == 0 else None
    steps = min(most, int(left / (FOLDS * speeds[0]) * USED))
    if number:
        planned = round(AS_LONG * int(runner.ledger.of("repeat")[0]["steps"]))
    return steps if steps >= min(planned, most) else None


def _round(
    runner: Runner, setting: Setting, whole: Part, number: int, steps: int, folds: list[np.ndarray]
) -> tuple[list[Component], Tensor] | None:
    """A network for each fold, and what they say of the rows that they left out [N, C]."""
    problem = runner.problem
    outputs: Tensor | None = None
    components: list[Component] = []
    for fold, left_out in enumerate(folds):
        rest = np.setdiff1d(np.arange(len(whole)), left_out)
        parts = whole.rows(torch.from_numpy(rest)), whole.rows(torch.from_numpy(left_out))
        seeds = [derive(problem.seed, "fold", number, fold, k) for k in range(SEEDS)]
        members = seeded(setting, seeds, steps, f"round {number}, fold {fold}")
        training = TrainingPlan("folds", Stage(steps=steps), setting.method, setting.rule, setting.batch_size, parts)
        trained = runner.run(f"folds-{number}-{fold}", members, training)
        if trained is None or len(trained.usable()) < len(members):
            return None
        components += [Component(trained, i) for i in range(len(members))]
        result = activate(trained.logits, problem.task.kind).mean(0)
        outputs = result.new_zeros(len(whole), result.shape[1]) if outputs is None else outputs
        outputs[torch.from_numpy(left_out)] = result
    assert outputs is not None
    return components, outputs
