"""Beyond the headline: which columns matter, for whom it is worse, which rows are worst, whether sets hold.

Importance is measured on validation rows; the rest on the test rows that step 5 opened.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from luthier.assess import (
    Costs,
    permutation_importance,
    prediction_sets,
    seen_by,
    set_figures,
    subgroup_scores,
    worst_cases,
)
from luthier.assess.calibration import NOMINAL
from luthier.data import Dataset, TableEncoder
from luthier.optional import has
from luthier.recipe.steps.baselines import own_scale
from luthier.recipe.work import Work
from luthier.saved import Model

MOST_COLUMNS = 100
DEPENDENCES = 6


def closer_look(work: Work, model: Model, test: Dataset, predicted: np.ndarray) -> dict[str, Any]:
    """What the report shows below the headline, as plain values, given what the model told of the test rows."""
    task = work.data.task
    y = own_scale(task, test)
    labels = _labels(work, test)
    unlike = model.unlike_encoded(test.numbers, test.codes).to_numpy()
    importance = _importance(work, model)
    found: dict[str, Any] = {
        "importance": importance,
        "dependence": _dependence(work, model, [row["column"] for row in importance]),
        "subgroups": subgroup_scores(
            labels, task.kind, y, seen_by(work.metric, predicted, model.threshold), work.metric
        ),
        "worst": worst_cases(y, predicted, task.kind, work.data.test_rows),
        "unlike": {"rows": int(unlike.sum()), "share": float(unlike.mean())},
        "sets": None,
    }
    found["why"] = _why(work, model, test, found["worst"])
    if task.classes:
        found["sets"] = set_figures(predicted, y, model.set_threshold, NOMINAL)
        if work.script.asked.costs and model.threshold != 0.5:
            found["cost"] = _cost(work, model, predicted[:, 1], y)
        found["sets"]["sizes"] = np.bincount(prediction_sets(predicted, model.set_threshold).sum(1)).tolist()
    return found


def _cost(work: Work, model: Model, p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """What a row costs at the chosen threshold and at one half, and how rows are sorted at the chosen one."""
    costs, positive = Costs.parse(work.script.asked.costs), p >= model.threshold
    return {
        "threshold": model.threshold,
        "cost": costs.of(p, y, model.threshold),
        "at one half": costs.of(p, y, 0.5),
        "false positives": int((positive & (y == 0)).sum()),
        "false negatives": int((~positive & (y == 1)).sum()),
    }


def _importance(work: Work, model: Model) -> list[dict[str, Any]]:
    groups = model.encoder.places()
    if len(groups) > MOST_COLUMNS:
        return []
    validation, metric = work.data.validation, work.metric
    y = own_scale(work.data.task, validation)

    def predict(numbers: Tensor, codes: Tensor) -> np.ndarray:
        if model.task.kind == "regression":
            return model.values(numbers, codes)
        return seen_by(metric, model.probabilities(numbers, codes), model.threshold)

    return permutation_importance(predict, validation.numbers, validation.codes, y, metric, groups, seed=work.seed)


def _dependence(work: Work, model: Model, columns: list[str]) -> list[dict[str, Any]]:
    """The answer by the values of the columns that matter most; of two classes the second's."""
    kinds = {column.name: column.kind for column in model.encoder.columns}
    shown = [name for name in columns if kinds.get(name) in ("number", "boolean", "category")][:DEPENDENCES]
    validation = work.data.validation
    found = []
    for name in shown:
        table = model.dependence_encoded(validation.numbers, validation.codes, name)
        if model.task.kind == "binary":
            table = table.filter(table["of"] == model.task.classes[1])
        found.append({"column": name, "kind": kinds[name], "rows": table.to_dicts()})
    return found


def _why(work: Work, model: Model, test: Dataset, worst: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
    """The three columns that add most to the answer of each of the worst rows, where Captum is there to tell."""
    table = isinstance(model.encoder, TableEncoder) and not model.encoder.words
    if not (worst and table and has("captum") and len(model.encoder.places()) <= MOST_COLUMNS):
        return []
    places = {int(row): place for place, row in enumerate(work.data.test_rows)}
    rows = [places[one["row"]] for one in worst]
    told = model.explain_encoded(test.numbers[rows], test.codes[rows])
    return [[(told.columns[int(k)], float(row[k])) for k in np.argsort(-np.abs(row))[:3]] for row in told.shares]


def _labels(work: Work, test: Dataset) -> dict[str, np.ndarray]:
    """Values of the columns with few of them, as text."""
    encoder = work.data.encoder
    found: dict[str, np.ndarray] = {}
    if not isinstance(encoder, TableEncoder):
        return found
    for k, name in enumerate(encoder.category_names):
        levels = np.array(encoder.levels(name), dtype=object)
        found[name] = levels[test.codes[:, k].numpy()].astype(str)
    booleans = {column.name for column in encoder.columns if column.kind == "boolean"}
    for i, name in enumerate(encoder.number_names):
        if name in booleans:
            values = test.numbers[:, i].numpy()
            no, yes = encoder.truth_names(name)
            words = np.where(np.isnan(values), "(missing)", np.where(values > 0, yes, no))
            found[name] = words.astype(str)
    return found
