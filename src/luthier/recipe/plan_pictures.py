"""The plan where rows are pictures: fewer networks, each of which costs more, one after another on all cores."""

from __future__ import annotations

import os
from dataclasses import dataclass

from luthier.recipe.plan import MOST_EPOCHS, Means, Plan, Plans, Rung, Stage

SHARES = {"inputs": 0.0, "range": 0.06, "fit training": 0.22, "fit validation": 0.30, "seeds": 0.42, "folds": 0.0}
FINAL_SEEDS = 3
WIDER, DEEPER, CHANGED = 2.2, 1.7, 1.25  # times the cost of the first network
TRAINING_RUNGS = (
    Rung("rate", ((2, 1, 0),)),
    Rung("Adam", ((2, 1, 0),)),
    Rung("decay", ((1, 1, 0),)),
    Rung("units", ((1, 2, 0),)),
    Rung("layers", ((1, 1, 1),)),
)
VALIDATION_RUNGS = (
    Rung("start", ((1, 1, 0),)),
    Rung("augmentation", ((10, 1, 0),)),
    Rung("augmentations together", ((4, 1, 0),)),
    Rung("dropout, last layer", ((2, 1, 0),)),
    Rung("L2", ((3, 1, 0),)),
)
_LEVELS: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = (
    (2, tuple(rung.name for rung in TRAINING_RUNGS), tuple(rung.name for rung in VALIDATION_RUNGS)),
    (1, tuple(rung.name for rung in TRAINING_RUNGS), tuple(rung.name for rung in VALIDATION_RUNGS)),
    (1, ("rate", "Adam", "decay", "units"), ("start", "augmentation", "augmentations together", "L2")),
    (1, ("Adam", "decay"), ("start", "augmentation", "augmentations together")),
)
ENOUGH_EPOCHS, ENOUGH_STEPS = 2.5, 250  # below both a comparison says more about the length
ENOUGH_GOING_ON = 0.4  # of these, where networks go on that have learnt already


@dataclass(frozen=True)
class PictureProblem:
    """What the plan depends on besides the budget: pictures to train on, and seconds of one network's step."""

    rows: int
    step_seconds: float

    @property
    def batch_size(self) -> int:
        """A power of two near a fortieth of the rows, between 16 and 128."""
        wanted = 16
        while wanted < 128 and wanted * 40 < self.rows:
            wanted *= 2
        return max(1, min(wanted, self.rows))

    @property
    def epoch_steps(self) -> int:
        """Steps in one epoch."""
        return -(-self.rows // self.batch_size)


def make_picture_plans(problem: PictureProblem, means: Means) -> Plans:
    """The richest plan that leaves every stage enough steps."""
    plan = None
    for seeds, training, validation in _LEVELS:
        plan = _plan(problem, means, seeds, training, validation)
        enough = max(ENOUGH_STEPS, min(4 * ENOUGH_STEPS, round(ENOUGH_EPOCHS * problem.epoch_steps)))
        if plan.fit_training.steps >= enough and plan.fit_validation.steps >= ENOUGH_GOING_ON * enough:
            break
    assert plan is not None
    return Plans(narrow=plan, wide=plan)


def _plan(
    problem: PictureProblem, means: Means, seeds: int, training: tuple[str, ...], validation: tuple[str, ...]
) -> Plan:
    def stage(name: str, networks: float) -> Stage:
        share = (means.seconds if means.seconds is not None else float(means.steps or 0)) * SHARES[name]
        each = networks if means.seconds is None else networks * max(problem.step_seconds, 1e-9)
        seconds = None if means.seconds is None else round(share, 3)
        most = max(4000, MOST_EPOCHS * problem.epoch_steps)
        return Stage(steps=max(1, min(most, int(share / max(each, 1e-9)))), seconds=seconds)

    def networks(rungs: tuple[Rung, ...], names: tuple[str, ...]) -> float:
        weights = {"units": WIDER, "layers": WIDER * DEEPER, "augmentation": CHANGED, "augmentations together": CHANGED}
        later = WIDER if rungs is VALIDATION_RUNGS and "units" in training else 1.0  # wider networks are likely kept
        costs = [
            options * weights.get(rung.name, 1.0)
            for rung in rungs
            if rung.name in names
            for options, _, _ in rung.shapes
        ]
        return seeds * later * sum(costs)

    return Plan(
        medium="pictures",
        batch_size=problem.batch_size,
        epoch_steps=problem.epoch_steps,
        threads=os.cpu_count() or 1,
        width=16,
        methods=("pixels",),
        seeds=seeds,
        range_seeds=2,
        range_steps=60,
        final_seeds=FINAL_SEEDS,
        training_rungs=training,
        validation_rungs=validation,
        inputs=Stage(steps=1),
        fit_training=stage("fit training", networks(TRAINING_RUNGS, training)),
        fit_validation=stage("fit validation", networks(VALIDATION_RUNGS, validation)),
        final=stage("seeds", FINAL_SEEDS * CHANGED * (WIDER if "units" in training else 1.0)),
        most_steps=max(4000, MOST_EPOCHS * problem.epoch_steps),
        finish_seconds=means.finish_seconds,
    )
