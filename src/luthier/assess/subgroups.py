"""Scores of parts of the rows: is the model worse for some of them than for the rest?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy

from luthier.assess.intervals import score
from luthier.data import Task
from luthier.schema_types import Count, Number, Text, Undefined

LEVEL = 0.05  # over all groups together (Bonferroni)
FEWEST = 20
MOST_LEVELS = 12
RESAMPLES = 500


def row_errors(kind: str, y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """An error for each row [N]: 1 for a wrong class, the share of wrong labels, a value's absolute difference, which
    is that of the mean of equally likely values [N, Q]."""
    if kind == "regression":
        return np.asarray(np.abs((prediction.mean(1) if prediction.ndim == 2 else prediction) - y))
    if kind == "labels":
        return np.asarray(((prediction >= 0.5) != (y > 0)).mean(1))
    return np.asarray((prediction.argmax(1) != y).astype(float))


@dataclass(frozen=True)
class SubgroupScore:
    """The score of some rows; `worse` where their errors are larger than the others' beyond chance."""

    column: Text
    value: Text
    rows: Count
    score: Undefined
    chance: Undefined
    worse: bool = False


@dataclass(frozen=True)
class WorstCase:
    """A row with a bad prediction; of classes their numbers, and the probability of the one that was predicted; of
    labels how many, and which."""

    row: Count
    true: int | float
    predicted: int | float
    probability: Number | None = None
    true_labels: list[Text] = field(default_factory=list)
    predicted_labels: list[Text] = field(default_factory=list)


def subgroup_scores(
    columns: dict[str, np.ndarray],
    kind: str,
    y: np.ndarray,
    prediction: np.ndarray,
    metric: str,
    *,
    task: Task | None = None,
    weights: np.ndarray | None = None,
) -> list[SubgroupScore]:
    """The metric for each value of each column with few values; `worse` where its mean row error clears the rest's.

    `columns` holds labels [N] by column. Errors are compared with those of all other rows (Welch's test), at 5 %
    divided by the number of groups. Rows count by `weights` [N].
    """
    errors, w = row_errors(kind, y, prediction), np.ones(len(y)) if weights is None else weights
    result: list[SubgroupScore] = []
    for name, labels in columns.items():
        levels, counts = np.unique(labels, return_counts=True)
        if not 2 <= len(levels) <= MOST_LEVELS:
            continue
        for level, count in zip(levels, counts, strict=True):
            if count < FEWEST or len(y) - count < FEWEST:
                continue
            here = labels == level
            value = score(metric, y[here], prediction[here], w[here], task=task)
            chance = _chance(errors[here], errors[~here], w[here], w[~here])
            result.append(SubgroupScore(name, str(level), int(count), value, chance))
    judged = [replace(row, worse=bool(row.chance < LEVEL / len(result))) for row in result]
    return sorted(judged, key=lambda row: row.chance)


def _chance(errors: np.ndarray, others: np.ndarray, w: np.ndarray, v: np.ndarray) -> float:
    """How likely errors so much larger than the others' are by luck (Welch); 1 where all are the same."""
    if errors.std() == 0 and others.std() == 0:
        return 0.0 if errors[0] > others[0] else 1.0
    (mean, square, freedom), (mean_of_others, square_of_others, freedom_of_others) = _mean(errors, w), _mean(others, v)
    total = square + square_of_others
    welch = total**2 / (square**2 / freedom + square_of_others**2 / freedom_of_others)
    return float(scipy.stats.t.sf((mean - mean_of_others) / total**0.5, welch))


def _mean(errors: np.ndarray, weights: np.ndarray) -> tuple[float, float, int]:
    """The weighted mean, its squared standard error (by rows, however much each counts), and degrees of freedom."""
    shares, rows = weights / weights.sum(), len(errors)
    mean = float(shares @ errors)
    return mean, float(shares**2 @ (errors - mean) ** 2) * rows / (rows - 1), rows - 1


def worst_cases(
    y: np.ndarray,
    prediction: np.ndarray,
    kind: str,
    rows: np.ndarray,
    most: int = 10,
    *,
    taken: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> list[WorstCase]:
    """The rows with the largest errors: their numbers in the table, the truth and what was predicted.

    `taken` [N] are the classes that rows are taken for, where a threshold says so; else the likeliest.
    Of labels, which have `names`, it says which a row is answered with [N, K].
    """
    if kind == "regression":
        order = np.argsort(-np.abs(prediction - y))[:most]
        return [WorstCase(int(rows[i]), float(y[i]), float(prediction[i])) for i in order]
    if kind == "labels":
        return _worst_lists(y, prediction, rows, most, prediction >= 0.5 if taken is None else taken > 0, names)
    taken = prediction.argmax(1) if taken is None else taken
    given = prediction[np.arange(len(y)), y]
    order = np.argsort(given)[:most]
    return [
        WorstCase(int(rows[i]), int(y[i]), int(taken[i]), float(prediction[i, taken[i]]))
        for i in order
        if taken[i] != y[i]
    ]


def _worst_lists(
    y: np.ndarray, prediction: np.ndarray, rows: np.ndarray, most: int, taken: np.ndarray, names: Sequence[str]
) -> list[WorstCase]:
    """Of labels [N, K] the rows with the largest loss."""
    own = y > 0
    surprise = -np.log(np.clip(np.where(own, prediction, 1 - prediction), 1e-12, None)).sum(1)
    return [
        WorstCase(
            int(rows[i]),
            int(own[i].sum()),
            int(taken[i].sum()),
            true_labels=[name for name, has in zip(names, own[i], strict=True) if has],
            predicted_labels=[name for name, has in zip(names, taken[i], strict=True) if has],
        )
        for i in np.argsort(-surprise, kind="stable")[:most]
        if (taken[i] != own[i]).any()
    ]
