"""Beyond the headline: which columns matter, for whom it is worse, which rows are worst, whether sets hold.

Importance is measured on validation rows; the rest on the test rows that step 5 opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from luthier.assess import (
    NOMINAL,
    ColumnImportance,
    Costs,
    Dependence,
    DependenceRow,
    Scores,
    Scoring,
    SetFigures,
    ThresholdCost,
    UnlikeRows,
    WorstCase,
    figures_of_sets,
    permutation_importance,
    subgroup_scores,
    worst_cases,
)
from luthier.optional import has
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner
from luthier.rows import Inputs, Rows
from luthier.saved import Model
from luthier.saved.explanation import MOST_VALUES
from luthier.task import is_matrix

MOST_COLUMNS = 100
DEPENDENCES = 6
OF_IMPORTANCE, LEAST_ROWS = 0.75, 100  # of the rows that are looked at; and rows of a dependence, however few are left
DEPENDENCE_CLASSES = 8  # of more classes those whose answer a column changes most


@dataclass(frozen=True)
class JudgedRows:
    """Rows, what the model predicts of them [N, C] or [N], and their numbers in the table [N]."""

    rows: Rows
    predicted: np.ndarray
    numbers: np.ndarray


def error_analysis(
    runner: Runner, model: Model, scores: Scores, judged: JudgedRows, sets: SetFigures | None = None
) -> Scores:
    """The scores with what the report shows below the headline.

    The figures of prediction `sets` are given where rows that were learnt from are judged out of fold."""
    problem = runner.problem
    task, test, predicted = problem.task, judged.rows, judged.predicted
    y, weights = own_scale(task, test), test.weights_array
    labels = problem.data.encoder.labels(test.inputs)
    importance = _importance(runner, model)
    seen = model.seen_by(problem.metric, predicted)
    taken = model.classes_of(predicted) if task.classes else None
    worst = worst_cases(y, predicted, task.family, judged.numbers, taken=taken, names=task.classes)
    scores = replace(
        scores,
        importance=importance,
        dependence=_dependence(runner, model, [row.column for row in importance]),
        subgroups=subgroup_scores(labels, task.family, y, seen, problem.metric, task=task, weights=weights),
        worst=worst,
        why=_why(model, judged, worst),
    )
    if not problem.asked.seals:
        return replace(scores, sets=sets)  # nothing of `unlike`: they are the training rows
    unlike = model.unlike_training(test.inputs).to_numpy()
    scores = replace(scores, unlike=UnlikeRows(int(unlike.sum()), float(unlike.mean())))
    if task.classes and not task.traits.is_labels:
        scores = replace(scores, sets=figures_of_sets(model.inside_sets(predicted), y, NOMINAL, weights))
        if problem.asked.costs and not is_matrix(problem.asked.costs) and model.threshold != 0.5:
            scores = replace(scores, cost=_cost(runner, model, judged, y))
    return scores


def _cost(runner: Runner, model: Model, judged: JudgedRows, y: np.ndarray) -> ThresholdCost:
    costs, positive = Costs.parse(runner.problem.asked.costs), model.task.positive_index
    test, predicted = judged.rows, judged.predicted
    weights = test.weights_array
    taken, truth, p = model.classes_of(predicted) == positive, y == positive, predicted[:, positive]
    return ThresholdCost(
        positive=model.task.positive_name,
        threshold=model.positive_threshold,
        cost=costs.of(taken.astype(float), truth, 0.5, weights),
        at_one_half=costs.of(p, truth, 0.5, weights),
        false_positives=int((taken & ~truth).sum()),
        false_negatives=int((~taken & truth).sum()),
    )


def _importance(runner: Runner, model: Model) -> list[ColumnImportance]:
    problem = runner.problem
    groups = model.encoder.places()
    if len(groups) > MOST_COLUMNS:
        return []
    validation, metric = problem.data.validation, problem.metric
    y = own_scale(problem.task, validation)

    def predict(inputs: Inputs) -> np.ndarray:
        told = model.probabilities(inputs) if model.task.is_classes else model.values(inputs)
        return model.seen_by(metric, told)

    scoring = Scoring.of(validation, model.task)
    most = _rows_to_look_at(runner, model, OF_IMPORTANCE, len(groups))
    return permutation_importance(predict, validation.inputs, y, metric, groups, scoring, seed=problem.seed, most=most)


def _rows_to_look_at(runner: Runner, model: Model, share: float, times: int) -> int:
    """How many rows the plan lets all networks of the model predict each time, by a share of its looks; 0: any."""
    looks = runner.plan.looks
    return max(1, round(looks / len(model.nets) * share / max(1, times))) if looks else 0


def _changed_most(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of the few classes whose mean answer differs most between the values of a column."""
    ranges = table.group_by("of", maintain_order=True).agg(range=pl.col("mean").max() - pl.col("mean").min())
    return table.filter(pl.col("of").is_in(ranges.top_k(DEPENDENCE_CLASSES, by="range")["of"].implode()))


def _dependence(runner: Runner, model: Model, columns: list[str]) -> list[Dependence]:
    """The answer by the values of the columns that matter most; of two classes the positive one's."""
    kinds = {column.name: column.kind for column in model.encoder.columns}
    shown = [name for name in columns if kinds.get(name) in ("number", "boolean", "category")][:DEPENDENCES]
    most = _rows_to_look_at(runner, model, 1 - OF_IMPORTANCE, DEPENDENCES * MOST_VALUES)
    rows = slice(None, max(LEAST_ROWS, most) if most else None)
    inputs = runner.problem.data.validation.inputs.map(lambda value: value[rows])
    few = DEPENDENCE_CLASSES if model.task.family != "binary" else 0
    result = []
    for name in shown:
        table = model.dependence(inputs, name, few)
        if model.task.family == "binary":
            table = table.filter(table["of"] == model.task.positive_name)
        elif len(model.task.classes) > DEPENDENCE_CLASSES:
            table = _changed_most(table)
        result.append(Dependence(name, kinds[name], [DependenceRow(**row) for row in table.to_dicts()]))
    return result


def _why(model: Model, judged: JudgedRows, worst: list[WorstCase]) -> list[list[tuple[str, float]]]:
    """The three columns that add most to the answer of each of the worst rows, where Captum is there to tell."""
    if not (worst and model.encoder.dense and has("captum") and len(model.encoder.places()) <= MOST_COLUMNS):
        return []
    indices = {int(row): place for place, row in enumerate(judged.numbers)}
    rows = [indices[one.row] for one in worst]
    predictions = model.explain(judged.rows.inputs.map(lambda value: value[rows]))
    return [
        [(predictions.columns[int(k)], float(row[k])) for k in np.argsort(-np.abs(row))[:3]]
        for row in predictions.shares
    ]
