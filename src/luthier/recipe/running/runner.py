"""How a population of the recipe is trained: memo, deadline, memory groups, history and exact resume.

M members, N rows, C outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from luthier import storage
from luthier.assess import Register
from luthier.engine import Evaluation, Member, ModuleSpec, Settings, in_memory_groups, threaded
from luthier.engine.members.devices import CPU, free_memory
from luthier.errors import InputError
from luthier.machine import default_memory
from luthier.messages import Message
from luthier.nets import Net, Spec, build
from luthier.recipe.planning.budget import BudgetClock
from luthier.recipe.planning.config import Cut, Recipe
from luthier.recipe.planning.plan import Plan
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.interrupted import Interrupted
from luthier.recipe.running.memo import Memo
from luthier.recipe.running.memory_groups import Kept, PieceFacts, join_histories, merged, whole_sets
from luthier.recipe.running.pieces_of_populations import Piece, PieceTrainer, TrainedPiece, TrainingPlan
from luthier.records import Entry, Said, noted
from luthier.rows import Rows
from luthier.saved import RunFolder, activate
from luthier.saved.blend import read_as
from luthier.seeds import derive
from luthier.statistics.row_losses import row_losses

if TYPE_CHECKING:
    from luthier.search.cluster import Cluster

STEPS = {"fit training": 3, "fit validation": 4, "questions": 4, "seeds": 5}
CURVE_POINTS = 8  # evaluations of a training in folds, none of which chooses anything
AT_LEAST = "at least"  # the population that is trained whatever the clock says, for as many steps
AT_LEAST_STEPS, AT_LEAST_SECONDS = 20, 1.0  # and seconds beyond the budget


@dataclass(frozen=True)
class TrainedPopulation:
    """A population after training: per member its best state and how it got there.

    `logits` [M, N, C] are the best weights' outputs on the validation part; `weights` holds the
    state of the best members, by index. Of members in folds they are [.., F, C], on the rows that each left out, of the
    members in `known` alone where that is set. By another `loss` than the task's own where one is named.
    """

    name: str
    stage: str
    method: str
    rule: str
    batch_size: int
    members: tuple[Member, ...]
    statuses: tuple[str, ...]
    train_loss: np.ndarray
    validation_loss: np.ndarray
    validation_score: np.ndarray
    best_step: np.ndarray
    steps_done: int
    logits: Tensor
    weights: dict[int, dict[str, Tensor]]
    known: tuple[int, ...] | None = None
    loss: str = ""

    @property
    def spec(self) -> Spec:
        """The architecture that all members share."""
        result = self.members[0].spec
        assert not isinstance(result, ModuleSpec)
        return result

    def row_of(self, member: int) -> int:
        """Where a member's outputs are among the logits."""
        return member if self.known is None else self.known.index(member)

    @property
    def in_folds(self) -> bool:
        """Whether its members left out rows of their own."""
        return self.members[0].fold is not None

    @property
    def settings(self) -> list[range]:
        """The members of each setting: one, or one for each fold."""
        together = 1 + max((member.fold or 0 for member in self.members), default=0)
        return [range(first, first + together) for first in range(0, len(self.members), together)]

    def usable(self) -> list[int]:
        """Members with a finite validation loss, best first."""
        order = np.argsort(self.validation_loss, kind="stable")
        return [int(i) for i in order if np.isfinite(self.validation_loss[i])]

    def net(self, member: int) -> Net:
        """A member as an ordinary module, with its best weights."""
        net = build(self.spec, seed=self.members[member].seed)
        net.load_state_dict(self.weights[member])
        return net.eval()


@dataclass(frozen=True)
class Runner:
    """What trains the networks of a run, and remembers. `tell(event, **facts)` speaks to the screen and never changes a
    number."""

    problem: Problem
    folder: RunFolder
    memo: Memo
    recipe: Recipe
    budget_clock: BudgetClock
    interrupted: Interrupted
    tell: Callable[..., None]
    device: torch.device = CPU  # where networks train; settled with the plan
    elsewhere: str = ""  # the device on which a run that was begun is to go on, where that was said
    register: Register = field(default_factory=Register.none)
    cluster: Cluster | None = None  # where pieces of populations train at once; here, one after another, without
    planned: Plan | None = None
    trained: list[TrainedPopulation] = field(default_factory=list)  # so far, in order
    speeds: dict[str, float] = field(default_factory=dict)  # seconds a step of populations that were trained now
    begun: Mapping[str, bool] = field(default_factory=dict)  # rounds that an earlier sitting began, or had no time for
    cuts: list[Cut] = field(default_factory=list)  # so far, in order

    @property
    def plan(self) -> Plan:
        """The plan; made before anything is trained."""
        assert self.planned is not None
        return self.planned

    @property
    def repeating(self) -> bool:
        """Whether a recorded script is followed instead of the clock."""
        return self.recipe.plan is not None

    def deadline(self, stage: str) -> float:
        """Seconds from the start after which a stage must end: its successors keep half of their shares."""
        if self.budget_clock.budget.seconds is None:
            return float("inf")
        shares = self.plan.shares
        names = list(shares)
        later = sum(shares[name] for name in names[names.index(stage) + 1 :])
        return self.plan.started + self._trainable * (1 - later / 2)

    def end_of(self, stage: str) -> float:
        """At which second, or after which step, a stage's share ends, its own and those before it used up."""
        budget, shares = self.budget_clock.budget, self.plan.shares
        upto = sum(list(shares.values())[: list(shares).index(stage) + 1])
        return upto * float(budget.steps or 0) if budget.seconds is None else self.plan.started + upto * self._trainable

    @property
    def _trainable(self) -> float:
        """Seconds that the stages share: what the plan found, but for the end."""
        return (self.budget_clock.budget.seconds or 0.0) - self.plan.started - self.plan.finish_seconds

    def stopper(self, work: str, stage: str) -> Callable[[int], bool]:
        """The question asked before every step: a recorded cut decides, otherwise the clock and the user."""
        cut = self.recipe.cut(work)
        if cut is not None:
            return lambda step: step >= cut.step
        if work == AT_LEAST:
            end = max(self.budget_clock.budget.seconds or float("inf"), self.budget_clock.spent()) + AT_LEAST_SECONDS
            # The user is asked too, since a process may be told to end, and not obeyed: there would be no network.
            return lambda step: (
                (bool(self.interrupted) and False) or (step >= AT_LEAST_STEPS and self.budget_clock.spent() > end)
            )
        deadline = self.deadline(stage)
        return lambda step: bool(self.interrupted) or self.budget_clock.spent() > deadline

    def cut(self, work: str, step: int) -> Entry:
        """What is said of work that ended early, with the recorded reason when it is a repetition."""
        known = self.recipe.cut(work)
        reason = known.reason if known else ("interrupted by the user" if self.interrupted else "the time ran out")
        self.cuts.append(Cut(work=work, step=step, reason=reason))
        return Entry("cut", self.cuts[-1].model_dump())

    def forget_outputs(self, trained: TrainedPopulation) -> TrainedPopulation:
        """Let go of the outputs of members that were not kept."""
        place, kept = next(k for k, one in enumerate(self.trained) if one is trained), tuple(sorted(trained.weights))
        logits = trained.logits[[trained.row_of(member) for member in kept]]
        self.trained[place] = replace(trained, logits=logits, known=kept)
        return self.trained[place]

    def keep(self, trained: TrainedPopulation) -> TrainedPopulation:
        """Count a population among those that were trained."""
        self.trained.append(trained)
        return trained

    def keep_trained(
        self, name: str, setting: Setting, members: Sequence[Member], logits: Sequence[Tensor], **how: Any
    ) -> TrainedPopulation:
        """Count networks that were trained elsewhere, with their outputs [M, N, C] for the training and the validation
        rows; `how` are other fields of the population."""
        _, *parts = self.problem.prepared(setting.method)
        kind, read = self.problem.task.kind, read_as(self.problem.task, logits[0].shape[-1])
        training, validation = (
            row_losses(activate(some, read), part.targets, kind, part.weights).mean(1).numpy()
            for some, part in zip(logits, parts, strict=True)
        )
        trained = TrainedPopulation(
            name=name,
            method=setting.method,
            rule=setting.rule,
            batch_size=setting.batch_size,
            members=tuple(members),
            train_loss=training,
            validation_loss=validation,
            validation_score=validation,
            best_step=np.zeros(len(members)),
            logits=logits[1],
            **how,
        )
        return self.keep(trained)

    def run(self, name: str, members: Sequence[Member], training: TrainingPlan) -> Said[TrainedPopulation | None]:
        """Train a population, or recall it; None when it was cut before its first evaluation."""
        recalled = self.memo.recall(name, PieceFacts)
        if recalled is None:
            recalled = yield from self._train_in_memory_groups(name, members, training)
        tensors, facts = recalled
        if facts.get("said"):
            yield noted(STEPS[training.stage], facts["said"])
        alone: dict[str, int | None] = {name: facts.get("cut")}
        for label, step in facts.get("cuts", alone).items():
            if step is not None:
                yield self.cut(label, step)
        if not tensors:
            return None
        for finding in () if training.complete else facts["findings"]:  # of an experiment they are counted
            yield Entry("finding", finding)
        trained = _unpack(name, training, members, tensors, facts)
        return self.keep(trained) if trained.usable() else None

    def _settings(self, training: TrainingPlan, members: Sequence[Member]) -> Settings:
        steps = training.planned.steps
        complete = training.complete
        every = self.plan.evaluate_every(steps, CURVE_POINTS if complete else None)
        settings = Settings(
            loss=training.loss or self.problem.loss,
            rule=training.rule,
            batch_size=training.batch_size,
            steps=steps,
            evaluate_every=every,
            patience=0 if complete else max(10, (steps // every) // 3),
            tolerance=1e-4,
            keep_last=complete,
            batch_seed=derive(self.problem.seed, "batches", training.batches) if complete else self.problem.seed,
            device=self.device,
        )
        threads = self.plan.design.threads if complete and self.plan.design else self.plan.threads
        return threaded(settings, members, threads)

    def _train_in_memory_groups(self, name: str, members: Sequence[Member], training: TrainingPlan) -> Said[Kept]:
        """All members at once where memory allows it; else group by group, kept as one population when all are done."""
        training = replace(training, parts=training.parts or self.problem.prepared(training.method)[1:])
        assert training.parts is not None
        memory = self.problem.data.memory_beside(self.problem.asked.memory or default_memory())
        memory = min(memory, free_memory(self.device) or memory)
        evaluated = training.parts[1] or training.parts[0]
        assert isinstance(evaluated, Rows)
        trainer = PieceTrainer(replace(training, initial=None), self._settings(training, members))
        groups, settings, message = in_memory_groups(members, trainer.settings, evaluated, memory)
        pieces = yield from self._pieces(name, members, len(groups[0]), training)
        sizes = [len(piece.members) for piece in pieces]
        trained = self._trained(name, pieces, replace(trainer, settings=settings))
        tensors, facts = trained[0] if len(pieces) == 1 else merged(trained, sizes, training.kept, training.together)
        labels = [piece.name for piece in pieces]
        cuts = {label: result["cut"] for label, (_, result) in zip(labels, trained, strict=True)}
        facts = {**facts, "said": message, "cuts": cuts}
        if len(pieces) > 1:
            join_histories(self.folder.history, name, labels, sizes)
        if message and tensors:
            self.memo.keep(name, tensors, facts)
        return tensors, facts

    @property
    def workers(self) -> int:
        """How many pieces of a population train at once."""
        return 1 if self.cluster is None else self.cluster.workers

    def _pieces(self, name: str, members: Sequence[Member], most: int, training: TrainingPlan) -> Said[list[Piece]]:
        """Members in pieces of at most `most`, as many as there are workers; as the record says, where it says so."""
        recorded = self.recipe.sizes(name)
        if recorded is not None:
            if sum(recorded) != len(members):
                template = "the recorded pieces of the population '{name}' have {count} networks"
                raise InputError(
                    Message(template, name=name, count=sum(recorded)),
                    expected=str(len(members)),
                    remedy=Message("repeat the run from its own recipe.toml"),
                )
            sizes = list(recorded)
        else:
            sets = -(-len(members) // training.together)
            in_memory = training.parts is not None and isinstance(training.parts[0], Rows)
            at_once = self.workers if in_memory and self.device == CPU else 1
            each = -(-sets // at_once) * training.together
            sizes = [len(group) for group in whole_sets(members, min(most, each), training.together)]
        if recorded is not None or (self.cluster is not None and len(sizes) > 1):  # so that a repetition adds up alike
            yield Entry("pieces", {"work": name, "sizes": sizes})
        ends = list(accumulate(sizes))
        labels = [name] if len(sizes) == 1 else [f"{name}.{place + 1}" for place in range(len(sizes))]
        result = []
        for label, end, size in zip(labels, ends, sizes, strict=True):
            initial = None if training.initial is None else training.initial[end - size : end]
            cut = self.recipe.cut(label)
            result.append(Piece(label, tuple(members[end - size : end]), initial, None if cut is None else cut.step))
        return result

    def _trained(self, name: str, pieces: Sequence[Piece], trainer: PieceTrainer) -> list[Kept]:
        """What each piece came to, recalled or trained: one after another, or at once on a cluster."""
        recalled = {piece.name: self.memo.recall(piece.name, PieceFacts) for piece in pieces}
        left = [piece for piece in pieces if recalled[piece.name] is None]
        if self.cluster is None or len(left) < 2:
            done = {piece.name: self._train(piece, trainer) for piece in left}
        else:
            done = self._train_at_once(self.cluster, name, left, trainer)
        return [recalled[piece.name] or done[piece.name] for piece in pieces]

    def _train_at_once(
        self, cluster: Cluster, name: str, pieces: Sequence[Piece], trainer: PieceTrainer
    ) -> dict[str, Kept]:
        stage = trainer.training.stage
        done: dict[str, Kept] = {piece.name: ({}, {"cut": 0}) for piece in pieces}
        sent = [piece for piece in pieces if not self.stopper(piece.name, stage)(0)]
        if not sent:
            return done
        self.tell("population", name=name, stage=stage, members=len(sent), steps=trainer.settings.steps)
        began, steps = self.budget_clock.clock.now(), 1
        end = time.monotonic() + self.deadline(stage) - self.budget_clock.spent()
        with self.interrupted.asked(soon=True):
            for piece, trained in cluster.train(trainer, sent, end, lambda: bool(self.interrupted)):
                self._keep(piece, trained)
                done[piece.name], steps = trained.kept, max(steps, trained.steps)
        self.speeds[name] = (self.budget_clock.clock.now() - began) / steps
        return done

    def _train(self, piece: Piece, trainer: PieceTrainer) -> Kept:
        stage, steps = trainer.training.stage, trainer.settings.steps
        stop = self.stopper(piece.name, stage)
        if stop(0):
            return {}, {"cut": 0}
        self.tell("population", name=piece.name, stage=stage, members=len(piece.members), steps=steps)

        def evaluated(evaluation: Evaluation) -> None:
            self.tell("evaluation", name=piece.name, stage=stage, evaluation=evaluation, steps=steps)

        began = self.budget_clock.clock.now()
        with self.interrupted.asked(soon=True):
            trained = trainer.trained(piece, self.memo.under_way(piece.name), stop, evaluated)
        self.speeds[piece.name] = (self.budget_clock.clock.now() - began) / max(1, trained.steps)
        self._keep(piece, trained)
        return trained.kept

    def _keep(self, piece: Piece, trained: TrainedPiece) -> None:
        storage.write_bytes(self.folder.history / f"{piece.name}.parquet", trained.curves)
        self.memo.keep(piece.name, *trained.kept)
        (self.memo.folder / f"{piece.name}.state").unlink(missing_ok=True)  # where a worker saved it under way


def _unpack(
    name: str, training: TrainingPlan, members: Sequence[Member], tensors: dict[str, Tensor], facts: PieceFacts
) -> TrainedPopulation:
    weights: dict[int, dict[str, Tensor]] = {}
    known = facts.get("known")
    for key, tensor in tensors.items():
        member, _, parameter = key.partition("/")
        if parameter:
            weights.setdefault(int(member), {})[parameter] = tensor
    return TrainedPopulation(
        name=name,
        stage=training.stage,
        method=training.method,
        rule=training.rule,
        batch_size=training.batch_size,
        members=tuple(members),
        statuses=tuple(facts["statuses"]),
        train_loss=np.array(facts["train_loss"], dtype=float),  # NaN where there is none
        validation_loss=np.array(facts["validation_loss"], dtype=float),
        validation_score=np.array(facts["validation_score"], dtype=float),
        best_step=np.array(facts["best_step"]),
        steps_done=facts["steps_done"],
        logits=tensors["logits"],
        weights=weights,
        known=None if known is None else tuple(known),
        loss=training.loss,
    )
