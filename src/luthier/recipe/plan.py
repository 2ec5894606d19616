"""What a budget is turned into: populations, members and steps of each stage, decided once.

The clock is asked once, by timing a few steps. From then on the numbers of a run follow from its
plan and its seed alone, so the plan is written into the ledger before it is followed, and
`recipe.toml` carries it for whoever wants the same run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Rule = Literal["sgd", "adam"]
ScheduleName = Literal["constant", "cosine", "restarts"]
Method = Literal["standardise", "quantile", "piecewise"]

# Shares of the time that is left for training. Fitting the validation set is the longest step
# (S4-22); the five seeds run to the end without halving.
SHARES = {"inputs": 0.10, "range": 0.06, "fit training": 0.28, "fit validation": 0.34, "seeds": 0.22}
FINAL_SEEDS = 5
ENOUGH_STEPS = 1500  # below this a comparison of settings says more about the length than about them
ENOUGH_EPOCHS = 15
MOST_EPOCHS, MOST_STEPS = 60, 4000


class Stage(BaseModel):
    """One stage: how long each of its populations trains."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(ge=1)
    seconds: float | None = None  # its share of the time, None for a budget of steps
    halving: bool = False


class Plan(BaseModel):
    """The whole run, before any of it is trained, for one width of inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages by name, in order."""
        return {
            "inputs": self.inputs,
            "fit training": self.fit_training,
            "fit validation": self.fit_validation,
            "seeds": self.final,
        }

    @property
    def total_steps(self) -> int:
        """All steps that the populations take."""
        return sum(self.populations(name) * stage.steps for name, stage in self.stages.items())

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


class Plans(BaseModel):
    """What is followed when inputs stay few, and when they are coded piecewise and become many.

    Which of the two it is, the run finds out by validation; both are fixed before it starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    narrow: Plan
    wide: Plan

    def for_method(self, method: str) -> Plan:
        """The plan behind one way of preprocessing."""
        return self.wide if method == "piecewise" else self.narrow


# From rich to lean: what is compared when time is plenty, and what is left when it is not.
_TRAINING_LEVELS: tuple[dict[str, Any], ...] = (
    {
        "rate_factors": (0.3, 1.0, 3.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 2,
        "depths": (1, 2, 3),
        "width_count": 2,
    },
    {
        "rate_factors": (0.3, 1.0, 3.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 1,
        "depths": (1, 2),
        "width_count": 2,
    },
    {
        "rate_factors": (0.5, 1.0),
        "schedules": ("constant", "cosine", "restarts"),
        "seeds": 1,
        "depths": (1, 2),
        "width_count": 1,
    },
    {"rate_factors": (0.5, 1.0), "schedules": ("cosine",), "seeds": 1, "depths": (1,), "width_count": 1},
)
_ALL_DROPOUTS = ("none", "last 0.25", "last 0.5", "all 0.25", "all 0.5")
_VALIDATION_LEVELS: tuple[dict[str, Any], ...] = (
    {
        "dropouts": _ALL_DROPOUTS,
        "penalties": (0.0, 1e-5, 1e-4, 1e-3),
        "width_factors": (1.0, 0.5, 2.0),
        "batch_norms": (False, True),
    },
    {
        "dropouts": _ALL_DROPOUTS,
        "penalties": (0.0, 1e-4, 1e-3),
        "width_factors": (1.0, 0.5),
        "batch_norms": (False, True),
    },
    {
        "dropouts": ("none", "last 0.25", "all 0.25"),
        "penalties": (0.0, 1e-4),
        "width_factors": (1.0,),
        "batch_norms": (False, True),
    },
    {
        "dropouts": ("none", "last 0.25"),
        "penalties": (0.0, 1e-4),
        "width_factors": (1.0,),
        "batch_norms": (False,),
    },
)


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

    @property
    def enough_steps(self) -> int:
        """Steps below which a leaner comparison is better than a shorter one."""
        return max(ENOUGH_STEPS, min(ENOUGH_EPOCHS * self.epoch_steps, 4 * ENOUGH_STEPS))


# (members, width, depth) -> seconds a step, evaluations included
Cost = Callable[[int, int, int], float]


@dataclass(frozen=True)
class Means:
    """What there is to spend: seconds left for training, or steps to share out (exactly one is set)."""

    seconds: float | None
    steps: int | None
    finish_seconds: float = 0.0
    threads: int = 1

    def share(self, stage: str) -> float:
        """A stage's part, in seconds or in steps."""
        return (self.seconds if self.seconds is not None else float(self.steps or 0)) * SHARES[stage]


def make_plans(problem: Problem, means: Means, narrow: Cost, wide: Cost) -> Plans:
    """The richest plans that leave every stage enough steps, for few and for many inputs."""

    def either(members: int, width: int, depth: int) -> float:  # two ways of preprocessing are narrow, one is wide
        return (2 * narrow(members, width, depth) + wide(members, width, depth)) / 3

    return Plans(narrow=_plan(problem, means, narrow, either), wide=_plan(problem, means, wide, either))


def _plan(problem: Problem, means: Means, cost: Cost, either: Cost) -> Plan:
    plan = _leanest(problem, means)
    plan = _with_length(plan, "inputs", problem, means, either)
    for level in _TRAINING_LEVELS:
        options = {name: value for name, value in level.items() if name != "width_count"}
        widths = tuple(problem.width * factor for factor in (1, 2)[: level["width_count"]])
        plan = _with_length(plan.model_copy(update={**options, "widths": widths}), "fit training", problem, means, cost)
        if plan.fit_training.steps >= problem.enough_steps:
            break
    for level in _VALIDATION_LEVELS:
        plan = _with_length(plan.model_copy(update=level), "fit validation", problem, means, cost)
        if plan.fit_validation.steps >= problem.enough_steps:
            break
    return _with_length(plan, "seeds", problem, means, cost)


def _leanest(problem: Problem, means: Means) -> Plan:
    first = {name: value for name, value in _TRAINING_LEVELS[-1].items() if name != "width_count"}
    return Plan(
        batch_size=problem.batch_size,
        epoch_steps=problem.epoch_steps,
        threads=means.threads,
        methods=("standardise", "quantile", "piecewise"),
        rules=("sgd", "adam"),
        widths=(problem.width,),
        range_seeds=5,
        range_steps=100,
        inputs=Stage(steps=1),
        fit_training=Stage(steps=1, halving=True),
        fit_validation=Stage(steps=1, halving=True),
        final=Stage(steps=1),
        finish_seconds=means.finish_seconds,
        **first,
        **_VALIDATION_LEVELS[-1],
    )


_FIELDS = {"inputs": "inputs", "fit training": "fit_training", "fit validation": "fit_validation", "seeds": "final"}
# Halving at two fifths and two thirds leaves 40 % + 27 % / 2 + 33 % / 4 of the members' steps.
_LEFT_BY_HALVING = 0.62


def _with_length(plan: Plan, stage: str, problem: Problem, means: Means, cost: Cost) -> Plan:
    """The plan with as many steps for each population of a stage as the stage's share allows."""
    halving, members = plan.stages[stage].halving, plan.members(stage)
    if means.seconds is None:
        steps = means.share(stage) / plan.populations(stage)
    else:
        one_step = sum(cost(members, width, depth) for width, depth in _shapes(plan, stage))
        steps = means.share(stage) / max(one_step * (_LEFT_BY_HALVING if halving and members >= 4 else 1.0), 1e-9)
    most = problem.most_steps // 4 if stage == "inputs" else problem.most_steps
    seconds = None if means.seconds is None else round(means.share(stage), 3)
    length = Stage(steps=max(1, min(most, int(steps))), seconds=seconds, halving=halving)
    return plan.model_copy(update={_FIELDS[stage]: length})


def _shapes(plan: Plan, stage: str) -> Sequence[tuple[int, int]]:
    """The (width, depth) of each population of a stage; what is not known yet is taken at its largest."""
    widest, deepest = max(plan.widths), max(plan.depths)
    if stage == "inputs":
        return [(plan.widths[0], 1)] * len(plan.methods)
    if stage == "fit training":
        return [(width, depth) for _ in plan.rules for width in plan.widths for depth in plan.depths]
    if stage == "fit validation":
        return [(int(widest * factor), deepest) for factor in plan.width_factors for _ in plan.batch_norms]
    return [(widest, deepest)]
