"""The deliverable as one model: its networks, and what is fitted beside them on rows that they have not learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from luthier.assess import (
    NOMINAL,
    PREDICTION,
    Costs,
    Familiarity,
    Profile,
    best_threshold,
    fit_temperature,
    half_width,
    of_second,
    set_threshold,
    smearing,
    spread_rows,
)
from luthier.nets import Net, licences_of
from luthier.recipe.preparing.problem import Problem
from luthier.rows import Inputs, Rows
from luthier.saved import Model
from luthier.saved.profiled import profiled_classes, profiled_names
from luthier.task import cheapest, chosen_answer, fitted_decision, fitted_labels, fitted_law, is_matrix, with_answer

PROFILED = 10_000  # rows that stand for all training rows when new ones are compared with them


def as_model(
    problem: Problem,
    nets: Sequence[Net],
    weights: Sequence[float],
    method: str,
    held_out: Tensor | None = None,
    known: Tensor | None = None,
    earlier: Model | None = None,
) -> Model:
    """Networks as a model for raw rows; temperature, smearing and interval come from rows not learnt from.

    These are the validation rows, unless `held_out` outputs [N, C] and their targets as the networks see them
    are given. What the `earlier` model of a warm start had seen stays within bounds.
    """
    task, validation = problem.task, problem.data.validation
    transform = problem.target
    if not task.is_classes:
        transform = transform.bounded_by(problem.data.training.targets, None if earlier is None else earlier.transform)
    model = Model(
        task=task,
        encoder=problem.data.encoder,
        preprocess=problem.prepared(method)[0],
        nets=tuple(nets),
        weights=tuple(weights),
        transform=transform,
        licences=licences_of(problem.asked.backbone, problem.asked.backbone_weights),
    )
    folded = held_out is not None and known is not None
    rows = left_out(problem, model, held_out, known)
    model = calibrated(problem, model, *rows, weights_of(problem, folded), units_of(problem, folded))
    parts = problem.data.training.inputs, validation.inputs
    if width := sum(value[0].numel() for name, value in parts[0].items() if name != "codes"):
        spread = ((some, spread_rows(some.rows, width)) for some in parts)
        learnt, others = (model.features(some.map(lambda value, at=at: value[at])) for some, at in spread)  # type: ignore[misc]
        model = replace(model, familiarity=Familiarity.fit(learnt, others))
    return replace(model, profile=_profile(problem, model))


def calibrated(
    problem: Problem, model: Model, averaged: np.ndarray, targets: np.ndarray, counting: np.ndarray | None, units: int
) -> Model:
    """A model with temperature, smearing, intervals, sets and threshold, by its outputs for rows not learnt from [N, C]
    and their targets [N], class numbers or modelled values; `units` of the rows are no copies."""
    task, transform = model.task, model.transform
    if not task.is_classes:
        averaged = transform.bounded(averaged)
        transform = transform.with_law(targets, averaged[:, 0], counting)
        residuals = transform.residuals(targets, averaged[:, 0])
        transform = replace(transform, smear=smearing(residuals, counting) if task.log_scale else 1.0)
        width = half_width(residuals, weights=counting, units=units)
        law = fitted_law(residuals, averaged[:, 0], counting)
        answer = chosen_answer(problem.metric, transform, averaged[:, 0], targets, counting)
        transform = with_answer(transform, law, answer)
        model = replace(model, transform=transform, half_width=width, answer=answer, residuals=law)
    elif task.traits.is_labels:
        model = replace(model, temperature=fit_temperature(averaged, targets, counting))
        answer_of = fitted_labels(problem.metric, targets, model.tempered(averaged), counting)
        model = replace(model, label_thresholds=tuple(answer_of.thresholds.tolist()))
    else:
        model = replace(model, temperature=fit_temperature(averaged, targets, counting))
        p = model.tempered(averaged)
        model = replace(model, set_threshold=set_threshold(p, targets, NOMINAL, counting, units))
        model = replace(model, threshold=_threshold(problem, targets, p, counting))
        if task.family == "multiclass" and problem.asked.costs:
            model = replace(model, decision=cheapest(problem.asked.costs, task.classes))
        elif task.family == "multiclass" and problem.asked_metric:
            model = replace(model, decision=fitted_decision(problem.asked_metric, targets, p, counting))
    return model


def left_out(
    problem: Problem, model: Model, held_out: Tensor | None, known: Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """What networks that had not learnt from them say of rows, averaged [N, C], and these rows' classes or modelled
    targets [N]: of the validation rows, or `held_out` of all open rows."""
    validation = problem.data.validation
    if held_out is None or known is None:
        return model.averaged(validation.inputs), validation.targets.numpy()
    if problem.task.is_classes:
        return held_out.numpy(), known.numpy()
    return model.transform.bounded(held_out.numpy()), model.transform.restored(known.double().numpy())


def weights_of(problem: Problem, folded: bool) -> np.ndarray | None:
    """How much the rows count that calibrate: the validation rows, or all open rows where folds have left them out."""
    parts = (problem.data.training, problem.data.validation) if folded else (problem.data.validation,)
    known = [part.weights.numpy() for part in parts if part.weights is not None]
    return np.concatenate(known) if known else None


def units_of(problem: Problem, folded: bool) -> int:
    """How many of these rows are not copies of others."""
    parts = {"validation": problem.data.validation} | ({"training": problem.data.training} if folded else {})
    units = {name: problem.data.units[name] for name in parts}
    return sum(
        len(part) if units[name].kind != "rows" else int(units[name].numbers(len(part)).max(initial=-1)) + 1
        for name, part in parts.items()
    )


def _threshold(problem: Problem, targets: np.ndarray, p: np.ndarray, weights: np.ndarray | None) -> float:
    """From which probability of the second class on it is predicted: by costs, or by the metric that was asked for."""
    asked, task = problem.asked, problem.task
    if is_matrix(asked.costs):
        return cheapest(asked.costs, task.classes).threshold if task.family == "binary" else 0.5
    if asked.costs:
        positive = task.positive_index
        return of_second(Costs.parse(asked.costs).best(p[:, positive], targets == positive, weights)[0], positive)
    if problem.asked_metric and task.family == "binary":
        return best_threshold(problem.asked_metric, targets, p, weights, task=task)
    return 0.5


def _profile(problem: Problem, model: Model) -> Profile:
    some = slice(PROFILED) if len(problem.data.training) > PROFILED else slice(None)
    training = problem.data.training
    numbers, codes, sizes = columns_of(model, training.inputs.map(lambda value: value[some]))
    weights = None if training.weights is None else training.weights[some].numpy()
    return Profile.of(numbers, codes, sizes, weights)


def columns_of(model: Model, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, int]]:
    """Columns by name, the prediction among them: numbers, codes, and how many codes each has."""
    encoder = model.encoder
    by_name, coded = encoder.described(inputs)
    sizes = dict(zip(encoder.category_names, encoder.category_sizes, strict=True))
    if not model.task.is_classes:
        by_name[PREDICTION] = model.values(inputs)
    else:
        coded[PREDICTION] = profiled_classes(model, inputs)
        sizes[PREDICTION] = len(profiled_names(model.task))
    return by_name, coded, sizes


def predict_part(model: Model, part: Rows) -> np.ndarray:
    """A model's probabilities, or values on the target's own scale, for the rows of a part."""
    return model.probabilities(part.inputs) if model.task.is_classes else model.values(part.inputs)
