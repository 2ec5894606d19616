"""Step 5 where nothing is sealed: what is delivered, by predictions of open rows that its networks had not seen.

Everything that is chosen late, the weights of bags, temperature, threshold and intervals, is chosen on K - 1 folds and
scored on the other. The settings were chosen by all of these rows: it is an estimate by rows that also chose.
N rows, C outputs, P bags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from luthier.assess import NOMINAL, Coverage, Reliability, SetFigures, figures_of_sets, reliability
from luthier.recipe.delivery.deliver_bags import compared
from luthier.recipe.delivery.deliverable import Deliverable
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.judging.calibrated import calibrated, weights_of
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.preparing.yardstick import yardstick_of
from luthier.recipe.running.runner import Runner
from luthier.rows import Rows
from luthier.saved import Model
from luthier.statistics.bags import mixed_by_other_folds


@dataclass(frozen=True)
class Estimate:
    """Predictions [N, C] or [N] of open rows: of the `part` "open", all of them, or "validation" where no folds were
    trained in time. `taken` [N] are the classes that
    are decided for, [N, C] of labels, of values nothing."""

    part: str
    rows: Rows
    numbers: np.ndarray  # of the rows in the table
    prediction: np.ndarray
    taken: np.ndarray
    calibration: Reliability | Coverage
    sets: SetFigures | None


def estimate(runner: Runner, model: Model, choice: Deliverable, bags: Sequence[Bag]) -> Estimate:
    """How good what is delivered is, as far as rows can say that also chose it."""
    problem = runner.problem
    if choice.held_out is None or choice.targets is None:
        rows, part = problem.data.validation, "validation"
        numbers = problem.data.open_rows[-len(rows) :]
        outputs, folds = model.averaged(rows.inputs), np.zeros(len(rows), dtype=int)
    else:
        rows, part, numbers = problem.data.open_part, "open", problem.data.open_rows
        folds = problem.dealt(0).numpy()
        outputs = _by_other_folds(problem, choice, bags, folds) if choice.kind == "bags" else choice.held_out.numpy()
    fitted = _calibrated_by_other_folds(problem, model, outputs, rows, folds, part)
    answers = _answered(model, fitted, outputs, folds)
    inside = np.zeros(outputs.shape, dtype=bool)
    for fold, one in enumerate(() if model.task.traits.is_labels else fitted):
        own = folds == fold
        inside[own] = _inside(one, outputs[own], answers.prediction[own], rows, own)
    figures = _figures(model, outputs, answers.prediction, inside, rows)
    return Estimate(part, rows, numbers, answers.prediction, answers.taken, *figures)


class AnswersAlone(NamedTuple):
    """Predictions [N, C] or [N], and the classes `taken` [N] that are decided for, [N, C] of labels."""

    prediction: np.ndarray
    taken: np.ndarray


def answers_alone(runner: Runner, model: Model, bag: Bag) -> AnswersAlone:
    """What one bag of those delivered would answer alone: temperature and threshold are its own, from the other folds
    than a row's."""
    problem = runner.problem
    outputs, folds = bag.outputs(problem.task.kind).numpy(), problem.dealt(0).numpy()
    fitted = _calibrated_by_other_folds(problem, model, outputs, problem.data.open_part, folds, "open")
    return _answered(model, fitted, outputs, folds)


def _answered(model: Model, fitted: Sequence[Model], outputs: np.ndarray, folds: np.ndarray) -> AnswersAlone:
    """The answers of each row [N] by the model that was fitted on the other folds."""
    prediction = np.empty(outputs.shape if model.task.classes else len(outputs))
    taken = np.zeros(outputs.shape if model.task.traits.is_labels else len(outputs), dtype=int)
    for fold, one in enumerate(fitted):
        own = folds == fold
        prediction[own] = answer_of(one, outputs[own])
        taken[own] = one.classes_of(prediction[own]) if model.task.classes else 0
    return AnswersAlone(prediction, taken)


def answer_of(model: Model, outputs: np.ndarray) -> np.ndarray:
    """What a model answers where its networks' mean output is this [N, C]."""
    if not model.task.is_classes:
        return np.asarray(model.transform.answer(model.transform.bounded(outputs[:, 0])))
    return model.tempered(outputs)


def _by_other_folds(problem: Problem, choice: Deliverable, bags: Sequence[Bag], folds: np.ndarray) -> np.ndarray:
    """The outputs [N, C] of as many bags as are delivered, each row's weighted by what the other folds' rows say."""
    kind, whole = problem.task.kind, problem.open_rows(bags[0].setting.method)
    outputs, most = torch.stack([bag.outputs(kind) for bag in bags]), len(choice.components) // (folds.max() + 1)
    known, judge = compared(problem, bags, outputs), yardstick_of(problem)
    mixed = mixed_by_other_folds(outputs, known, whole.targets, judge, folds, whole.weights, max(1, int(most)))
    return np.asarray(mixed.numpy())


def _calibrated_by_other_folds(
    problem: Problem, model: Model, outputs: np.ndarray, rows: Rows, folds: np.ndarray, part: str
) -> list[Model]:
    """The model as each fold's rows meet it: calibrated on the rows of the others; of a single fold as it is."""
    if part != "open":
        return [model]
    weights, together, targets = weights_of(problem, folded=True), problem.data.together, rows.targets.numpy()
    result = []
    for fold in range(folds.max() + 1):
        rest = folds != fold
        some = None if weights is None else weights[rest]
        units = len(np.unique(together[rest]))
        result.append(calibrated(problem, model, outputs[rest], targets[rest], some, units))
    return result


def _inside(model: Model, outputs: np.ndarray, prediction: np.ndarray, rows: Rows, own: np.ndarray) -> np.ndarray:
    """Which classes are in the rows' sets [n, C]; of a regression whether their interval holds the truth [n, 1]."""
    if model.task.classes:
        return model.inside_sets(prediction)
    residuals = model.transform.residuals(rows.targets.numpy()[own], model.transform.bounded(outputs[:, 0]))
    return np.asarray(np.abs(residuals)[:, None] <= model.half_width)


def _figures(
    model: Model, outputs: np.ndarray, prediction: np.ndarray, inside: np.ndarray, rows: Rows
) -> tuple[Reliability | Coverage, SetFigures | None]:
    """How calibrated the predictions are, and of classes how their sets do."""
    y, weights = rows.targets.numpy(), rows.weights_array
    if not model.task.is_classes:
        covered = float(np.average(inside[:, 0], weights=weights))
        return Coverage(NOMINAL, covered, half_width=model.half_width), None
    after, before = (reliability(p, y, weights) for p in (prediction, outputs))
    calibration = replace(after, before=before.ece, temperature=model.temperature)
    of_labels = model.task.traits.is_labels
    return calibration, None if of_labels else figures_of_sets(inside, y, NOMINAL, weights)
