"""Permutation importance of each column: it is shuffled, and the score measured again. R repeats, N rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.assess.intervals import ALIKE, Scoring, score
from luthier.objective import metric_named
from luthier.rows import Inputs, Place
from luthier.schema_types import Text, Undefined
from luthier.seeds import numpy_generator

REPEATS = 5
MOST_ROWS, FEWEST_ROWS = 1000, 250
LEAST_ROWS, LEAST_REPEATS = 100, 2  # however few predictions are left for a column
OUTPUTS = 200_000  # of a prediction: of hundreds of classes fewer rows are asked

Predict = Callable[[Inputs], np.ndarray]


@dataclass(frozen=True)
class ColumnImportance:
    """What shuffling a column costs."""

    column: Text
    drop: Undefined
    spread: Undefined


def permutation_importance(
    predict: Predict,
    inputs: Inputs,
    y: np.ndarray,
    metric: str,
    groups: Mapping[str, Place],
    scoring: Scoring = ALIKE,
    *,
    seed: int = 0,
    most: int = 0,
) -> list[ColumnImportance]:
    """How much worse the metric gets when a column's values are shuffled among the rows (Breiman 2001).

    `groups` says, for each column of the table, where it lies in the inputs: its places are shuffled together.
    Returns one row a column, the most important first, with the spread over repeats. A column that
    others can stand in for looks less important than it is. Empty where the metric is not defined. About so many
    predictions as `most` are asked for each column, 0 for all: of fewer rows, then fewer times.

    >>> X = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    >>> groups, answer = {"a": {"numbers": [0]}, "b": {"numbers": [1]}}, lambda inputs: inputs.numbers[:, 0].numpy()
    >>> found = permutation_importance(answer, Inputs(numbers=X), X[:, 0].numpy(), "rmse", groups)
    >>> [row.column for row in found], found[1].drop
    (['a', 'b'], 0.0)
    """
    task = scoring.task
    rows = min(len(y), MOST_ROWS if task is None else max(FEWEST_ROWS, min(MOST_ROWS, OUTPUTS // task.outputs)))
    repeats = REPEATS
    if most:
        rows = min(rows, max(LEAST_ROWS, most // REPEATS))
        repeats = min(REPEATS, max(LEAST_REPEATS, most // rows))
    inputs = inputs.map(lambda value: value[:rows])
    y, weights = y[:rows], None if scoring.weights is None else scoring.weights[:rows]
    sign = metric_named(metric).sign
    best = score(metric, y, predict(inputs), weights, task=task)
    if not np.isfinite(best):
        return []
    result = []
    for name, place in groups.items():
        drops = []
        for repeat in range(repeats):
            order = torch.from_numpy(numpy_generator(seed, "importance", name, repeat).permutation(rows))
            changed = inputs.replaced(**{key: shuffled(inputs[key], order, where) for key, where in place.items()})
            drops.append(sign * (best - score(metric, y, predict(changed), weights, task=task)))
        result.append(ColumnImportance(name, float(np.mean(drops)), float(np.std(drops, ddof=1))))
    return sorted(result, key=lambda row: -row.drop)


def shuffled(value: Tensor, order: Tensor, columns: list[int]) -> Tensor:
    """An input [N, ...] of which some columns come from rows in another order."""
    result = value.clone()
    result[:, columns] = value[order][:, columns]
    return result
