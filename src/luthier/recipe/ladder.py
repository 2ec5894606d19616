"""A ladder of remedies: each is tried over its strengths and seeds, and stays only when it gains more than noise.

S seeds, N validation rows. Networks of a rung share seeds and batches with the setting that they are
compared with, so losses are compared in pairs, row by row and seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.engine import ModuleSpec
from luthier.nets import Spec, build
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.remedy import RemedyEvidence, StandingLosses, Variant
from luthier.recipe.pieces_of_populations import TrainingPlan
from luthier.recipe.plan import Stage
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.recipe.setting import Setting, seeded
from luthier.saved import activate
from luthier.seeds import derive
from luthier.statistics.paired import Gain, SeedSpread, paired
from luthier.statistics.row_losses import row_losses


@dataclass(frozen=True)
class Fitted:
    """What step 3 hands to step 4: a setting, and what was learnt of the seeds' luck."""

    setting: Setting
    spread: SeedSpread = field(default_factory=SeedSpread)
    standing: Candidate | None = None  # with its networks, to go on from; not there after a return to step 4
    rates: Mapping[str, float] = field(default_factory=dict)  # of the range tests, by rule

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"setting": self.setting.to_json(), "spread": asdict(self.spread), "rates": dict(self.rates)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fitted:
        """What `to_json` gave."""
        return cls(Setting.from_json(value["setting"]), SeedSpread(**value["spread"]), rates=value.get("rates", {}))


@dataclass
class Candidate:
    """A setting with what was measured for it: validation losses [S, N] and the mean training loss."""

    setting: Setting
    rows: np.ndarray
    training: float
    weights: tuple[Mapping[str, Tensor], ...] = ()  # of each seed, where all were kept

    @property
    def loss(self) -> float:
        """Mean validation loss over seeds and rows."""
        return float(self.rows.mean())


@dataclass
class Ladder:
    """The climb of one step of the recipe, from the setting that stands now."""

    runner: Runner
    step: int
    stage: str
    prefix: str
    planned: Stage
    standing: Candidate | None = None
    kept: list[str] = field(default_factory=list)
    spread: SeedSpread = field(default_factory=SeedSpread)
    cut: bool = False
    going_on: Candidate | None = None  # networks that every option of the same shape starts from
    judged: list[tuple[Candidate, Gain | None]] = field(default_factory=list)  # the last rung's, with their gains

    def begin(self, setting: Setting) -> Candidate | None:
        """Measure the setting to start from."""
        result = self._measure("start", [setting])
        self.standing = result[0] if result else None
        return self.standing

    def climb(self, name: str, options: Sequence[Setting]) -> None:
        """Try a remedy. Without a standing setting the first of its options becomes it, and the rest must beat it."""
        if self.cut:
            return
        options = [option for option in options if self.standing is None or option != self.standing.setting]
        if not options:
            return
        result = self._measure(name, options)
        if self.standing is None and len(result) > 1 and result[0].setting == options[0]:
            self.standing = result.pop(0)
        if result:
            self.judge(name, result)

    def _measure(self, name: str, options: Sequence[Setting]) -> list[Candidate]:
        """Train each option over the same seeds: networks that share no time share no population."""
        runner, result = self.runner, list[Candidate]()
        seeds = [derive(runner.problem.seed, "member", k) for k in range(runner.plan.seeds)]
        for number, option in enumerate(options):
            planned = self.planned.for_batches(option.batch_size, runner.plan.batch_size)
            members = seeded(option, seeds, planned.steps, option.label or name)
            title = f"{self.prefix}-{name.replace(' ', '-').replace(',', '')}" + (f"-{number}" if number else "")
            plan = TrainingPlan(
                self.stage, planned, option.method, option.rule, option.batch_size, initial=self._initial(option)
            )
            trained = runner.run(title, members, plan)
            self.cut |= trained is None or "cut" in trained.statuses
            if trained is not None and not self.cut and np.isfinite(trained.validation_loss).all():
                result.append(candidate_of(runner, trained, option))
        return result

    def _initial(self, option: Setting) -> list[Mapping[str, Tensor]] | None:
        """The weights to go on from, one state for each seed, where the shape is the same."""
        known = self.going_on
        if known is None or not known.weights:
            return None
        wanted = {name: value.shape for name, value in known.weights[0].items()}
        return list(known.weights) if _shapes_of(option.member.spec) == wanted else None

    def judge(self, name: str, found: Sequence[Candidate]) -> None:
        """Compare options with the setting that stands; the best stays when its gain clears the interval."""
        before = self.standing
        gains: list[Gain | None] = [None] * len(found)
        if before is not None:
            self.spread.add([before.rows - one.rows for one in found])
            gains = [paired(before.rows, one.rows, len(found), self.spread) for one in found]
        self.judged = list(zip(found, gains, strict=True))
        evidence = RemedyEvidence(
            name,
            tuple(
                Variant(one.setting.label, one.loss, finite(one.training), _spread(one.rows), gain)
                for one, gain in self.judged
            ),
            None if before is None else StandingLosses(before.loss, finite(before.training)),
        )
        chosen = self.runner.ledger.decide(self.step, evidence)
        if chosen is not None:
            self.kept.append(name)
            self.standing = found[chosen]


def _shapes_of(spec: Spec | ModuleSpec) -> dict[str, torch.Size]:
    assert not isinstance(spec, ModuleSpec)
    return {name: value.shape for name, value in build(spec, seed=0).state_dict().items()}


def candidate_of(runner: Runner, trained: TrainedPopulation, option: Setting) -> Candidate:
    """A setting with what a population of its networks measured for it."""
    problem = runner.problem
    validation, kind = problem.prepared(trained.method)[2], problem.task.kind
    rows = row_losses(activate(trained.logits, kind), validation.targets, kind, validation.weights)
    everyone = range(len(trained.members))
    weights = tuple(trained.weights[i] for i in everyone) if all(i in trained.weights for i in everyone) else ()
    return Candidate(option, rows.numpy(), float(np.mean(trained.train_loss)), weights)


def _spread(rows: np.ndarray) -> float | None:
    return round(float(rows.mean(1).std(ddof=1)), 5) if len(rows) > 1 else None
