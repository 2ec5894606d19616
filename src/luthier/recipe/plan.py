"""What a budget is turned into: populations, members and steps of each stage, decided once.

The clock is asked once, by timing a few steps. From then on the numbers of a run follow from its
plan and its seed alone, so the plan is written into the ledger before it is followed, and
`recipe.toml` carries it for whoever wants the same run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["sgd", "adam"]
ScheduleName = Literal["constant", "cosine", "restarts"]
Method = Literal["standardise", "quantile", "piecewise"]

# Shares of the time that is left for training. Fitting the validation set is the longest step
# (S4-22); the five seeds run to the end without halving.
SHARES = {"inputs": 0.10, "range": 0.06, "fit training": 0.28, "fit validation": 0.34, "seeds": 0.22}
FINAL_SEEDS = 5
ENOUGH_STEPS = 1500  # below this a comparison of settings says more about the length than about them
MOST_EPOCHS, MOST_STEPS = 60, 4000


class Stage(BaseModel):
    """One stage: how long each of its populations trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    seconds: float | None = None  # its share of the time, None for a budget of steps
    halving: bool = False


class Plan(BaseModel):
    """The whole run, before any of it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: int = Field(ge=0, le=3)
    batch_size: int = Field(ge=1)
    epoch_steps: int = Field(ge=1)
    threads: int = Field(ge=1)
    methods: tuple[Method, ...]
    rules: tuple[Rule, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    rate_factors: tuple[float, ...]
    schedules: tuple[ScheduleName, ...]
    seeds: int = Field(ge=1)
    range_seeds: int = Field(ge=1)
    range_steps: int = Field(ge=1)
    width_factors: tuple[float, ...]
    batch_norms: tuple[bool, ...]
    dropouts: tuple[str, ...]
    penalties: tuple[float, ...]
    inputs: Stage
    fit_training: Stage
    fit_validation: Stage
    final: Stage
    finish_seconds: float = 0.0

    def members(self, stage: str) -> int:
        """Members of each population of a stage."""
        return {
            "inputs": 6,
            "fit training": len(self.rate_factors) * len(self.schedules) * self.seeds,
            "fit validation": len(self.dropouts) * len(self.penalties) * self.seeds,
            "seeds": FINAL_SEEDS,
        }[stage]

    def populations(self, stage: str) -> int:
        """How many populations a stage trains."""
        return {
            "inputs": len(self.methods),
            "fit training": len(self.rules) * len(self.widths) * len(self.depths),
            "fit validation": len(self.width_factors) * len(self.batch_norms),
            "seeds": 1,
        }[stage]

    def evaluate_every(self, steps: int) -> int:
        """Steps between two evaluations: an epoch, or at least thirty evaluations in a stage."""
        return max(1, min(max(self.epoch_steps, 20), max(1, steps // 30)))

    def rungs(self, stage: Stage, members: int) -> tuple[tuple[int, int], ...]:
        """Where members are cut: (step, members kept), half at two fifths, a quarter at two thirds."""
        if not stage.halving or members < 4:
            return ()
        cuts = ((stage.steps * 2 // 5, -(-members // 2)), (stage.steps * 2 // 3, -(-members // 4)))
        return tuple((step, kept) for step, kept in cuts if step > 0)


# From rich to lean: what is compared when time is plenty, and what is left when it is not.
_LEVELS: dict[int, dict[str, object]] = {
    3: {
        "rate_factors": (0.3, 1.0, 3.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 2,
        "depths": (1, 2, 3),
        "dropouts": ("none", "last 0.25", "last 0.5", "all 0.25", "all 0.5"),
        "penalties": (0.0, 1e-5, 1e-4, 1e-3),
    },
    2: {
        "rate_factors": (0.3, 1.0, 3.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 1,
        "depths": (1, 2),
        "dropouts": ("none", "last 0.25", "last 0.5", "all 0.25", "all 0.5"),
        "penalties": (0.0, 1e-4, 1e-3),
    },
    1: {
        "rate_factors": (0.5, 1.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 1,
        "depths": (1, 2),
        "dropouts": ("none", "last 0.25", "all 0.25"),
        "penalties": (0.0, 1e-4),
    },
    0: {
        "rate_factors": (1.0,),
        "schedules": ("cosine",),
        "seeds": 1,
        "depths": (1,),
        "dropouts": ("none", "last 0.25"),
        "penalties": (0.0, 1e-4),
    },
}


@dataclass(frozen=True)
class Problem:
    """What the plan depends on besides the budget: rows to train on, and the first width."""

    rows: int
    width: int

    @property
    def batch_size(self) -> int:
        """A power of two near a fortieth of the rows, between 16 and 256, never above the rows."""
        wanted = 16
        while wanted < 256 and wanted * 40 < self.rows:
            wanted *= 2
        return max(1, min(wanted, self.rows))

    @property
    def epoch_steps(self) -> int:
        """Steps in one epoch."""
        return -(-self.rows // self.batch_size)

    @property
    def most_steps(self) -> int:
        """The longest training that is planned."""
        return max(MOST_STEPS, MOST_EPOCHS * self.epoch_steps)


Cost = Callable[[int, int, int], float]  # (members, width, depth) -> seconds a step, evaluations included


def make_plan(
    problem: Problem,
    *,
    seconds: float | None,
    steps: int | None,
    cost: Cost,
    finish_seconds: float,
    threads: int,
) -> Plan:
    """The richest plan that leaves every stage enough steps.

    `seconds` is the time left for training, or `steps` the steps to share out; `cost` tells what
    a step takes. The leanest plan is taken when none leaves enough.
    """
    for level in (3, 2, 1, 0):
        plan = _at_level(level, problem, seconds, steps, cost, finish_seconds, threads)
        stages = (plan.inputs.steps * 3, plan.fit_training.steps, plan.fit_validation.steps, plan.final.steps)
        if min(stages) >= min(ENOUGH_STEPS, problem.most_steps):
            break
    return plan


def _at_level(
    level: int,
    problem: Problem,
    seconds: float | None,
    steps: int | None,
    cost: Cost,
    finish_seconds: float,
    threads: int,
) -> Plan:
    lean = level == 0
    widths = (problem.width,) if lean else (problem.width, 2 * problem.width)
    draft = Plan(
        level=level,
        batch_size=problem.batch_size,
        epoch_steps=problem.epoch_steps,
        threads=threads,
        methods=("standardise", "quantile", "piecewise"),
        rules=("sgd", "adam"),
        widths=widths,
        range_seeds=5,
        range_steps=60 if lean else 100,
        width_factors={0: (1.0,), 1: (1.0,), 2: (1.0, 0.5), 3: (1.0, 0.5, 2.0)}[level],
        batch_norms=(False,) if lean else (False, True),
        inputs=Stage(steps=1),
        fit_training=Stage(steps=1, halving=True),
        fit_validation=Stage(steps=1, halving=True),
        final=Stage(steps=1),
        finish_seconds=finish_seconds,
        **_LEVELS[level],  # type: ignore[arg-type]
    )
    names = {
        "inputs": "inputs",
        "fit training": "fit_training",
        "fit validation": "fit_validation",
        "seeds": "final",
    }
    lengths = {
        field: _length(draft, stage, problem, seconds, steps, cost, getattr(draft, field).halving)
        for stage, field in names.items()
    }
    return draft.model_copy(update=lengths)


def _length(
    plan: Plan,
    stage: str,
    problem: Problem,
    seconds: float | None,
    steps: int | None,
    cost: Cost,
    halving: bool,
) -> Stage:
    """How many steps each population of a stage can take from the stage's share."""
    most = problem.most_steps // 4 if stage == "inputs" else problem.most_steps
    if seconds is None:
        share = (steps or 0) * SHARES[stage] / plan.populations(stage)
        return Stage(steps=max(1, min(most, int(share))), halving=halving)
    share = seconds * SHARES[stage]
    one_step = sum(cost(plan.members(stage), width, depth) for width, depth in _shapes(plan, stage))
    # Halving at two fifths and two thirds leaves 40 % + 27 %/2 + 33 %/4 of the members' steps.
    kept = 0.62 if halving and plan.members(stage) >= 4 else 1.0
    return Stage(
        steps=max(1, min(most, int(share / max(one_step * kept, 1e-9)))),
        seconds=round(share, 3),
        halving=halving,
    )


def _shapes(plan: Plan, stage: str) -> Sequence[tuple[int, int]]:
    """The (width, depth) of each population of a stage; unknown ones are taken at their largest."""
    widest, deepest = max(plan.widths), max(plan.depths)
    if stage == "inputs":
        return [(plan.widths[0], 1)] * len(plan.methods)
    if stage == "fit training":
        return [(width, depth) for _ in plan.rules for width in plan.widths for depth in plan.depths]
    if stage == "fit validation":
        return [(int(widest * factor), deepest) for factor in plan.width_factors for _ in plan.batch_norms]
    return [(int(widest * max(plan.width_factors)), deepest)]
