"""Step 5: a greedy ensemble of bags, by predictions of rows that their networks had not seen.

P bags, N open rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from luthier.objective import metric_named
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.experiment import BagsEvidence, EnsembleSize
from luthier.recipe.delivery.by_metric import ByMetric
from luthier.recipe.delivery.deliverable import Component, Deliverable
from luthier.recipe.experiment.fold_bags import Bag, choosing_folds, judging_units
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.preparing.yardstick import comparable, yardstick_of
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.statistics.bags import Ensemble, ensemble, greedy_weights, mixed_by_other_folds

MOST_BAGS, MOST_CANDIDATES, MOST_BYTES = 8, 60, 2**28  # of all candidates' outputs


def candidates(bags: Sequence[Bag], method: str) -> list[Bag]:
    """The bags that may be delivered: their networks were kept, and their inputs enter alike; best first.

    Outputs that are read in two ways are not mixed: those of the best bag's are taken.
    """
    result = [bag for bag in bags if bag.is_kept and bag.setting.method == method and np.isfinite(bag.loss)]
    best = min(result, key=lambda bag: bag.loss, default=None)
    result = [bag for bag in result if best is not None and bag.population.spec.outputs == best.population.spec.outputs]
    outputs = 8 * len(bags[0].folds) * (1 + bags[0].population.logits.shape[-1]) if bags else 1
    return sorted(result, key=lambda bag: bag.loss)[: min(MOST_CANDIDATES, max(MOST_BAGS, MOST_BYTES // outputs))]


def ensemble_of(runner: Runner, bags: Sequence[Bag]) -> Ensemble:
    """Weights of bags, by the yardstick."""
    problem = runner.problem
    whole, folds = problem.judged(bags[0].setting.method), choosing_folds(problem).numpy()
    known, judge = compared(problem, bags, _outputs(problem, bags)), yardstick_of(problem)
    return ensemble(known, whole.targets, judge, folds, weights=whole.weights, most=MOST_BAGS)


def _outputs(problem: Problem, bags: Sequence[Bag]) -> Tensor:
    """What bags say of the rows that judge [P, N, C]."""
    return torch.stack([bag.outputs(problem.kind) for bag in bags])


def compared(problem: Problem, bags: Sequence[Bag], outputs: Tensor) -> Tensor:
    """Outputs of bags [P, N, C] as the yardstick takes them."""
    if not problem.asks_losses:
        return outputs
    whole, folds = problem.judged(bags[0].setting.method), choosing_folds(problem)
    return torch.stack([comparable(problem, one, whole, folds) for one in outputs])


def deliver_bags(runner: Runner, bags: Sequence[Bag]) -> Said[Deliverable]:
    """The smallest ensemble that is as good as the best, with what its networks say of the rows that judge.

    Where a metric was asked for, the number of bags goes by it.
    """
    problem, design = runner.problem, runner.plan.design
    assert design is not None
    found, outputs = ensemble_of(runner, bags), _outputs(problem, bags)
    values = _by_metric(runner, bags, outputs, [count for count, _, _ in found.curve]) if problem.asked_metric else {}
    sizes = tuple(
        EnsembleSize(count, round(loss, 6), round(error, 6), finite(values.get(count)))
        for count, loss, error in found.curve
    )
    metric = problem.asked_metric if values and all(one.value is not None for one in sizes) else ""
    larger = bool(metric) and metric_named(metric).larger_is_better
    evidence = BagsEvidence(sizes, len(bags), design.folds, metric=metric, larger_is_better=larger)
    whole, chosen = problem.judged(bags[0].setting.method), found.weights
    if metric:
        known, judge = compared(problem, bags, outputs), yardstick_of(problem)
        chosen = greedy_weights(known, whole.targets, judge, weights=whole.weights, most=evidence.decide())
    count = yield from decided(5, replace(evidence, delivered=int(np.count_nonzero(chosen))))
    held_out = torch.einsum("p,pnc->nc", torch.as_tensor(chosen, dtype=torch.float64), outputs)
    components = tuple(
        Component(bag.population, place, float(weight) / len(bag.places))
        for bag, weight in zip(bags, chosen, strict=True)
        if weight > 0
        for place in bag.places
    )
    losses = {"one": sizes[0].loss, "bags": next(one.loss for one in sizes if one.bags == count)}
    return Deliverable("bags", components, losses, *((held_out, whole.targets) if problem.crossed else ()))


def _by_metric(runner: Runner, bags: Sequence[Bag], outputs: Tensor, counts: Sequence[int]) -> dict[int, float]:
    """The metric of ensembles of so many bags, each row by weights and an answer from other folds."""
    problem = runner.problem
    known, judge = compared(problem, bags, outputs), yardstick_of(problem)
    judged, result = by_metric(problem), dict[int, float]()
    whole, folds = problem.judged(bags[0].setting.method), choosing_folds(problem).numpy()
    for count in counts:
        mixed = mixed_by_other_folds(outputs, known, whole.targets, judge, folds, whole.weights, count)
        result[count] = judged.value(judged.prediction_in_folds(mixed.numpy(), folds))
    return result


def by_metric(problem: Problem) -> ByMetric:
    """The metric that was asked for, on the rows that judge."""
    return ByMetric.on(problem, problem.judging.values(), judging_units(problem))
