"""The answer that the deciding metric asks for, fitted on rows not learnt from: N rows, C outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from luthier.assess import best_threshold, seen_by
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.task import (
    answer_for,
    answer_from,
    answer_named,
    chosen_answer,
    fitted_decision,
    fitted_labels,
    fitted_law,
    residual_atoms,
    values_around,
)

CONSTANT = 32  # values that stand for all where every row has the same
Answer = Callable[[np.ndarray], np.ndarray]  # outputs [N, C] to what the metric sees of them


def fit_answer(
    metric: str,
    task: Task,
    transform: TargetTransform,
    outputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None = None,
) -> Answer:
    """From activated outputs [N, C] and their targets (class numbers, or values on the modelled scale) to answers."""
    if not task.is_classes:
        known = transform, outputs[:, 0], targets
        if metric_named(metric).of_law:
            law = fitted_law(transform.residuals(targets, outputs[:, 0]), outputs[:, 0], weights)
            return lambda some: values_around(transform, law, some[:, 0])
        way_back = answer_from(*known, chosen_answer(metric, *known, weights), weights)
        return lambda some: np.asarray(way_back.answer(some[:, 0]))
    if task.traits.is_labels:
        return fitted_labels(metric, targets, outputs, weights).seen
    if task.family == "binary":
        threshold = best_threshold(metric, targets, outputs, weights, task=task)
        return lambda some: seen_by(metric, some, threshold)
    decision = fitted_decision(metric, targets, outputs, weights)
    return lambda some: seen_by(metric, some, 0.5, decision)


def answered_in_folds(
    metric: str,
    task: Task,
    transform: TargetTransform,
    outputs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    folds: np.ndarray,
) -> np.ndarray:
    """What the metric sees of each row by an answer that was fitted on the other folds [N]."""
    result: np.ndarray | None = None
    for fold in np.unique(folds):
        rest, own = folds != fold, folds == fold
        some = None if weights is None else weights[rest]
        seen = fit_answer(metric, task, transform, outputs[rest], targets[rest], some)(outputs[own])
        result = np.empty((len(outputs), *seen.shape[1:])) if result is None else result
        result[own] = seen
    assert result is not None
    return result


def constant_answer(metric: str, task: Task, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The best answer that is the same for every row [1, C] or [1], by targets on the metric's scale [N] (of labels
    [N, C]): the classes' shares, or what the metric wants of values, which may be all of them [1, Q].

    >>> constant_answer("accuracy", Task("binary", "sold", ("no", "yes")), np.array([0, 1, 1, 1]))
    array([[0.25, 0.75]])
    """
    if task.traits.is_labels:
        return np.average(y, axis=0, weights=weights)[None]
    if task.classes:
        counts = np.bincount(y, weights, minlength=len(task.classes))
        return np.asarray(counts / counts.sum())[None]
    answer = answer_for(metric)
    if metric_named(metric).of_law:
        return residual_atoms(y, weights, CONSTANT)[None]
    if answer == "mean":
        return np.array([np.average(y, weights=weights)])
    return np.asarray(answer_named(answer)(residual_atoms(y, weights)[None]))
