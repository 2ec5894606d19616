"""The plan where rows are pictures or text: fewer networks, each of which costs more, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.recipe.media import MEDIA, Level, Medium, Rung
from luthier.recipe.plan import FOLDS, MOST_EPOCHS, SMALL, Plan, Stage, TrainingBudget

ENOUGH_EPOCHS, ENOUGH_STEPS = 2.5, 250  # below both a comparison says more about the length


@dataclass(frozen=True)
class MediumSize:
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


def make_medium_plan(problem: MediumSize, means: TrainingBudget) -> Plan:
    """The richest plan that leaves every stage enough steps."""
    medium, plan = MEDIA[problem.medium], None
    for level in medium.levels:
        plan = _plan(problem, medium, means, level)
        enough = max(ENOUGH_STEPS, min(4 * ENOUGH_STEPS, round(ENOUGH_EPOCHS * problem.epoch_steps)))
        if plan.fit_training.steps >= enough and plan.fit_validation.steps >= medium.going_on * enough:
            break
    assert plan is not None
    return plan


def _plan(problem: MediumSize, medium: Medium, means: TrainingBudget, level: Level) -> Plan:
    seeds, training, validation = level
    most = max(4000, MOST_EPOCHS * problem.epoch_steps)

    def stage(name: str, networks: float) -> Stage:
        share = (means.seconds if means.seconds is not None else float(means.steps or 0)) * medium.shares[name]
        each = networks if means.seconds is None else networks * max(problem.step_seconds, 1e-9)
        seconds = None if means.seconds is None else round(share, 3)
        return Stage(steps=max(1, min(most, int(share / max(each, 1e-9)))), seconds=seconds)

    def networks(rungs: tuple[Rung, ...], names: tuple[str, ...]) -> float:
        result = [
            sum(n for n, _, _ in rung.shapes) * medium.costs.get(rung.name, 1.0) for rung in rungs if rung.name in names
        ]
        return seeds * sum(result)

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
        fit_training=stage("fit training", networks(medium.training, training)),
        fit_validation=stage("fit validation", later * networks(medium.validation, validation)),
        final=stage("seeds", medium.final_seeds * (medium.final_cost if "units" in training else 1.25)),
        folds=stage("folds", FOLDS) if folded else None,
        most_steps=most,
        finish_seconds=means.finish_seconds,
    )
