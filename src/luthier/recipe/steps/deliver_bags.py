"""Step 5 on cross-fitted tables: a greedy ensemble of bags, by predictions of rows that their networks had not seen.

P bags, N open rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from luthier.recipe.bags import Bag, open_rows, partition
from luthier.recipe.decisions.experiment import BagsEvidence, EnsembleSize
from luthier.recipe.plan import FOLDS
from luthier.recipe.runner import Runner
from luthier.recipe.steps.deliverable import Component, Deliverable
from luthier.statistics.bags import Ensemble, ensemble

MOST_BAGS, MOST_CANDIDATES = 8, 60


def candidates(bags: Sequence[Bag], method: str) -> list[Bag]:
    """The bags that may be delivered: their networks were kept, and their inputs enter alike; best first."""
    result = [bag for bag in bags if bag.is_kept and bag.setting.method == method and np.isfinite(bag.loss)]
    return sorted(result, key=lambda bag: bag.loss)[:MOST_CANDIDATES]


def ensemble_of(runner: Runner, bags: Sequence[Bag]) -> tuple[Ensemble, Tensor]:
    """Weights of bags, and their outputs for rows not learnt from [P, N, C]."""
    problem, kind = runner.problem, runner.problem.task.kind
    whole = open_rows(problem, bags[0].setting.method)
    outputs = torch.stack([bag.outputs(kind) for bag in bags])
    folds = partition(problem, 0).numpy()
    return ensemble(outputs, whole.targets, kind, folds, weights=whole.weights, most=MOST_BAGS), outputs


def deliver_bags(runner: Runner, bags: Sequence[Bag]) -> Deliverable:
    """The smallest ensemble that is as good as the best, with what its networks say of all open rows."""
    problem = runner.problem
    found, outputs = ensemble_of(runner, bags)
    sizes = tuple(EnsembleSize(count, round(loss, 6), round(error, 6)) for count, loss, error in found.curve)
    count = runner.ledger.decide(5, BagsEvidence(sizes, len(bags), FOLDS))
    weights = torch.as_tensor(found.weights, dtype=torch.float64)
    held_out = torch.einsum("p,pnc->nc", weights, outputs)
    components = tuple(
        Component(bag.population, place, float(weight) / len(bag.places))
        for bag, weight in zip(bags, found.weights, strict=True)
        if weight > 0
        for place in bag.places
    )
    losses = {"one": sizes[0].loss, "bags": next(one.loss for one in sizes if one.bags == count)}
    targets = open_rows(problem, bags[0].setting.method).targets
    return Deliverable("bags", components, losses, held_out, targets)
