"""A ladder of remedies: each is tried over its strengths and seeds, and stays only when it gains more than noise.

S seeds, N validation rows. Networks of a rung share seeds and batches with the setting that they are
compared with, so losses are compared in pairs, row by row and seed by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.engine import ModuleSpec
from luthier.nets import Spec, build
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.remedy import RemedyEvidence, StandingLosses, Variant
from luthier.recipe.plan import Stage
from luthier.recipe.runner import Runner, TrainedPopulation, TrainingPlan
from luthier.recipe.setting import Setting, seeded
from luthier.saved import activate
from luthier.seeds import derive
from luthier.statistics.paired import Gain, SeedSpread, paired
from luthier.statistics.row_losses import row_losses

NearMiss = tuple[float, Setting, Setting]  # a gain inside the noise, the setting then, and the setting tried


@dataclass(frozen=True)
class Fitted:
    """What step 3 hands to step 4: a setting, what gained a little each, and what was learnt of the seeds' luck."""

    setting: Setting
    near_misses: Sequence[NearMiss] = ()
    spread: SeedSpread = field(default_factory=SeedSpread)
    standing: Candidate | None = None  # with its networks, to go on from; not there after a return to step 4
    rates: Mapping[str, float] = field(default_factory=dict)  # of the range tests, by rule

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        near_misses = [[gain, before.to_json(), tried.to_json()] for gain, before, tried in self.near_misses]
        return {
            "setting": self.setting.to_json(),
            "hopeful": near_misses,
            "spread": asdict(self.spread),
            "rates": dict(self.rates),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Fitted:
        """What `to_json` gave."""
        near_misses = [(gain, Setting.from_json(a), Setting.from_json(b)) for gain, a, b in value["hopeful"]]
        setting, spread = Setting.from_json(value["setting"]), SeedSpread(**value["spread"])
        return cls(setting, near_misses, spread, rates=value.get("rates", {}))


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
    near_misses: list[NearMiss] = field(default_factory=list)
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

    def together(self) -> None:
        """Try at once what gained a little each: small gains may add up to one that is clear."""
        if self.standing is None or len(self.near_misses) < 2:
            return
        combined = self.standing.setting
        for _, before, tried in self.near_misses:
            combined = _changed_alike(combined, before, tried)
        label = "; ".join(tried.label for _, _, tried in self.near_misses)
        self.climb("together", [replace(combined, label=label)])

    def _measure(self, name: str, options: Sequence[Setting]) -> list[Candidate]:
        """Train options that can share a population together, all over the same seeds."""
        runner = self.runner
        seeds = [derive(runner.problem.seed, "member", k) for k in range(runner.plan.seeds)]
        groups: dict[Any, list[Setting]] = {}
        for place, option in enumerate(options):
            alone = place if runner.plan.medium != "table" else 0  # networks that share no time share no population
            rows = option.member.noise, option.member.mixup  # which all members of a population see alike
            key = (option.method, option.rule, option.batch_size, option.member.spec, rows, alone)
            groups.setdefault(key, []).append(option)
        result: list[Candidate] = []
        for number, ((method, rule, batch_size, *_), together) in enumerate(groups.items()):
            planned = self.planned.for_batches(batch_size, runner.plan.batch_size)
            members = [
                member for option in together for member in seeded(option, seeds, planned.steps, option.label or name)
            ]
            title = f"{self.prefix}-{name.replace(' ', '-').replace(',', '')}" + (f"-{number}" if number else "")
            initial = self._initial(together)
            trained = runner.run(
                title, members, TrainingPlan(self.stage, planned, method, rule, batch_size, initial=initial)
            )
            self.cut |= trained is None or "cut" in trained.statuses
            if trained is not None and not self.cut:
                result += _standings(runner, trained, together, len(seeds))
        return result

    def _initial(self, options: Sequence[Setting]) -> list[Mapping[str, Tensor]] | None:
        """The weights to go on from, for each network of options with the same shape."""
        known = self.going_on
        if known is None or not known.weights:
            return None
        shapes = [_shapes_of(one.member.spec) for one in options]
        wanted = {name: value.shape for name, value in known.weights[0].items()}
        return list(known.weights) * len(options) if all(one == wanted for one in shapes) else None

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
            return
        best, gain = found[evidence.best], gains[evidence.best]
        if before is not None and gain is not None and (gain.gain or 0.0) > 0 and name != "together":
            self.near_misses.append((gain.gain or 0.0, before.setting, best.setting))


def _shapes_of(spec: Spec | ModuleSpec) -> dict[str, torch.Size]:
    assert not isinstance(spec, ModuleSpec)
    return {name: value.shape for name, value in build(spec, seed=0).state_dict().items()}


def _changed_alike(setting: Setting, before: Setting, after: Setting) -> Setting:
    """A setting with the same changes that lead from `before` to `after`."""
    old, new = before.member, after.member
    spec: dict[str, Any] = {
        one.name: getattr(new.dense, one.name)
        for one in fields(new.dense)
        if getattr(new.dense, one.name) != getattr(old.dense, one.name)
    }
    member: dict[str, Any] = {
        one.name: getattr(new, one.name)
        for one in fields(new)
        if one.name != "spec" and getattr(new, one.name) != getattr(old, one.name)
    }
    if after.rule == before.rule and "learning_rate" in member:  # a rate is a rate of its rule: take the factor over
        member["learning_rate"] = setting.member.learning_rate * new.learning_rate / old.learning_rate
    if spec.get("batch_norm"):
        spec["layer_norm"] = False
    changed = replace(setting.member.dense, **spec)
    rates = member.pop("dropout", setting.member.dropout)
    if len(rates) != len(changed.hidden) and rates:  # the place of dropout means the same in a deeper network
        rates = (max(rates) if sum(p > 0 for p in rates) > 1 else 0.0,) * (len(changed.hidden) - 1) + (max(rates),)
    whole: dict[str, Any] = {
        name: getattr(after, name)
        for name in ("method", "rule", "batch_size")
        if getattr(after, name) != getattr(before, name)
    }
    return replace(setting, **whole, member=replace(setting.member, spec=changed, dropout=rates, **member))


def _standings(runner: Runner, trained: TrainedPopulation, together: Sequence[Setting], seeds: int) -> list[Candidate]:
    """Options of a population whose every seed came to a finite loss."""
    result = []
    for place, option in enumerate(together):
        these = slice(place * seeds, (place + 1) * seeds)
        if np.isfinite(trained.validation_loss[these]).all():
            result.append(candidate_of(runner, trained, option, these))
    return result


def candidate_of(
    runner: Runner, trained: TrainedPopulation, option: Setting, members: slice = slice(None)
) -> Candidate:
    """A setting with what some members of a population measured for it."""
    problem = runner.problem
    validation, kind = problem.prepared(trained.method)[2], problem.task.kind
    rows = row_losses(activate(trained.logits[members], kind), validation.targets, kind, validation.weights)
    indices = range(len(trained.members))[members]
    weights = tuple(trained.weights[i] for i in indices) if all(i in trained.weights for i in indices) else ()
    return Candidate(option, rows.numpy(), float(np.mean(trained.train_loss[members])), weights)


def _spread(rows: np.ndarray) -> float | None:
    return round(float(rows.mean(1).std(ddof=1)), 5) if len(rows) > 1 else None
