"""Whether the deliverable beats the best constant; where it does not, that is said, with what shuffled targets do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from luthier.assess import within_noise
from luthier.data import Task
from luthier.diagnosis.controls import signal, some_rows, with_codes
from luthier.messages import Message
from luthier.objective import USUAL_LOSSES
from luthier.recipe.delivery.fitted_answers import constant_answer
from luthier.recipe.judging.scores import PartScores, Predictions, answered
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner
from luthier.records import Finding, JsonObject, Measure
from luthier.rows import Rows

BATCH = 64
MOST_ROWS = 5000  # of the training rows, for the shuffled targets


def beside_constant(runner: Runner, method: str, ours: Predictions, test: Rows, part: str = "test") -> Finding | None:
    """A finding where neither by the metric nor by the loss the deliverable beats a constant beyond the noise.

    None also where the rows are too few to say so.
    """
    problem = runner.problem
    task = problem.task
    testing = PartScores.of(runner, test, part)
    validating = PartScores.of(runner, problem.data.validation, "validation")
    gains, training = dict[str, Measure](), problem.data.training
    for metric in dict.fromkeys((problem.metric, "log loss" if task.classes else "rmse")):
        row = constant_answer(metric, task, own_scale(task, training), training.weights_array)
        validation, tested = (np.repeat(row, len(part.y), 0) for part in (validating, testing))
        constant = Predictions(validation, tested)
        if task.classes and metric == problem.metric:
            constant = answered(runner, validating, constant)
        gains[metric] = testing.gain(metric, ours.seen_by(metric).test, constant.seen_by(metric).test)
    if all(gain.low is None for gain in gains.values()):
        return None
    if any(gain.value > 0 and not within_noise(gain) for gain in gains.values()):
        return None
    shuffled = runner.memo.json("shuffled targets", lambda: _shuffled(runner, method))
    sentence = Message("by rows that also chose it the network is no better than a constant, beyond the noise")
    if part == "test":
        sentence = Message("on the sealed test set the network is no better than a constant, beyond the noise")
    remedy = "look for other columns that the target depends on, another target, or more rows"
    if shuffled["as good"]:
        sentence = Message(
            "nothing is learnt: {sentence}; networks trained on shuffled targets do no worse", sentence=sentence
        )
    elif shuffled["as good"] is False:
        template = "{sentence}; networks trained on shuffled targets do worse, so there is something to learn"
        sentence = Message(template, sentence=sentence)
        remedy = "more rows: there are too few to show what is learnt"
    evidence = {"gain over a constant": {name: gain.to_json() for name, gain in gains.items()}, **shuffled}
    return Finding("no-better-than-constant", "warning", sentence, evidence, remedy)


def _shuffled(runner: Runner, method: str) -> JsonObject:
    """Whether networks trained on shuffled targets do as well; asked of tables alone, whose networks are quick."""
    problem = runner.problem
    if not problem.data.encoder.dense:
        return {"as good": None}
    _, training, validation = problem.prepared(method)
    sizes = problem.data.encoder.category_sizes
    learnt, judged = (
        with_codes(_of_classes(some_rows(part, MOST_ROWS), problem.task), sizes) for part in (training, validation)
    )
    finding, evidence = signal(torch.nn.Linear(1, 1), learnt, judged, USUAL_LOSSES[problem.task.kind], batch_size=BATCH)
    return {"as good": finding is not None, **evidence}


def _of_classes(part: Rows, task: Task) -> Rows:
    return replace(part, targets=part.targets.long()) if task.classes and not task.traits.is_labels else part
