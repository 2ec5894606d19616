"""Bags: one setting in all folds of the open rows; each row is predicted by the network that had left it out.

N open rows, K folds, M networks of a population, F rows of the largest fold, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.split import fold_rows, group_numbers, strata_of
from luthier.nets import DenseSpec
from luthier.recipe.plan import FOLDS, Stage
from luthier.recipe.problem import Problem
from luthier.recipe.runner import Runner, TrainedPopulation, TrainingPlan
from luthier.recipe.setting import Setting
from luthier.saved import activate
from luthier.seeds import derive, numpy_generator
from luthier.statistics.row_losses import row_losses

FEWEST_STEPS = 10
KEPT_BAGS, KEPT_BYTES = 6, 2**25  # bags of a population whose networks are kept, and what these may weigh


@dataclass(frozen=True)
class Bag:
    """A setting in all folds: its networks are those from `first` on of a population, one for each fold [N].

    `loss` is the mean loss of all open rows, each by the network that had left it out; NaN where a network diverged.
    """

    setting: Setting
    population: TrainedPopulation
    first: int
    folds: Tensor
    loss: float

    @property
    def places(self) -> range:
        """Its networks in the population, by fold."""
        return range(self.first, self.first + int(self.folds.max()) + 1)

    @property
    def is_kept(self) -> bool:
        """Whether the weights of all its networks are there."""
        return all(place in self.population.weights for place in self.places)

    @property
    def training_loss(self) -> float:
        """The mean training loss of its networks."""
        return float(np.mean(self.population.train_loss[list(self.places)]))

    def outputs(self, kind: str) -> Tensor:
        """Out-of-fold probabilities or values of all open rows [N, C], float64."""
        result: Tensor | None = None
        for fold, place in enumerate(self.places):
            rows = torch.nonzero(self.folds == fold).flatten()
            kept = self.population.row_of(place)
            some = activate(self.population.logits[kept : kept + 1, : len(rows)], kind)[0]
            result = some.new_empty(len(self.folds), some.shape[1]) if result is None else result
            result[rows] = some
        assert result is not None
        return result

    def row_losses(self, problem: Problem) -> np.ndarray:
        """The loss of each open row [N]."""
        whole, kind = problem.open_rows(self.setting.method), problem.task.kind
        return np.asarray(row_losses(self.outputs(kind), whole.targets, kind, whole.weights))

    def alone(self) -> TrainedPopulation:
        """Its population with all other networks left out."""
        own = np.isin(np.arange(len(self.population.members)), list(self.places))
        return replace(
            self.population,
            validation_loss=np.where(own, self.population.validation_loss, np.nan),
            weights={place: weights for place, weights in self.population.weights.items() if own[place]},
        )


def learnt_rows(problem: Problem) -> int:
    """How many rows a network of a bag learns from."""
    return round((len(problem.data.training) + len(problem.data.validation)) * (FOLDS - 1) / FOLDS)


def partition(problem: Problem, number: int, *, validation_only: bool = False) -> Tensor:
    """The fold of each open row [N], or of each validation row: equal rows and rows of a group stay together, classes
    lie in equal shares."""
    frame, together = problem.data.validation_frame, problem.data.together
    if validation_only:
        together = np.unique(together[-len(frame) :], return_inverse=True)[1]
    else:
        frame = pl.concat([problem.data.training_frame, frame])
    group, task = problem.asked.group, problem.task
    groups = group_numbers(frame[group]) if group else together
    rng = numpy_generator(problem.seed, "folds", number)
    left_out = fold_rows(groups, strata_of(frame[task.target], task), FOLDS, rng, whole=bool(group))
    result = torch.empty(len(frame), dtype=torch.int64)
    for fold, rows in enumerate(left_out):
        result[torch.from_numpy(rows)] = fold
    return result


@dataclass(frozen=True)
class BagPlan:
    """How a round trains its bags: the share of a whole training, the partition, which seeds, of how many bags networks
    are kept with what they said of the rows that they left out, and whether that is kept of all others too."""

    stage: str
    share: float = 1.0
    partition: int = 0
    seed: int = 0
    kept: int = KEPT_BAGS
    outputs: bool = False


def steps_of(runner: Runner, setting: Setting, share: float) -> int:
    """Steps of a network of a bag, over a share of the planned epochs."""
    assert runner.plan.design is not None
    epoch = learnt_rows(runner.problem) / setting.batch_size
    return max(FEWEST_STEPS, round(runner.plan.design.epochs * share * setting.length * epoch))


def train_bags(runner: Runner, name: str, settings: Sequence[Setting], trial: BagPlan) -> list[Bag]:
    """Settings of one shape, all folds in one population; none when the clock cut it."""
    problem, one = runner.problem, settings[0]
    folds = partition(problem, trial.partition)
    count, steps = int(folds.max()) + 1, steps_of(runner, one, trial.share)
    assert isinstance(one.member.spec, DenseSpec)
    light = max(1, KEPT_BYTES // (4 * count * one.member.spec.parameter_count()))
    members = [
        replace(
            setting.member_over(steps),
            fold=fold,
            seed=derive(problem.seed, "bag", trial.seed, fold),  # alike for all settings: compared in pairs
            label=f"{setting.label}, fold {fold}",
        )
        for setting in settings
        for fold in range(count)
    ]
    plan = TrainingPlan(
        trial.stage,
        Stage(steps=steps),
        one.method,
        one.rule,
        one.batch_size,
        parts=(problem.open_rows(one.method), None),
        folds=folds,
        kept=min(trial.kept, light) * count,
        outputs=trial.outputs,
    )
    trained = runner.run(name, members, plan)
    if trained is None or "cut" in trained.statuses:
        return []
    rows = _weights_of_folds(problem, folds)
    return [
        Bag(setting, trained, place * count, folds, _mean(trained, place * count, rows))
        for place, setting in enumerate(settings)
    ]


def _weights_of_folds(problem: Problem, folds: Tensor) -> np.ndarray:
    """How much the rows of each fold count together [K]."""
    parts = (problem.data.training, problem.data.validation)
    if all(part.weights is None for part in parts):
        return folds.bincount().double().numpy()
    known = torch.cat([torch.ones(len(part)) if part.weights is None else part.weights for part in parts])
    return folds.bincount(known.double()).numpy()


def _mean(trained: TrainedPopulation, first: int, rows: np.ndarray) -> float:
    losses = trained.validation_loss[first : first + len(rows)]
    statuses = trained.statuses[first : first + len(rows)]
    if any(status.startswith("diverged") for status in statuses):
        return float("nan")
    return float(np.average(losses, weights=rows))
