"""Bags: one setting in all folds of the open rows; each row is predicted by the network that had left it out.

Where the open rows are not crossed a bag is one network, and the validation part is what it had left out. N rows judge
(all open ones, or the validation part); K folds, M networks of a population, F rows of the largest fold, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from luthier.assess import Units
from luthier.engine import ModuleSpec
from luthier.errors import NetworkTooLargeError
from luthier.kinds import KINDS, JointKind
from luthier.messages import Message
from luthier.nets import DenseSpec, Spec, build
from luthier.objective import loss_by_name
from luthier.recipe.planning.plan import FOLDS, Stage
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.preparing.yardstick import comparable, yardstick_of
from luthier.recipe.running.pieces_of_populations import TrainingPlan
from luthier.recipe.running.runner import STEPS, Runner, TrainedPopulation
from luthier.records import Said, noted
from luthier.rows import Rows
from luthier.saved import activate
from luthier.seeds import derive
from luthier.statistics.row_losses import row_losses, target_losses

FEWEST_STEPS = 10
KEPT_BAGS, KEPT_BYTES = 6, 2**25  # bags of a population whose networks are kept, and what these may weigh


@dataclass(frozen=True)
class Bag:
    """A setting in all folds: its networks are those from `first` on of a population, one for each fold [N].

    `loss` is the mean loss of all rows that judge, each by the network that had left it out; NaN where one diverged.
    Where settings learn by different losses it is the yardstick of all of them, and `own_loss` what this one learns by;
    of a setting that learns one target alone it is that target's share.
    """

    setting: Setting
    population: TrainedPopulation
    first: int
    folds: Tensor
    loss: float
    own_loss: float

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

    def outputs(self, kind: str | JointKind) -> Tensor:
        """Probabilities or values of rows not learnt from [N, C], float64."""
        read_as = "multiclass" if self.setting.loss == KINDS["multiclass"].loss else kind
        result: Tensor | None = None
        for fold, place in enumerate(self.places):
            rows = torch.nonzero(self.folds == fold).flatten()
            kept = self.population.row_of(place)
            some = activate(self.population.logits[kept : kept + 1, : len(rows)], read_as)[0]
            result = some.new_empty(len(self.folds), some.shape[1]) if result is None else result
            result[rows] = some
        assert result is not None
        return result

    def row_losses(self, problem: Problem) -> np.ndarray:
        """The loss of each row that judges [N], by the problem's yardstick."""
        whole, folds = problem.judged(self.setting.method), choosing_folds(problem)
        outputs = comparable(problem, self.outputs(problem.kind), whole, folds)
        return np.asarray(row_losses(outputs, whole.targets, yardstick_of(problem), whole.weights))

    def target_rows(self, problem: Problem) -> np.ndarray:
        """Each target's share of the loss of each row that judges [N, T], where several share their networks."""
        whole, joint = problem.judged(self.setting.method), problem.joint
        assert joint is not None
        return np.asarray(target_losses(self.outputs(joint.kind), whole.targets, joint.kind, whole.weights))

    def own_rows(self, problem: Problem) -> np.ndarray:
        """The loss of each row that judges [N], as its networks learn it."""
        whole, kind = problem.judged(self.setting.method), problem.kind
        learnt = loss_by_name(self.setting.loss).rows if self.setting.loss and not problem.task.is_classes else kind
        return np.asarray(row_losses(self.outputs(kind), whole.targets.double(), learnt, whole.weights))

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
    learnt, others = len(problem.data.training), len(problem.data.validation)
    return round((learnt + others) * (FOLDS - 1) / FOLDS) if problem.crossed else learnt


def judging_units(problem: Problem) -> Units:
    """What new data would bring anew, of the rows that judge [N]: groups, rows with their copies, blocks of times."""
    known = [(problem.data.units[name], len(part)) for name, part in problem.judging.items()]
    if all(units.of is None for units, _ in known):
        return known[0][0]
    numbers, start = [], 0
    for units, rows in known:
        own = units.numbers(rows)
        numbers.append(own + start)
        start += int(own.max(initial=-1)) + 1
    return Units("groups" if known[0][0].kind == "groups" else "rows", np.concatenate(numbers))


def choosing_folds(problem: Problem) -> Tensor:
    """The folds of the rows that judge [N], of which weights and answers are chosen without one and scored on it."""
    folds = problem.dealt(0)
    one = bool((folds == folds[:1]).all())  # a unit that cannot be left out, or all that is known of a target
    return torch.arange(len(folds)) % 2 if one else folds


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
    design = runner.plan.design
    assert design is not None
    epoch = learnt_rows(runner.problem) / setting.batch_size
    fewest = 1 if runner.budget_clock.budget.seconds is None else FEWEST_STEPS
    return max(fewest, round(design.epochs * share * setting.length * epoch))


def train_bags(runner: Runner, name: str, settings: Sequence[Setting], trial: BagPlan) -> Said[list[Bag]]:
    """Settings of one shape, all folds in one population; none when the clock cut it or the memory cannot hold one."""
    problem, one = runner.problem, settings[0]
    folds = problem.dealt(trial.partition) if problem.crossed else torch.zeros(len(problem.data.validation)).long()
    count, steps = int(folds.max()) + 1, steps_of(runner, one, trial.share)
    members = [
        replace(
            setting.member_over(steps),
            fold=fold if problem.crossed else None,
            seed=derive(problem.seed, "bag", trial.seed, fold),  # alike for all settings: compared in pairs
            label=Message("{label}, fold {fold}", label=setting.label, fold=fold) if problem.crossed else setting.label,
        )
        for setting in settings
        for fold in range(count)
    ]
    plan = TrainingPlan.of(
        trial.stage,
        Stage(steps=steps),
        one,
        parts=_rows_of(problem, one),
        folds=folds if problem.crossed else None,
        kept=min(trial.kept, _light(problem, one, folds)) * count,
        outputs=trial.outputs or problem.asks_losses,
        complete=True,
        batches=trial.seed,
    )
    try:
        trained = yield from runner.run(name, members, plan)
    except NetworkTooLargeError as error:
        sentence = Message("{name} is left out: {problem}", name=name, problem=error.problem)
        yield noted(STEPS[trial.stage], sentence)
        return []
    if trained is None or "cut" in trained.statuses:
        return []
    rows = _weights_of_folds(problem, folds)
    means = [_mean(trained, place * count, rows) for place in range(len(settings))]
    bags = [Bag(one, trained, place * count, folds, means[place], means[place]) for place, one in enumerate(settings)]
    return _measured(runner, bags, trial) if problem.asks_losses else bags


def _measured(runner: Runner, bags: Sequence[Bag], trial: BagPlan) -> list[Bag]:
    """The bags with their losses by the yardstick of settings that learn by different losses."""
    problem, population = runner.problem, bags[0].population
    known = [bag.row_losses(problem).mean() if np.isfinite(bag.own_loss) else np.nan for bag in bags]
    slim = population if trial.outputs else runner.forget_outputs(population)
    return [replace(bag, population=slim, loss=float(loss)) for bag, loss in zip(bags, known, strict=True)]


def _rows_of(problem: Problem, setting: Setting) -> tuple[Rows, Rows | None]:
    """What the networks of bags learn from and are judged by: of crossed rows those of their own folds."""
    if problem.crossed:
        return _with_target(problem.open_rows(setting.method), setting.only), None
    _, *parts = problem.prepared(setting.method)
    training, validation = (_with_target(part, setting.only) for part in parts)
    return training, validation


def _with_target(rows: Rows, only: int | None) -> Rows:
    """The rows, of their targets [N, T] one alone where that is asked for: a network learns nothing of the others."""
    if only is None:
        return rows
    targets = torch.full_like(rows.targets, torch.nan)
    targets[:, only] = rows.targets[:, only]
    return replace(rows, targets=targets)


def _light(problem: Problem, setting: Setting, folds: Tensor) -> int:
    """Of how many bags networks and outputs are light enough to be kept; of one at least."""
    networks = (int(folds.max()) + 1) * parameter_count(setting.member.spec)
    return max(1, KEPT_BYTES // (4 * (networks + len(folds) * problem.outputs)))


def parameter_count(spec: Spec | ModuleSpec) -> int:
    """How many numbers a network learns."""
    assert not isinstance(spec, ModuleSpec)
    if isinstance(spec, DenseSpec):
        return spec.parameter_count()
    return sum(one.numel() for one in build(spec, seed=0).parameters())


def _weights_of_folds(problem: Problem, folds: Tensor) -> np.ndarray:
    """How much the rows of each fold count together [K]."""
    parts = problem.judging.values()
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
