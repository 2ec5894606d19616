"""What a budget is turned into: the design of experiments or rungs, and steps of each stage, decided once.

The clock is asked once, by timing a few steps. From then on the numbers of a run follow from its
plan and its seed alone, so the plan is written into the ledger before it is followed, and
`recipe.toml` carries it for whoever wants the same run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from luthier.recipe.media import MEDIA, Rung

Method = Literal["standardise", "robust", "quantile", "piecewise", "periodic", "common", "pixels"]

# Shares of the time that is left for training: screens and second rounds of steps 3 and 4, and the questions. Fitting
# the validation set is the longest step (S4-22). Seeds where no network could be trained have all that is left.
TABLE_SHARES = {"range": 0.05, "fit training": 0.22, "fit validation": 0.38, "questions": 0.35, "seeds": 0.0}
# Where a sample decides the final networks learn from every row.
SAMPLED_SHARES = TABLE_SHARES | {"fit training": 0.15, "fit validation": 0.27, "questions": 0.18, "seeds": 0.35}
TABLE_SEEDS = 0.1  # share that lays out the length of those seeds, and of distilled networks
FINAL_SEEDS = 5
FINISH_LONGER = 2.0  # times the time that is kept back for the end, where experiments deliver their networks
FOLDS: Literal[5] = 5
SMALL = 60_000  # rows of training and validation together, up to which every one of them is learnt from in folds
ENOUGH_EPOCHS = 10
MOST_EPOCHS, MOST_STEPS = 60, 4000
WIDEST = 512
PLENTY = 150.0  # seconds of training
WARM_WAYS = 8  # in which a warm start goes on: as they were, three rates or anew, from new rows or all
MOST_CODED = 200  # columns of numbers that are coded one by one
CODED, ENCODINGS = 16, 2  # inputs that a number has in the widest encoding, and how many such encodings may be held


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
    """The whole run, before any of it is trained.

    Pictures and text climb the rungs of steps 3 and 4, tables have a `design`; a warm start is its `fit_validation`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    medium: Literal["table", "pictures", "text"] = "table"
    batch_size: int = Field(ge=1, le=10_000_000)
    epoch_steps: int = Field(ge=1, le=1_000_000_000)
    threads: int = Field(ge=1, le=4_096)
    width: int = Field(ge=1, le=100_000)
    methods: tuple[Method, ...]
    seeds: int = Field(default=1, ge=1, le=1_000)
    range_seeds: int = Field(ge=1, le=1_000)
    range_steps: int = Field(ge=1, le=1_000_000)
    final_seeds: int = Field(default=FINAL_SEEDS, ge=1, le=1000)
    training_rungs: tuple[str, ...] = ()
    validation_rungs: tuple[str, ...] = ()
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
        """The stages of a plan without a design by name, in order."""
        result = {"fit training": self.fit_training, "fit validation": self.fit_validation, "seeds": self.final}
        return result if self.folds is None else {**result, "folds": self.folds}

    @property
    def total_steps(self) -> int:
        """About as many steps as the populations take."""
        if self.design is None:
            return sum(len(self.populations(name)) * stage.steps for name, stage in self.stages.items())
        return round(2 * self.design.epochs * self.epoch_steps * (self.design.shapes + self.design.second))

    def rungs(self, step: int) -> tuple[Rung, ...]:
        """The rungs of step 3 or 4, in their order, for this medium; none of tables."""
        if self.medium == "table":
            return ()
        return MEDIA[self.medium].training if step == 3 else MEDIA[self.medium].validation

    @property
    def shares(self) -> dict[str, float]:
        """The stages' shares of the time."""
        if self.medium != "table":
            return dict(MEDIA[self.medium].shares)
        return SAMPLED_SHARES if self.sampled else TABLE_SHARES

    def populations(self, stage: str) -> list[int]:
        """How many networks each population of a stage of a plan without a design has."""
        if stage == "seeds":
            return [self.final_seeds]
        if stage == "folds":
            return [1] * FOLDS
        if self.medium == "table":
            return [FINAL_SEEDS] * WARM_WAYS if stage == "fit validation" else []
        first = stage == "fit training"
        names = self.training_rungs if first else self.validation_rungs
        rungs = (rung for rung in self.rungs(3 if first else 4) if rung.name in names)
        return [options * self.seeds for rung in rungs for options, _, _ in rung.shapes]

    def evaluate_every(self, steps: int) -> int:
        """Steps between two evaluations: an epoch, or at least thirty evaluations in a stage."""
        return max(1, min(max(self.epoch_steps, 20), max(1, steps // 30)))

    def designed(self, design: Design) -> Plan:
        """The same plan with designed experiments, which may deliver forty networks to look into."""
        return self.model_copy(update={"design": design, "finish_seconds": FINISH_LONGER * self.finish_seconds})

    def on(self, device: object) -> Plan:
        """The same plan for networks on a device."""
        return self.model_copy(update={"device": str(device)})


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


@dataclass(frozen=True)
class TrainingBudget:
    """What there is to spend: seconds left for training, or steps to share out (exactly one is set)."""

    seconds: float | None
    steps: int | None
    finish_seconds: float = 0.0
    threads: int = 1


def table_plan(size: TableSize, means: TrainingBudget, step_seconds: float = 0.0) -> Plan:
    """The plan of a table, yet without its design: how long final networks and those of a warm start train.

    `step_seconds` is what a step of `FINAL_SEEDS` networks takes; a budget of steps does not ask for it.
    """
    sampled = size.more > 0
    shares = SAMPLED_SHARES if sampled else TABLE_SHARES
    longest = size.most_steps
    if sampled:
        longest = max(longest, ENOUGH_EPOCHS * (size.rows + size.more) // size.batch_size)
    return Plan(
        batch_size=size.batch_size,
        epoch_steps=size.epoch_steps,
        threads=means.threads,
        width=size.width,
        methods=size.methods(means.seconds),
        range_seeds=5,
        range_steps=100,
        fit_training=Stage(steps=1),
        fit_validation=_stage(shares["fit validation"], means, WARM_WAYS * step_seconds, WARM_WAYS, size.most_steps),
        final=_stage(max(shares["seeds"], TABLE_SEEDS), means, step_seconds, 1, longest),
        sampled=sampled,
        most_steps=size.most_steps,
        finish_seconds=means.finish_seconds,
    )


def _stage(share: float, means: TrainingBudget, step_seconds: float, populations: int, most: int) -> Stage:
    """As many steps for each population of a stage as the stage's share allows."""
    if means.seconds is None:
        return Stage(steps=max(1, min(most, int(share * (means.steps or 0) / populations))))
    steps = int(share * means.seconds / max(step_seconds, 1e-9))
    return Stage(steps=max(1, min(most, steps)), seconds=round(share * means.seconds, 3))
