"""Step 5, before the test set: whether intervals of a regression are as wide as each row asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from luthier.assess import RowIntervals
from luthier.assess.row_intervals import LEVELS, PINBALL, correction_of, interval_score, moved, quantiles_of
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.interval_choice import IntervalEvidence
from luthier.recipe.delivery.deliverable import Deliverable
from luthier.recipe.judging.residual_networks import Residuals
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.saved import Model


def with_row_intervals(runner: Runner, model: Model, choice: Deliverable, method: str) -> Said[Model]:
    """The model with intervals whose width depends on the row, where these are the better ones on rows left out.

    A network for each fold of these rows learns the quantiles of the residuals of the others; the conformal correction
    and the choice come from rows that their networks had not seen.
    Delivered is one network of all of these rows. Without sealed rows nothing would measure how often such intervals
    hold: then all rows keep one width.
    """
    problem = runner.problem
    if problem.task.kind != "regression" or not problem.asked.seals:
        return model
    known = Residuals.of(runner, model, choice, method)
    if known.rows is None:
        return model
    ends = known.scale * quantiles_of(known.out_of_fold_outputs(PINBALL, len(LEVELS)))
    correction = correction_of(ends, known.values, known.weights, known.units)
    if not np.isfinite(correction) or not np.isfinite(ends).all():
        return model
    width = np.full(len(known.values), model.half_width)
    evidence = IntervalEvidence(
        one=interval_score(-width, width, known.values, known.weights),
        by_row=interval_score(*moved(ends, correction), known.values, known.weights),
        rows=len(known.values),
        out_of_fold=known.out_of_fold,
    )
    if not (yield from decided(5, evidence)):
        return model
    intervals = RowIntervals(known.network(PINBALL, len(LEVELS)), known.scale, correction)
    return replace(model, row_intervals=intervals)
