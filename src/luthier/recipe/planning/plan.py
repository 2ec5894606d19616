"""What a budget is turned into: the design of the experiments, and steps of each stage, decided once.

The clock is asked once, by timing a few steps. From then on the numbers of a run follow from its
plan and its seed alone, so the plan is written into the ledger before it is followed, and
`recipe.toml` carries it for whoever wants the same run again, both with its version.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from luthier.assess.versioned import VERSION, Version

Method = Literal["standardise", "robust", "quantile", "piecewise", "periodic", "common", "pixels"]

# Shares of the time that is left for training: screens and second rounds of steps 3 and 4, and the questions. Fitting
# the validation set is the longest step (S4-22). Seeds where no network could be trained have all that is left.
SHARES = {"range": 0.05, "fit training": 0.22, "fit validation": 0.38, "questions": 0.35, "seeds": 0.0}
# Where a sample decides the final networks learn from every row.
SAMPLED_SHARES = SHARES | {"fit training": 0.15, "fit validation": 0.27, "questions": 0.18, "seeds": 0.35}
SEEDS_SHARE = 0.1  # share that lays out the length of those seeds, and of distilled networks
FINAL_SEEDS = 5
FINISH_LONGER = 2.0  # times the time that is kept back for the end, where experiments deliver their networks
FOLDS: Literal[5] = 5
SMALL = 60_000  # rows of training and validation together, up to which every one of them is learnt from in folds
ENOUGH_EPOCHS = 10
MOST_EPOCHS, MOST_STEPS = 60, 4000
WIDEST = 512
EVALUATING = 0.2  # largest share of a training that evaluations may take
FEWEST_EVALUATIONS = 3  # of a training, which stops by them, whatever they take
WARM_WAYS = 8  # in which a warm start goes on: as they were, three rates or anew, from new rows or all
MOST_CODED = 200  # columns of numbers that are coded one by one
CODED, ENCODINGS = 16, 2  # inputs that a number has in the widest encoding, and how many such encodings may be held


class PlannedRecord(BaseModel):
    """A part of `recipe.toml` or of the ledger: frozen, of known fields alone, its numbers finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Stage(PlannedRecord):
    """One stage: how long each of its populations trains."""

    steps: int = Field(ge=1, le=10**9)
    seconds: float | None = None  # its share of the time, None for a budget of steps

    def for_batches(self, size: int, planned: int) -> Stage:
        """The same stage with other batches: as many epochs."""
        return self.model_copy(update={"steps": max(1, self.steps * planned // size)})


class Design(PlannedRecord):
    """The designed experiments of steps 3 and 4 (see `steps/explore.py`).

    A whole training takes `epochs`; each step screens `shapes` with `settings` of each, and trains those of `second`
    shapes whole. Blocks of a stack step in `threads`. `unit` is how many seconds a unit of `work` was measured to take
    (0 for a budget of steps), and `launch` those of a step however few networks it is of. With one of `folds` the
    validation part judges.
    """

    epochs: float = Field(gt=0, le=100_000)
    shapes: int = Field(ge=2, le=64)
    settings: int = Field(ge=2, le=256)
    second: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=4_096)
    unit: float = Field(default=0.0, ge=0)
    launch: float = Field(default=0.0, ge=0)
    folds: Literal[1, 5] = 5


class Plan(PlannedRecord):
    """The whole run, before any of it is trained: its designed experiments; none with a backbone or a warm start, which
    is its `fit_validation`."""

    version: Version = VERSION  # an earlier plan has none
    medium: str = Field(default="table", max_length=100)
    batch_size: int = Field(ge=1, le=10_000_000)
    epoch_steps: int = Field(ge=1, le=1_000_000_000)
    threads: int = Field(ge=1, le=4_096)
    width: int = Field(ge=1, le=100_000)
    methods: tuple[Method, ...]
    range_seeds: int = Field(ge=1, le=1_000)
    range_steps: int = Field(ge=1, le=1_000_000)
    fit_validation: Stage
    final: Stage
    design: Design | None = None
    most_steps: int = Field(default=MOST_STEPS, ge=1, le=10**9)
    started: float = Field(default=0.0, ge=0)  # seconds of the budget that were gone when it was made
    finish_seconds: float = 0.0
    sampled: bool = False  # whether the final networks learn from more rows than decide
    device: str = Field(default="cpu", pattern=r"^(cpu|mps|cuda:\d{1,3})$")
    evaluation_steps: float = Field(default=0.0, ge=0, le=10**6)  # that an evaluation takes as long as; 0: not timed
    looks: int = Field(default=0, ge=0, le=10**15)  # rows, times networks, by which the end looks into columns; 0: any

    @property
    def total_steps(self) -> int:
        """About as many steps as the populations take."""
        if self.design is None:
            return WARM_WAYS * self.fit_validation.steps + self.final.steps
        return round(2 * self.design.epochs * self.epoch_steps * (self.design.shapes + self.design.second))

    @property
    def shares(self) -> dict[str, float]:
        """The stages' shares of the time."""
        return SAMPLED_SHARES if self.sampled else SHARES

    def evaluate_every(self, steps: int, points: int | None = None) -> int:
        """Steps between two evaluations: an epoch, with at least thirty evaluations in a stage, or for so many `points`
        of a curve; but so seldom that evaluations take at most a fifth of the time, where three of them can. A curve
        that nothing is chosen by may be one point."""
        wanted = min(max(self.epoch_steps, 20), steps // 30) if points is None else steps // points
        affordable = ceil(self.evaluation_steps * (1 - EVALUATING) / EVALUATING)
        return max(1, wanted, min(affordable, steps // FEWEST_EVALUATIONS if points is None else steps))

    def designed(self, design: Design) -> Plan:
        """The same plan with designed experiments, which may deliver forty networks to look into."""
        return self.model_copy(update={"design": design, "finish_seconds": FINISH_LONGER * self.finish_seconds})

    def on(self, device: object) -> Plan:
        """The same plan for networks on a device."""
        return self.model_copy(update={"device": str(device)})


def first_batch(rows: int, most: int) -> int:
    """A power of two near a fortieth of the rows, between 16 and the most, never above the rows.

    >>> first_batch(100, 256), first_batch(4000, 256), first_batch(10**6, 256), first_batch(5, 256)
    (16, 128, 256, 5)
    """
    wanted = 16
    while wanted < most and wanted * 40 < rows:
        wanted *= 2
    return max(1, min(wanted, rows))


@dataclass(frozen=True)
class PlanSize:
    """What the plan depends on besides the budget: rows to train on, and what their modality says of its networks."""

    rows: int
    width: int = 1  # of the bare network
    methods: tuple[Method, ...] = ("standardise",)
    more: int = 0  # rows that only the final networks train on
    most_batch: int = 256
    range_seeds: int = 5
    range_steps: int = 100

    @property
    def batch_size(self) -> int:
        """Rows of a batch at first."""
        return first_batch(self.rows, self.most_batch)

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


def plan_without_design(size: PlanSize, means: TrainingBudget, step_seconds: float = 0.0) -> Plan:
    """The plan, yet without its design: how long final networks and those of a warm start train.

    `step_seconds` is what a step of `FINAL_SEEDS` networks takes; a budget of steps does not ask for it.
    """
    sampled = size.more > 0
    shares = SAMPLED_SHARES if sampled else SHARES
    longest = size.most_steps
    if sampled:
        longest = max(longest, ENOUGH_EPOCHS * (size.rows + size.more) // size.batch_size)
    sized = ("batch_size", "epoch_steps", "width", "methods", "range_seeds", "range_steps", "most_steps")
    return Plan(
        **{name: getattr(size, name) for name in sized},
        threads=means.threads,
        fit_validation=_stage(shares["fit validation"], means, WARM_WAYS * step_seconds, WARM_WAYS, size.most_steps),
        final=_stage(max(shares["seeds"], SEEDS_SHARE), means, step_seconds, 1, longest),
        sampled=sampled,
        finish_seconds=means.finish_seconds,
    )


def _stage(share: float, means: TrainingBudget, step_seconds: float, populations: int, most: int) -> Stage:
    """As many steps for each population of a stage as the stage's share allows."""
    if means.seconds is None:
        return Stage(steps=max(1, min(most, int(share * (means.steps or 0) / populations))))
    steps = int(share * means.seconds / max(step_seconds, 1e-9))
    return Stage(steps=max(1, min(most, steps)), seconds=round(share * means.seconds, 3))
