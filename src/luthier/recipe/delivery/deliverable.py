"""What could be delivered where no bags were trained: one network, the mean of five seeds, or the best members.

All are compared on the validation part alone. N validation rows, C outputs, P components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.delivered import DeliverableEvidence, Kind, Offered
from luthier.recipe.delivery.by_metric import ByMetric
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.preparing.yardstick import comparable, yardstick_of
from luthier.recipe.running.runner import Runner, TrainedPopulation
from luthier.records import Said
from luthier.rows import Rows
from luthier.saved import activate
from luthier.saved.blend import read_as
from luthier.seeds import numpy_generator
from luthier.statistics.bags import greedy_weights, mixed_by_other_folds, of_loss
from luthier.statistics.paired import interval
from luthier.statistics.row_losses import row_losses

FOLDS = 5  # the greedy choice is judged on validation rows that it was not made on
CANDIDATES = 24


@dataclass(frozen=True)
class Component:
    """A trained member that may become a part of the deliverable, with its weight in the average."""

    trained: TrainedPopulation
    member: int
    weight: float = 1.0

    @property
    def label(self) -> str:
        """Where it comes from."""
        return f"{self.trained.name} / {self.trained.members[self.member].label}"


@dataclass(frozen=True)
class Deliverable:
    """What is delivered: components with weights that sum to one, and how the options compared.

    `held_out` [N, C] are outputs for rows that the components did not learn from, `targets` [N] theirs: the
    validation rows come last. None where the validation rows themselves are such rows.
    """

    kind: str
    components: tuple[Component, ...]
    losses: dict[str, float]  # mean validation loss of each option, the greedy one cross-fitted
    held_out: Tensor | None = None
    targets: Tensor | None = None

    def has(self, bag: Bag) -> bool:
        """Whether the networks of a bag are among the components."""
        places = {(one.trained.name, one.member) for one in self.components}
        return (bag.population.name, bag.first) in places


def choose_deliverable(runner: Runner, seeds: TrainedPopulation | None, method: str) -> Said[Deliverable]:
    """The option with the lowest validation loss, or with the best metric where one was asked for."""
    problem = runner.problem
    validation = problem.prepared(method)[2]
    options: dict[Kind, tuple[list[Component], Tensor]] = {}  # outputs [N, C] of rows not learnt from
    everyone = _best_members(runner, method, None if seeds is None else seeds.spec.outputs)
    kind = read_as(problem.task, (seeds or everyone[0].trained).spec.outputs)
    family = [Component(seeds, i) for i in seeds.usable()] if seeds is not None else everyone[:1]
    options["one"] = (family[:1], _averaged(family[:1], kind))
    if len(family) > 1:
        options["seeds"] = (family, _averaged(family, kind))
    if len(everyone) > 1:
        options["best members"] = _greedy(problem, everyone, validation, kind)
    losses = {name: _rows(problem, outputs, validation) for name, (_, outputs) in options.items()}
    by_metric = ByMetric.on(problem, [problem.data.validation], problem.data.units["validation"])
    predictions = {}
    if problem.asked_metric:
        predictions = {name: by_metric.prediction(outputs.numpy()) for name, (_, outputs) in options.items()}
    evidence = _evidence(by_metric, predictions, {name: some for name, (some, _) in options.items()}, losses)
    chosen = yield from decided(5, evidence)
    means: dict[str, float] = {option.kind: option.loss for option in evidence.options}
    return Deliverable(chosen, tuple(_normalised(options[chosen][0])), means)


def _evidence(
    by_metric: ByMetric,
    predictions: dict[Kind, np.ndarray],
    components: dict[Kind, list[Component]],
    losses: dict[Kind, Tensor],
) -> DeliverableEvidence:
    measured = {name: by_metric.value(prediction) for name, prediction in predictions.items()}
    defined, metric = bool(np.isfinite(list(measured.values())).all()), by_metric.metric
    return DeliverableEvidence(
        tuple(
            Offered(
                name,
                float(rows.mean()),
                interval((losses["one"] - rows).numpy()),
                tuple((one.label, round(one.weight, 4)) for one in _normalised(components[name])),
                measured.get(name) if defined else None,
            )
            for name, rows in losses.items()
        ),
        metric=metric if defined else "",
        larger_is_better=bool(metric) and defined and by_metric.larger_is_better,
        undefined="" if defined else metric,
    )


def is_offered(trained: TrainedPopulation, method: str) -> bool:
    """Whether the validation part has judged a population's networks behind this preprocessing, and some were kept."""
    return trained.method == method and not trained.in_folds and bool(trained.weights)


def _best_members(runner: Runner, method: str, outputs: int | None) -> list[Component]:
    """Members behind the same preprocessing whose weights were kept, best first: of as many `outputs` as is said, or as
    the best of them has, since outputs that are read in two ways are not mixed."""
    result = [
        Component(trained, i)
        for trained in runner.trained
        if is_offered(trained, method)
        for i in trained.usable()
        if i in trained.weights
    ]
    loss = {id(one): float(one.trained.validation_loss[one.member]) for one in result}
    if runner.problem.asks_losses:
        problem, part = runner.problem, runner.problem.prepared(method)[2]
        kinds = {id(one): read_as(problem.task, one.trained.spec.outputs) for one in result}
        loss = {id(one): float(_rows(problem, _averaged([one], kinds[id(one)]), part).mean()) for one in result}
    result.sort(key=lambda component: loss[id(component)])
    kept = outputs or (result[0].trained.spec.outputs if result else 0)
    return [one for one in result if one.trained.spec.outputs == kept][:CANDIDATES]


def _rows(problem: Problem, outputs: Tensor, part: Rows) -> Tensor:
    """The loss of each row of a part by the yardstick [N]."""
    return row_losses(comparable(problem, outputs, part), part.targets, yardstick_of(problem), part.weights)


def _outputs(components: Sequence[Component], kind: str) -> Tensor:
    """[P, N, C], of one component after another: of many classes there is room for one set of them."""
    first, *others = (one.trained.logits[one.trained.row_of(one.member)] for one in components)
    one = activate(first, kind)
    result = one.new_empty(len(components), *one.shape)
    result[0] = one
    for place, logits in enumerate(others, 1):
        result[place] = activate(logits, kind)
    return result


def _averaged(components: Sequence[Component], kind: str) -> Tensor:
    weights = torch.tensor([component.weight for component in components], dtype=torch.float64)
    return torch.einsum("p,pnc->nc", weights / weights.sum(), _outputs(components, kind))


def _greedy(problem: Problem, components: list[Component], part: Rows, kind: str) -> tuple[list[Component], Tensor]:
    """The greedy ensemble on all validation rows, and its outputs for them, on folds that it was not chosen on."""
    outputs, weights, judge = _outputs(components, kind), part.weights, yardstick_of(problem)
    rows = numpy_generator(problem.seed, "ensemble folds").permutation(outputs.shape[1])
    compared = torch.stack([comparable(problem, one, part) for one in outputs]) if problem.asks_losses else outputs
    known, places = of_loss(compared, part.targets)
    folds = np.empty(len(rows), dtype=int)
    for fold, held_out in enumerate(np.array_split(rows, min(FOLDS, len(rows)))):
        folds[held_out] = fold
    mixed = mixed_by_other_folds(outputs, known, places, judge, folds, weights)
    shares_of_all = greedy_weights(known, places, judge, weights=weights)
    chosen = [
        Component(component.trained, component.member, float(weight))
        for component, weight in zip(components, shares_of_all, strict=True)
        if weight > 0
    ]
    return chosen, mixed


def _normalised(components: list[Component]) -> list[Component]:
    total = sum(component.weight for component in components)
    return [Component(c.trained, c.member, c.weight / total) for c in components]
