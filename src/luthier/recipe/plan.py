"""What a budget is turned into: rungs, networks and steps of each stage, decided once.

The clock is asked once, by timing a few steps. From then on the numbers of a run follow from its
plan and its seed alone, so the plan is written into the ledger before it is followed, and
`recipe.toml` carries it for whoever wants the same run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from luthier.recipe.media import MEDIA, Rung

Method = Literal["standardise", "robust", "quantile", "piecewise", "periodic", "common", "pixels"]

# Shares of the time that is left for training. Fitting the validation set is the longest step
# (S4-22); the seeds run longest of all.
SHARES = {"inputs": 0.10, "range": 0.05, "fit training": 0.27, "fit validation": 0.34, "seeds": 0.10, "folds": 0.14}
# With designed experiments: screens and second rounds of steps 3 and 4, and the confirmation. What seeds and folds need
# where no network could be trained is all that is left.
TABLE_SHARES = {
    "inputs": 0.0,
    "range": 0.05,
    "fit training": 0.22,
    "fit validation": 0.38,
    "questions": 0.35,
    "seeds": 0.0,
    "folds": 0.0,
}
# Where a sample decides the final networks learn from every row.
SAMPLED_SHARES = TABLE_SHARES | {"fit training": 0.15, "fit validation": 0.27, "questions": 0.18, "seeds": 0.35}
FINAL_SEEDS = 5
FINISH_LONGER = 2.0  # times the time that is kept back for the end, where experiments deliver their networks
FOLDS: Literal[5] = 5
SMALL = 60_000  # rows of training and validation together, up to which every one of them is learnt from in folds
ENOUGH_STEPS = 1000  # below this a comparison of settings says more about the length than about them
ENOUGH_EPOCHS = 10
MOST_EPOCHS, MOST_STEPS = 60, 4000
WIDEST = 512
PLENTY = 150.0  # seconds of training
MOST_CODED = 200  # columns of numbers that are coded one by one


# In the order of the recipe (S4-21, S4-44). What each tries is in the steps.
TRAINING_RUNGS = (
    Rung("rate", ((3, 1, 0),)),
    Rung("Adam", ((3, 1, 0),)),
    Rung("decay", ((4, 1, 0),)),
    Rung("restarts", ((2, 1, 0),)),
    Rung("units", ((1, 2, 0), (1, 4, 0))),
    Rung("batch size", ((1, 1, 0), (1, 1, 0))),
    Rung("layers", ((1, 2, 1), (1, 2, 2))),
    Rung("together", ((1, 2, 1),)),
)
VALIDATION_RUNGS = (
    Rung("start", ((1, 2, 1),)),
    Rung("dropout, last layer", ((3, 2, 1),)),
    Rung("dropout, all layers", ((3, 2, 1),)),
    Rung("L2", ((6, 2, 1),)),
    Rung("input normalisation", ((1, 2, 1), (1, 2, 1))),
    Rung("batch norm", ((1, 2, 1), (1, 2, 1))),
    Rung("augmentation", ((1, 2, 1), (1, 2, 1), (1, 2, 1))),
    Rung("clipping", ((2, 2, 1),)),
    Rung("architecture", ((1, 1, 1), (1, 4, 1), (1, 2, 2))),
    Rung("together", ((1, 2, 1),)),
    Rung("more rows", ((1, 2, 1), (1, 2, 1), (1, 2, 1))),
)
# From rich to lean: what is tried when time is plenty, and what is left when it is not.
_LEVELS: tuple[tuple[int, tuple[str, ...], tuple[str, ...]], ...] = (
    (3, tuple(rung.name for rung in TRAINING_RUNGS), tuple(rung.name for rung in VALIDATION_RUNGS)),
    (
        2,
        ("rate", "Adam", "decay", "units", "layers", "together"),
        ("start", "dropout, last layer", "dropout, all layers", "L2", "batch norm", "architecture", "together"),
    ),
    (
        2,
        ("rate", "Adam", "decay", "layers", "together"),
        ("start", "dropout, last layer", "L2", "batch norm", "together"),
    ),
    (1, ("rate", "Adam", "decay", "together"), ("start", "dropout, last layer", "L2", "together")),
)


class Stage(BaseModel):
    """One stage: how long each of its populations trains."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(ge=1, le=10**9)
    seconds: float | None = None  # its share of the time, None for a budget of steps

    def for_batches(self, size: int, planned: int) -> Stage:
        """The same stage with other batches: as many epochs."""
        return self.model_copy(update={"steps": max(1, self.steps * planned // size)})


class Design(BaseModel):
    """The designed experiments of steps 3 and 4 (see `steps/explore.py`), for tables that are cross-fitted.

    A whole training takes `epochs`; each step screens `shapes` with `settings` of each, and trains those of `second`
    shapes whole. Blocks of a stack step in `threads`. `unit` is how many seconds a unit of
    `work` was measured to take (0 for a budget of steps). With one of `folds` the validation part judges.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: float = Field(gt=0, le=100_000)
    shapes: int = Field(ge=2, le=64)
    settings: int = Field(ge=2, le=256)
    second: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=4_096)
    unit: float = Field(default=0.0, ge=0)
    folds: Literal[1, 5] = 5


class Plan(BaseModel):
    """The whole run, before any of it is trained, for one width of inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    medium: Literal["table", "pictures", "text"] = "table"
    batch_size: int = Field(ge=1, le=10_000_000)
    epoch_steps: int = Field(ge=1, le=1_000_000_000)
    threads: int = Field(ge=1, le=4_096)
    width: int = Field(ge=1, le=100_000)
    methods: tuple[Method, ...]
    seeds: int = Field(ge=1, le=1_000)
    range_seeds: int = Field(ge=1, le=1_000)
    range_steps: int = Field(ge=1, le=1_000_000)
    final_seeds: int = Field(default=FINAL_SEEDS, ge=1, le=1000)
    training_rungs: tuple[str, ...]
    validation_rungs: tuple[str, ...]
    inputs: Stage
    fit_training: Stage
    fit_validation: Stage
    final: Stage
    folds: Stage | None = None
    design: Design | None = None
    most_steps: int = Field(default=MOST_STEPS, ge=1, le=10**9)
    finish_seconds: float = 0.0
    sampled: bool = False  # whether the final networks learn from more rows than decide
    device: str = Field(default="cpu", pattern=r"^(cpu|mps|cuda:\d{1,3})$")

    @property
    def stages(self) -> dict[str, Stage]:
        """The stages by name, in order."""
        result = {
            "inputs": self.inputs,
            "fit training": self.fit_training,
            "fit validation": self.fit_validation,
            "seeds": self.final,
        }
        return result if self.folds is None else {**result, "folds": self.folds}

    @property
    def total_steps(self) -> int:
        """All steps that the populations take."""
        return sum(len(self.shapes(name)) * stage.steps for name, stage in self.stages.items())

    @property
    def networks(self) -> int:
        """All networks that are trained."""
        return sum(members for name in self.stages for members, _, _ in self.shapes(name))

    def rungs(self, step: int) -> tuple[Rung, ...]:
        """The rungs of step 3 or 4, in their order, for this medium."""
        if self.medium != "table":
            return MEDIA[self.medium].training if step == 3 else MEDIA[self.medium].validation
        return TRAINING_RUNGS if step == 3 else VALIDATION_RUNGS

    @property
    def shares(self) -> dict[str, float]:
        """The stages' shares of the time."""
        if self.medium != "table":
            return dict(MEDIA[self.medium].shares)
        if self.design is None:
            return SHARES
        return SAMPLED_SHARES if self.sampled else TABLE_SHARES

    def shapes(self, stage: str) -> list[tuple[int, int, int]]:
        """(networks, width, depth) of each population of a stage; what is not known yet is taken at its likeliest."""
        if stage == "inputs":
            return [(6, self.width, 1)] * len(self.methods) if self.medium == "table" else []
        if stage == "seeds":
            return [(self.final_seeds, 2 * self.width, 2)]
        if stage == "folds":
            return [(1, 2 * self.width, 2)] * FOLDS
        first = stage == "fit training"
        rungs = self.rungs(3 if first else 4)
        names = self.training_rungs if first else self.validation_rungs
        return [
            (options * self.seeds, min(WIDEST, int(self.width * factor)), 1 + layers)
            for rung in rungs
            if rung.name in names
            for options, factor, layers in rung.shapes
        ]

    def evaluate_every(self, steps: int) -> int:
        """Steps between two evaluations: an epoch, or at least thirty evaluations in a stage."""
        return max(1, min(max(self.epoch_steps, 20), max(1, steps // 30)))


class Plans(BaseModel):
    """What is followed when inputs stay few, and when they are coded one by one and become many.

    Which of the two it is, the run finds out by validation; both are fixed before it starts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    narrow: Plan
    wide: Plan

    def for_method(self, method: str) -> Plan:
        """The plan behind one way of preprocessing."""
        return self.wide if method in ("piecewise", "periodic") else self.narrow

    def designed(self, design: Design | None) -> Plans:
        """The same plans with designed experiments, or without; they may deliver forty networks to look into."""
        if design is None:
            return self
        narrow, wide = (
            plan.model_copy(update={"design": design, "finish_seconds": FINISH_LONGER * plan.finish_seconds})
            for plan in (self.narrow, self.wide)
        )
        return Plans(narrow=narrow, wide=wide)

    def on(self, device: object) -> Plans:
        """The same plans for networks on a device."""
        narrow, wide = (plan.model_copy(update={"device": str(device)}) for plan in (self.narrow, self.wide))
        return Plans(narrow=narrow, wide=wide)


@dataclass(frozen=True)
class TableSize:
    """What the plan depends on besides the budget: rows to train on, and the first width."""

    rows: int
    width: int
    numbers: int = 0  # columns of numbers
    more: int = 0  # rows that only the final networks train on

    def methods(self, seconds: float | None) -> tuple[Method, ...]:
        """How numbers may enter: of very many columns, such as pixels, each is not given sixteen inputs.

        Periodic codes gain seldom, and are tried where there is time.
        """
        if self.numbers > MOST_CODED:
            return ("standardise", "common")
        plenty = seconds is not None and seconds >= PLENTY
        return ("standardise", "quantile", "piecewise", *(("periodic",) if plenty else ()))

    @property
    def is_small(self) -> bool:
        """Whether training and validation rows together are few enough to be learnt from in folds."""
        return self.rows * 4 / 3 <= SMALL and not self.more

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
class TrainingBudget:
    """What there is to spend: seconds left for training, or steps to share out (exactly one is set)."""

    seconds: float | None
    steps: int | None
    finish_seconds: float = 0.0
    threads: int = 1

    def share(self, stage: str) -> float:
        """A stage's part, in seconds or in steps."""
        return (self.seconds if self.seconds is not None else float(self.steps or 0)) * SHARES[stage]


def make_plans(problem: TableSize, means: TrainingBudget, narrow: Cost, wide: Cost) -> Plans:
    """The richest plans that leave every stage enough steps, for few and for many inputs."""

    def either(members: int, width: int, depth: int) -> float:  # two ways of preprocessing are narrow, one is wide
        return (2 * narrow(members, width, depth) + wide(members, width, depth)) / 3

    return Plans(narrow=_plan(problem, means, narrow, either), wide=_plan(problem, means, wide, either))


def _plan(problem: TableSize, means: TrainingBudget, cost: Cost, either: Cost) -> Plan:
    for seeds, training, validation in _LEVELS:
        plan = Plan(
            batch_size=problem.batch_size,
            epoch_steps=problem.epoch_steps,
            threads=means.threads,
            width=problem.width,
            methods=problem.methods(means.seconds),
            seeds=seeds,
            range_seeds=5,
            range_steps=100,
            training_rungs=training,
            validation_rungs=validation,
            inputs=Stage(steps=1),
            fit_training=Stage(steps=1),
            fit_validation=Stage(steps=1),
            final=Stage(steps=1),
            folds=Stage(steps=1) if problem.is_small else None,
            sampled=problem.more > 0,
            most_steps=problem.most_steps,
            finish_seconds=means.finish_seconds,
        )
        lengths = {
            field: _length(plan, stage, problem, means, either if stage == "inputs" else cost)
            for stage, field in _FIELDS.items()
            if stage in plan.stages
        }
        plan = plan.model_copy(update=lengths)
        if min(plan.fit_training.steps, plan.fit_validation.steps) >= problem.enough_steps:
            break
    return plan


_FIELDS = {
    "inputs": "inputs",
    "fit training": "fit_training",
    "fit validation": "fit_validation",
    "seeds": "final",
    "folds": "folds",
}


def _length(plan: Plan, stage: str, problem: TableSize, means: TrainingBudget, cost: Cost) -> Stage:
    """As many steps for each population of a stage as the stage's share allows."""
    shapes: Sequence[tuple[int, int, int]] = plan.shapes(stage)
    share = means.share(stage) + (means.share("folds") if stage == "seeds" and plan.folds is None else 0.0)
    one_step = len(shapes) if means.seconds is None else max(sum(cost(*shape) for shape in shapes), 1e-9)
    steps = share / one_step
    most = problem.most_steps // 4 if stage == "inputs" else problem.most_steps
    if stage == "seeds":
        most = max(most, ENOUGH_EPOCHS * (problem.rows + problem.more) // problem.batch_size)
    seconds = None if means.seconds is None else round(share, 3)
    return Stage(steps=max(1, min(most, int(steps))), seconds=seconds)
