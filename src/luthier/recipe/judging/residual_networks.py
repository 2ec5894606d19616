"""Small networks that learn how the residuals of rows lie which the delivered networks had left out: their quantiles.

N rows, F features, Q quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.assess.row_intervals import with_prediction
from luthier.data import Encoder
from luthier.engine import Member, Outcome, Schedule, Settings, train
from luthier.nets import DenseNet, DenseSpec
from luthier.objective import Loss
from luthier.recipe.delivery.deliverable import Deliverable
from luthier.recipe.judging.calibrated import left_out, units_of, weights_of
from luthier.recipe.planning.budget import Budget
from luthier.recipe.preparing.problem import embeddings_of
from luthier.recipe.running.runner import Runner
from luthier.rows import Rows
from luthier.saved import Model
from luthier.seeds import derive

FEWEST_ROWS, WIDEST = 300, 500  # rows that have residuals, and columns of features
UNITS, BATCH_SIZE, EPOCHS = 64, 128, 20
FEWEST_STEPS, MOST_STEPS = 200, 3000
STEPS_A_SECOND = 20  # of the budget: a step of five networks takes about a millisecond
PARTITION = 1000  # a dealing of folds that nothing else uses


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residuals [N] on the scale of the model, of rows that were left out, with their weights; `units` are no copies.

    `rows` are what networks learn from: features, with the prediction as one more, and residuals over `scale`. They
    train for so many `steps`, 0 where there is too little to learn from; `folds` [N] leave rows out once more.
    """

    values: np.ndarray
    weights: np.ndarray | None
    units: int
    out_of_fold: bool
    encoder: Encoder
    scale: float = 1.0
    steps: int = 0
    rows: Rows | None = None
    folds: Tensor | None = None
    seeds: tuple[int, ...] = ()

    @classmethod
    def of(cls, runner: Runner, model: Model, choice: Deliverable, method: str) -> Residuals:
        """Those of a model's deliverable: of the open rows in folds, else of the validation rows."""
        problem = runner.problem
        folded = choice.held_out is not None
        averaged, targets = left_out(problem, model, choice.held_out, choice.targets)
        residuals = model.transform.residuals(targets, averaged[:, 0])
        weights, units = weights_of(problem, folded), units_of(problem, folded)
        plain = cls(residuals, weights, units, folded, model.encoder)
        if not model.encoder.dense:
            return plain
        part = problem.open_rows(method) if folded else problem.prepared(method)[2]
        steps = steps_of(len(part), part.numbers.shape[1], runner.budget_clock.budget)
        scale = float(np.sqrt(np.average(residuals**2, weights=weights)))
        if not steps or not scale > 0:
            return plain
        rows = Rows(
            part.inputs.replaced(numbers=with_prediction(part.numbers, torch.from_numpy(averaged[:, 0]))),
            torch.from_numpy(residuals / scale).to(part.numbers.dtype),
            part.weights,
        )
        folds = problem.cross_fitted(folded).dealt(PARTITION)
        seeds = tuple(derive(problem.seed, "intervals", fold) for fold in range(int(folds.max()) + 2))
        return cls(residuals, weights, units, folded, model.encoder, scale, steps, rows, folds, seeds)

    def out_of_fold_outputs(self, loss: Loss, outputs: int) -> Tensor:
        """The outputs [N, Q] of each row by the network that had left it out."""
        assert self.rows is not None
        assert self.folds is not None
        known = self._trained(loss, outputs, self.seeds[:-1], self.folds).logits(self.rows.inputs)
        return known[self.folds, torch.arange(len(self.folds))]

    def network(self, loss: Loss, outputs: int) -> DenseNet:
        """One network of all rows."""
        net = self._trained(loss, outputs, self.seeds[-1:]).module()
        assert isinstance(net, DenseNet)
        return net

    def _trained(self, loss: Loss, outputs: int, seeds: tuple[int, ...], folds: Tensor | None = None) -> Outcome:
        """A network for each seed, which leaves out the fold of its number, or learns from all rows."""
        assert self.rows is not None
        spec = DenseSpec(
            inputs=self.rows.numbers.shape[1],
            hidden=(UNITS,),
            outputs=outputs,
            activation="selu",
            embeddings=embeddings_of(self.encoder.category_sizes),
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
            loss=loss, rule="adam", batch_size=BATCH_SIZE, steps=self.steps, evaluate_every=self.steps, keep_last=True
        )
        return train(members, self.rows, None, settings, folds=folds)


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
