"""The plan where rows are pictures or text: fewer networks, each of which costs more, one after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from luthier.recipe.plan import FOLDS, MOST_EPOCHS, SMALL, Means, Plan, Plans, Rung, Stage

Level = tuple[int, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Medium:
    """How the recipe goes for one kind of rows: its rungs, what they cost beside the first network, and its shares.

    `levels` go from rich to lean: seeds, rungs of step 3, rungs of step 4. `going_on` is the part of enough steps
    that step 4 needs, less than one where its networks go on from those of step 3.
    """

    training: tuple[Rung, ...]
    validation: tuple[Rung, ...]
    levels: tuple[Level, ...]
    costs: Mapping[str, float]
    shares: Mapping[str, float]
    final_seeds: int
    final_cost: float
    going_on: float
    method: Literal["pixels", "standardise"]
    most_batch: int
    folded: bool


def _names(rungs: tuple[Rung, ...]) -> tuple[str, ...]:
    return tuple(rung.name for rung in rungs)


_PICTURE_TRAINING = (
    Rung("rate", ((2, 1, 0),)),
    Rung("Adam", ((2, 1, 0),)),
    Rung("decay", ((1, 1, 0),)),
    Rung("units", ((1, 2, 0),)),
    Rung("layers", ((1, 1, 1),)),
)
_PICTURE_VALIDATION = (
    Rung("start", ((1, 1, 0),)),
    Rung("augmentation", ((10, 1, 0),)),
    Rung("augmentations together", ((4, 1, 0),)),
    Rung("dropout, last layer", ((2, 1, 0),)),
    Rung("L2", ((3, 1, 0),)),
)
_TEXT_TRAINING = (
    Rung("rate", ((2, 1, 0),)),
    Rung("Adam", ((2, 1, 0),)),
    Rung("decay", ((1, 1, 0),)),
    Rung("units", ((2, 1, 0),)),
    Rung("order", ((1, 1, 0),)),
)
_TEXT_VALIDATION = (
    Rung("start", ((1, 1, 0),)),
    Rung("dropout, last layer", ((2, 1, 0),)),
    Rung("dropout of words", ((2, 1, 0),)),
    Rung("L2", ((4, 1, 0),)),
)
MEDIA: dict[str, Medium] = {
    "pictures": Medium(
        training=_PICTURE_TRAINING,
        validation=_PICTURE_VALIDATION,
        levels=(
            (2, _names(_PICTURE_TRAINING), _names(_PICTURE_VALIDATION)),
            (1, _names(_PICTURE_TRAINING), _names(_PICTURE_VALIDATION)),
            (1, ("rate", "Adam", "decay", "units"), ("start", "augmentation", "augmentations together", "L2")),
            (1, ("Adam", "decay"), ("start", "augmentation", "augmentations together")),
        ),
        costs={"units": 2.2, "layers": 3.7, "augmentation": 1.25, "augmentations together": 1.25, "later": 2.2},
        shares={"inputs": 0.0, "range": 0.06, "fit training": 0.22, "fit validation": 0.30, "seeds": 0.42, "folds": 0},
        final_seeds=3,
        final_cost=1.25 * 2.2,
        going_on=0.4,
        method="pixels",
        most_batch=128,
        folded=False,
    ),
    "text": Medium(
        training=_TEXT_TRAINING,
        validation=_TEXT_VALIDATION,
        levels=(
            (2, _names(_TEXT_TRAINING), _names(_TEXT_VALIDATION)),
            (1, _names(_TEXT_TRAINING), _names(_TEXT_VALIDATION)),
            (1, ("Adam", "decay", "units"), ("start", "dropout, last layer", "L2")),
            (1, ("Adam",), ("start", "dropout, last layer")),
        ),
        costs={"order": 5.0, "units": 1.2, "later": 1.0},
        shares={
            "inputs": 0.0,
            "range": 0.05,
            "fit training": 0.25,
            "fit validation": 0.27,
            "seeds": 0.13,
            "folds": 0.30,
        },
        final_seeds=5,
        final_cost=1.0,
        going_on=1.0,
        method="standardise",
        most_batch=64,
        folded=True,
    ),
}
ENOUGH_EPOCHS, ENOUGH_STEPS = 2.5, 250  # below both a comparison says more about the length


@dataclass(frozen=True)
class MediumProblem:
    """What the plan depends on besides the budget: rows to train on, and seconds of one network's step."""

    medium: Literal["pictures", "text"]
    rows: int
    step_seconds: float = 0.0

    @property
    def batch_size(self) -> int:
        """A power of two near a fortieth of the rows, at least 16."""
        wanted = 16
        while wanted < MEDIA[self.medium].most_batch and wanted * 40 < self.rows:
            wanted *= 2
        return max(1, min(wanted, self.rows))

    @property
    def epoch_steps(self) -> int:
        """Steps in one epoch."""
        return -(-self.rows // self.batch_size)


def make_medium_plans(problem: MediumProblem, means: Means) -> Plans:
    """The richest plan that leaves every stage enough steps."""
    medium, plan = MEDIA[problem.medium], None
    for level in medium.levels:
        plan = _plan(problem, medium, means, level)
        enough = max(ENOUGH_STEPS, min(4 * ENOUGH_STEPS, round(ENOUGH_EPOCHS * problem.epoch_steps)))
        if plan.fit_training.steps >= enough and plan.fit_validation.steps >= medium.going_on * enough:
            break
    assert plan is not None
    return Plans(narrow=plan, wide=plan)


def _plan(problem: MediumProblem, medium: Medium, means: Means, level: Level) -> Plan:
    seeds, training, validation = level
    most = max(4000, MOST_EPOCHS * problem.epoch_steps)

    def stage(name: str, networks: float) -> Stage:
        share = (means.seconds if means.seconds is not None else float(means.steps or 0)) * medium.shares[name]
        each = networks if means.seconds is None else networks * max(problem.step_seconds, 1e-9)
        seconds = None if means.seconds is None else round(share, 3)
        return Stage(steps=max(1, min(most, int(share / max(each, 1e-9)))), seconds=seconds)

    def networks(rungs: tuple[Rung, ...], names: tuple[str, ...]) -> float:
        found = [sum(n for n, _, _ in rung.shapes) * medium.costs.get(rung.name, 1.0) for rung in rungs
                 if rung.name in names]  # fmt: skip
        return seeds * sum(found)

    later = medium.costs["later"] if "units" in training else 1.0  # wider networks are likely kept
    folded = medium.folded and problem.rows * 4 / 3 <= SMALL
    return Plan(
        medium=problem.medium,
        batch_size=problem.batch_size,
        epoch_steps=problem.epoch_steps,
        threads=means.threads,
        width=16,
        methods=(medium.method,),
        seeds=seeds,
        range_seeds=2,
        range_steps=60,
        final_seeds=medium.final_seeds,
        training_rungs=training,
        validation_rungs=validation,
        inputs=Stage(steps=1),
        fit_training=stage("fit training", networks(medium.training, training)),
        fit_validation=stage("fit validation", later * networks(medium.validation, validation)),
        final=stage("seeds", medium.final_seeds * (medium.final_cost if "units" in training else 1.25)),
        folds=stage("folds", FOLDS) if folded else None,
        most_steps=most,
        finish_seconds=means.finish_seconds,
    )
