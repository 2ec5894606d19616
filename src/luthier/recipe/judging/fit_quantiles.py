"""Step 5, before the test set: the quantiles of a row's value that were asked for, and how they do on sealed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from luthier.assess import QuantileScore
from luthier.assess.baseline_process import quantile_trees
from luthier.assess.row_quantiles import RowQuantiles, corrections, pinball_of, risen, rising
from luthier.objective import quantiles
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.quantile_choice import QuantileEvidence
from luthier.recipe.delivery.deliverable import Deliverable
from luthier.recipe.judging.residual_networks import Residuals
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.rows import Rows
from luthier.saved import Model


def with_quantiles(runner: Runner, model: Model, choice: Deliverable, method: str) -> Said[Model]:
    """The model with the quantiles that were asked for: of each row by a network of residuals, where that has the lower
    pinball loss on rows left out, or by one law for all."""
    levels = runner.problem.quantiles
    if not levels:
        return model
    known = Residuals.of(runner, model, choice, method)
    offsets = corrections(np.zeros((len(known.values), len(levels))), known.values, levels, known.weights)
    alike = np.tile(offsets, (len(known.values), 1))
    one = float(pinball_of(alike, known.values, levels, known.weights).mean())
    result, by_row, loss = RowQuantiles(levels, offsets), None, quantiles(*levels)
    if known.rows is not None:
        found = known.scale * rising(known.out_of_fold_outputs(loss, len(levels)), levels)
        moved = corrections(found, known.values, levels, known.weights)
        by_row = float(pinball_of(risen(found + np.array(moved)), known.values, levels, known.weights).mean())
    evidence = QuantileEvidence(levels, round(one, 6), finite(by_row), known.out_of_fold)
    if (yield from decided(5, evidence)):
        result = RowQuantiles(levels, moved, known.scale, known.network(loss, len(levels)))
    return replace(model, row_quantiles=result)


def quantile_scores(
    model: Model, test: Rows, answers: np.ndarray, baselines: Mapping[str, np.ndarray]
) -> list[QuantileScore]:
    """Of each quantile: the share of test rows below it, and its pinball loss beside that of boosted trees."""
    if model.row_quantiles is None:
        return []
    levels, y = model.row_quantiles.levels, own_scale(model.task, test)
    weights = test.weights_array
    found = model.quantiles(answers, test.inputs)
    losses = pinball_of(found, y, levels, weights)
    result = []
    for q, level in enumerate(levels):
        below = float(np.average(y <= found[:, q], weights=weights))
        trees = baselines.get(quantile_trees(level))
        other = None if trees is None else float(pinball_of(trees[:, None], y, (level,), weights)[0])
        result.append(QuantileScore(level, below, float(losses[q]), other))
    return result
