"""Step 5, before the test set: whether intervals of a regression are as wide as each row asks for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from luthier.assess import RowIntervals
from luthier.assess.row_intervals import PINBALL, correction_of, interval_score, moved, quantiles_of, with_prediction
from luthier.data import TableEncoder
from luthier.engine import Member, Schedule, Settings, train
from luthier.engine.outcome import Outcome
from luthier.nets import DenseNet, DenseSpec
from luthier.recipe.budget import Budget
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.interval_choice import IntervalEvidence
from luthier.recipe.problem import embedding_width
from luthier.recipe.runner import Runner
from luthier.recipe.steps.calibrated import left_out, units_of, weights_of
from luthier.recipe.steps.deliverable import Deliverable
from luthier.records import Said
from luthier.rows import Rows
from luthier.saved import Model
from luthier.seeds import derive

FEWEST_ROWS, WIDEST = 300, 500  # rows that have residuals, and columns of features
UNITS, BATCH_SIZE, EPOCHS = 64, 128, 20
FEWEST_STEPS, MOST_STEPS = 200, 3000
STEPS_A_SECOND = 20  # of the budget: a step of five networks takes about a millisecond
PARTITION = 1000  # a dealing of folds that nothing else uses


def with_row_intervals(runner: Runner, model: Model, choice: Deliverable, method: str) -> Said[Model]:
    """The model with intervals whose width depends on the row, where these are the better ones on rows left out.

    A network for each fold of these rows learns the quantiles of the residuals of the others; the conformal correction
    and the choice come from rows that their networks had not seen.
    Delivered is one network of all of these rows. Without sealed rows nothing would measure how often such intervals
    hold: then all rows keep one width.
    """
    problem = runner.problem
    of_numbers = isinstance(model.encoder, TableEncoder) and not model.encoder.words
    if problem.task.kind != "regression" or not of_numbers or not problem.asked.seals:
        return model
    folded = choice.held_out is not None
    part = problem.open_rows(method) if folded else problem.prepared(method)[2]
    steps = steps_of(len(part), part.numbers.shape[1], runner.budget_clock.budget)
    if not steps:
        return model
    counting, units = weights_of(problem, folded), units_of(problem, folded)
    averaged, targets = left_out(problem, model, choice.held_out, choice.targets)
    residuals = model.transform.residuals(targets, averaged[:, 0])
    scale = float(np.sqrt(np.average(residuals**2, weights=counting)))
    if not scale > 0:
        return model
    rows = Rows(
        part.inputs.replaced(numbers=with_prediction(part.numbers, torch.from_numpy(averaged[:, 0]))),
        torch.from_numpy(residuals / scale).to(part.numbers.dtype),
        part.weights,
    )
    folds = (problem.cross_fitted() if folded else problem.judged_by_validation()).dealt(PARTITION)
    seeds = [derive(problem.seed, "intervals", fold) for fold in range(int(folds.max()) + 2)]
    ends = scale * _out_of_fold(_trained(rows, steps, seeds[:-1], model, folds), rows, folds)
    correction = correction_of(ends, residuals, counting, units)
    if not np.isfinite(correction) or not np.isfinite(ends).all():
        return model
    width = np.full(len(residuals), model.half_width)
    evidence = IntervalEvidence(
        one=interval_score(-width, width, residuals, counting),
        by_row=interval_score(*moved(ends, correction), residuals, counting),
        rows=len(residuals),
        out_of_fold=folded,
    )
    if not (yield from decided(5, evidence)):
        return model
    net = _trained(rows, steps, seeds[-1:], model).module()
    assert isinstance(net, DenseNet)
    return replace(model, row_intervals=RowIntervals(net, scale, correction))


def steps_of(rows: int, columns: int, budget: Budget) -> int:
    """How many steps the networks train, of what is recorded alone, so that a rerun does the same; 0: not at all.

    >>> [steps_of(rows, 30, Budget(seconds=60.0)) for rows in (100, 5000)], steps_of(5000, 30, Budget(steps=60))
    ([0, 781], 200)
    """
    if rows < FEWEST_ROWS or columns > WIDEST:
        return 0
    wanted = min(MOST_STEPS, EPOCHS * rows // BATCH_SIZE)
    allowed = budget.steps if budget.seconds is None else round(STEPS_A_SECOND * budget.seconds)
    return max(FEWEST_STEPS, min(wanted, allowed or 0))


def _trained(rows: Rows, steps: int, seeds: list[int], model: Model, folds: Tensor | None = None) -> Outcome:
    """A network for each seed, which leaves out the fold of its number, or learns from all rows."""
    spec = DenseSpec(
        inputs=rows.numbers.shape[1],
        hidden=(UNITS,),
        outputs=2,
        activation="selu",
        embeddings=tuple((levels, embedding_width(levels)) for levels in model.encoder.category_sizes),
    )
    members = [
        Member(
            spec,
            seed,
            learning_rate=0.005,
            schedule=Schedule("cosine"),
            weight_decay=0.02,
            dropout=(0.1,),
            fold=None if folds is None else fold,
        )
        for fold, seed in enumerate(seeds)
    ]
    settings = Settings(
        loss=PINBALL, rule="adam", batch_size=BATCH_SIZE, steps=steps, evaluate_every=steps, keep_last=True
    )
    return train(members, rows, None, settings, folds=folds)


def _out_of_fold(trained: Outcome, rows: Rows, folds: Tensor) -> np.ndarray:
    """The quantiles [N, 2] of each row by the network that had left it out."""
    outputs = trained.logits(rows.inputs)
    return quantiles_of(outputs[folds, torch.arange(len(folds))])
