"""The training loop: many members, one program, readable from top to bottom.

M members alive, B batch, S steps, P parameters. What a member gets does not depend on its company:
its initial weights and dropout masks come from its own generators, and its arithmetic is its own
rows of the stack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.engine.history import History
from luthier.engine.member import Member
from luthier.engine.module_spec import ModuleSpec
from luthier.engine.module_stacks import as_rows
from luthier.engine.outcome import Outcome
from luthier.engine.population import Population
from luthier.engine.settings import Checkpointer, Evaluation, Part, Settings, Snapshot, Stop, never
from luthier.engine.streams import Stream
from luthier.errors import InputError, TerminatedError
from luthier.machine import torch_settings
from luthier.objective import WATCHED, Criterion, column, loss_named, mean_loss
from luthier.records import Finding

FINISHED, EARLY, CUT, RUNG, PAUSED = "finished", "early stopped", "cut", "cut at rung", "paused"


@torch_settings()
def train(
    members: Sequence[Member],
    training: Part | Stream,
    validation: Part | None,
    settings: Settings,
    *,
    stop: Stop = never,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: Checkpointer | None = None,
    pause_at: int | None = None,
    survivors: Collection[int] | None = None,
    initial: Sequence[Mapping[str, Tensor]] | None = None,
) -> Outcome:
    """Train members together and keep each one's best weights.

    A training part may be a Stream, whose rows stay on the disk. Members start from their seeds' own
    initialisation, or from the named weights in `initial`, one state for each.
    `stop` is asked with the steps done, and ends training there: before every step, or before every few
    where the members are so many that blocks of them take turns (see Population.stretch). With a
    `checkpoint`, training goes on from its saved state bit for bit. It may also pause at the first
    evaluation from `pause_at` steps on, to be compared with other populations: the state is saved, and a
    later call goes on with the `survivors` alone, the others' status being that they were cut at a rung.
    """
    run = _Run(members, training, validation, settings, initial)
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        run.restore(saved)
    if survivors is not None:
        run.leave([place for place, i in enumerate(run.alive) if i not in survivors], RUNG)
    if pause_at is not None and run.done >= pause_at and run.done % settings.evaluate_every == 0:
        run.retire(range(len(run.alive)), PAUSED)  # it waited there when it was interrupted
    while run.alive and run.done < settings.steps:
        try:
            over = stop(run.done)
        except TerminatedError:
            if checkpoint is not None:
                checkpoint.save(run.snapshot())
            raise
        if over:
            run.retire(range(len(run.alive)), CUT)
            break
        run.step()
        if run.done % settings.evaluate_every == 0 or run.done == settings.steps:
            run.evaluate(on_evaluation)
            if pause_at is not None and pause_at <= run.done < settings.steps:
                if checkpoint is not None:
                    checkpoint.save(run.snapshot())
                run.retire(range(len(run.alive)), PAUSED)
                break
        if checkpoint is not None and checkpoint.due():
            checkpoint.save(run.snapshot())
    run.retire(range(len(run.alive)), FINISHED)
    return run.outcome()


def _plan(members: Sequence[Member], settings: Settings, rows: int) -> str:
    """A short name of what is trained and how; a module or a function of the user's own counts by its type."""
    loss = settings.loss if isinstance(settings.loss, str) else type(settings.loss).__name__
    names = [field.name for field in fields(Member) if field.name != "spec"]
    known = [replace(settings, loss="softmax"), loss, rows, *([getattr(m, name) for name in names] for m in members)]
    specs = {str(m.spec.shapes) if isinstance(m.spec, ModuleSpec) else str(m.spec) for m in members}
    return hashlib.blake2b(repr([known, sorted(specs)]).encode(), digest_size=6).hexdigest()


class _Run:
    """The loop's bookkeeping: who is alive, what was best, what was measured."""

    def __init__(
        self,
        members: Sequence[Member],
        training: Part | Stream,
        validation: Part | None,
        settings: Settings,
        initial: Sequence[Mapping[str, Tensor]] | None,
    ) -> None:
        self.members, self.settings = tuple(members), settings
        self.plan = _plan(members, settings, len(training))
        self.population = population = Population(members, settings, len(training), initial)
        self.validation = None if validation is None else population.prepared(validation)
        self.batches = population.batches(training)
        if isinstance(training, Part):
            population.check(training, "training")
        if validation is not None:
            population.check(validation, "validation")
        count = len(members)
        self.alive = list(range(count))
        self.done = 0
        self.history = History(metrics=settings.metrics)
        self.findings: list[Finding] = []
        self.status = [""] * count
        self.best = np.full((4, count), np.nan)  # validation loss, score, training loss, step
        self.best[0], self.best[3] = np.inf, 0
        self.reference = np.full(count, np.inf)  # the loss that early stopping must improve on
        self.waited = np.zeros(count, dtype=int)
        self.lowest, self.stalled = np.full(count, np.inf), np.zeros(count, dtype=int)  # of "plateau" schedules
        self.drops, self.dropped = np.ones(count), False
        self.parameters, self.buffers = population.parameters.clone(), population.buffers.clone()

    def step(self) -> None:
        """One update of every member, or several where blocks of members take turns."""
        every, each = self.settings.evaluate_every, self.settings.accumulate
        if self.population.multi_step_length == 1:
            first = self.done * each
            batches = [self.batches.at(first + place) for place in range(each)]
            self.population.step(batches, self.done + 1, self.rates(self.done))
            self.done += 1
            return
        wanted = min(self.population.multi_step_length, every - self.done % every, self.settings.steps - self.done)
        count = max(1, min(wanted, self.batches.left(self.done * each) // each))
        steps = range(self.done, self.done + count)
        several = [[self.batches.at(step * each + place) for place in range(each)] for step in steps]
        self.population.multi_step(several, self.done + 1, [self.rates(step) for step in steps])
        self.done += count

    def rates(self, step: int) -> Tensor:
        """The rates [M, 1] of a step."""
        rates = self.population.rates.at(step)
        if not self.dropped:
            return rates
        return rates * torch.from_numpy(self.drops[self.alive]).to(rates.dtype).unsqueeze(1)

    def evaluate(self, watch: Callable[[Evaluation], None] | None) -> None:
        """Measure all members alive, keep what is best, and let go of who diverged, stalled or lost."""
        losses = self.population.losses().double()
        train_loss = losses.mean(0).numpy()
        if self.settings.every_step:
            each = self.settings.accumulate
            rows = np.full((len(losses) // each, len(self.members)), np.nan)
            rows[:, self.alive] = losses.view(-1, each, len(self.alive)).mean(1).numpy()
            self.history.steps.append(rows)
        self.population.restart_losses()
        loss, score, metrics = self._validate(train_loss)
        rates = (self.population.rates.at(self.done - 1)[:, 0].double().numpy() * self.drops[self.alive]).tolist()
        epoch = self.done * self.settings.accumulate / self.batches.epoch_steps
        for place, i in enumerate(self.alive):
            row = (self.members[i].label, self.done, epoch, rates[place])
            figures = (train_loss[place], loss[place], score[place], *(values[place] for values in metrics))
            self.history.append(i, *row, *(float(figure) for figure in figures))
        self._keep_best(loss, score, train_loss)
        self._drop_rates(loss)
        if watch is not None and np.isfinite(loss).any():
            top = int(np.nanargmin(loss))
            watch(
                Evaluation(
                    step=self.done,
                    epoch=epoch,
                    members=len(self.alive),
                    train_loss=float(train_loss[top]),
                    validation_loss=float(loss[top]),
                    best_validation_loss=float(np.min(self.best[0])),
                    learning_rate=rates[top],
                )
            )
        self._let_go(np.isfinite(loss) & np.isfinite(train_loss))

    def _validate(self, train_loss: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Loss, score and each metric of the settings on the validation part, [M] each."""
        part, names = self.validation, self.settings.metrics
        if part is None:
            nothing = np.full(len(self.alive), np.nan)
            return train_loss, nothing, [nothing for _ in names]
        outputs = self.population.outputs(part)
        loss = loss_named(self.settings.loss)
        Z = as_rows(outputs) if names or not isinstance(loss, Criterion) else outputs
        metrics = [WATCHED[name].of_outputs(Z, column(part.targets), part.weights).numpy() for name in names]
        if isinstance(loss, Criterion):
            losses = loss.mean(outputs, part.targets, part.weights).double().numpy()
            return losses, losses, metrics
        losses = loss.mean(Z, part.targets, part.weights).double().numpy()
        scores = mean_loss(loss.by_row(Z, part.targets, loss.score), part.weights).double().numpy()
        return losses, np.sqrt(scores) if loss.rooted else scores, metrics

    def _keep_best(self, loss: np.ndarray, score: np.ndarray, train_loss: np.ndarray) -> None:
        alive = np.array(self.alive)
        better = np.isfinite(loss) & ((loss < self.best[0, alive]) | (self.validation is None))
        improved = np.isfinite(loss) & (loss < self.reference[alive] - self.settings.tolerance)
        self.reference[alive[improved]] = loss[improved]
        self.waited[alive] = np.where(improved, 0, self.waited[alive] + 1)
        if better.any():
            self.best[:, alive[better]] = np.stack([loss, score, train_loss, np.full(len(loss), self.done)])[:, better]
            source = torch.from_numpy(np.flatnonzero(better))
            target = torch.from_numpy(alive[better])
            self.parameters[target] = self.population.weights[source].to(self.parameters.dtype)
            self.buffers[target] = self.population.buffers[source]

    def _drop_rates(self, loss: np.ndarray) -> None:
        """Multiply the rate of a member whose loss has not fallen for its schedule's period of evaluations."""
        for place, i in enumerate(self.alive):
            schedule = self.members[i].schedule
            if schedule.kind != "plateau":
                continue
            lower = loss[place] < self.lowest[i]
            self.lowest[i] = loss[place] if lower else self.lowest[i]
            self.stalled[i] = 0 if lower else self.stalled[i] + 1
            if self.stalled[i] == schedule.period:
                self.drops[i] *= schedule.decay
                self.dropped = True
                self.stalled[i] = 0

    def _let_go(self, finite: np.ndarray) -> None:
        alive = np.array(self.alive)
        for place in np.flatnonzero(~finite):
            self._diverged(int(alive[place]))
        status = {int(place): "diverged: the loss was not finite" for place in np.flatnonzero(~finite)}
        if self.settings.patience and self.done < self.settings.steps:
            for place in np.flatnonzero(finite & (self.waited[alive] >= self.settings.patience)):
                status[int(place)] = EARLY
        kept = next((kept for step, kept in self.settings.rungs if self._passed(step)), None)
        if kept is not None:
            stay = [place for place in range(len(alive)) if place not in status]
            stay.sort(key=lambda place: (self.best[0, alive[place]], place))
            status |= dict.fromkeys(stay[kept:], RUNG)
        for text in set(status.values()):
            self.retire([place for place, name in status.items() if name == text], text, slice_now=False)
        if status:
            self._slice([place for place in range(len(alive)) if place not in status])

    def leave(self, places: Sequence[int], status: str) -> None:
        """Take members out of the stack."""
        self.retire(places, status, slice_now=False)
        if places:
            self._slice([place for place in range(len(self.alive)) if place not in set(places)])

    def _passed(self, rung: int) -> bool:
        """Whether this is the first evaluation at or after a rung."""
        return rung <= self.done < rung + self.settings.evaluate_every

    def _diverged(self, member: int) -> None:
        self.findings.append(
            Finding(
                code="diverged",
                severity="note",
                sentence=f"a network diverged ({self.members[member].label or member}) and was removed from the "
                "population",
                evidence={"member": member, "step": self.done, "rate": self.members[member].learning_rate},
                remedy="use a lower learning rate, or clip the gradient",
                source="S4-40",
            )
        )

    def retire(self, places: Sequence[int] | range, status: str, *, slice_now: bool = True) -> None:
        """Note why members leave."""
        for place in places:
            self.status[self.alive[place]] = status
        if slice_now:
            gone = set(places)
            self.alive = [i for place, i in enumerate(self.alive) if place not in gone]

    def _slice(self, places: list[int]) -> None:
        self.alive = [self.alive[place] for place in places]
        if places:
            self.population.keep(places)

    def snapshot(self) -> Snapshot:
        """Everything that the next step depends on."""
        population = self.population
        tensors = {
            "parameters": population.parameters,
            "buffers": population.buffers,
            "losses": population.losses(),
            "best": torch.from_numpy(self.best),
            "reference": torch.from_numpy(self.reference),
            "waited": torch.from_numpy(self.waited),
            "lowest": torch.from_numpy(self.lowest),
            "stalled": torch.from_numpy(self.stalled),
            "drops": torch.from_numpy(self.drops),
            "best_parameters": self.parameters,
            "best_buffers": self.buffers,
            "generators": torch.stack([generator.get_state() for generator in population.generators]),
            "step_losses": torch.from_numpy(np.concatenate([np.zeros((0, len(self.members))), *self.history.steps])),
            **{f"rule.{name}": value for name, value in population.rule_state.items()},
        }
        facts: dict[str, Any] = {
            "done": self.done,
            "layout": population.kind.layout,
            "plan": self.plan,
            "alive": list(self.alive),
            "status": list(self.status),
            "history": list(self.history.rows),
            "findings": [finding.to_json() for finding in self.findings],
        }
        return Snapshot({name: value.clone() for name, value in tensors.items()}, facts)

    def restore(self, saved: Snapshot) -> None:
        """Go on from a snapshot."""
        tensors, facts = saved.tensors, saved.facts
        if facts.get("plan") != self.plan:
            raise InputError(
                "the checkpoint belongs to another training",
                expected=f"networks, settings and rows as now ({self.plan})",
                received=f"those of {facts.get('plan')}",
                remedy="delete it, or choose another file",
            )
        self.alive = [int(i) for i in facts["alive"]]
        if self.alive:
            self.population.keep(self.alive)
            self.population.parameters.copy_(tensors["parameters"])
            self.population.buffers.copy_(tensors["buffers"])
            self.population.restart_losses(tensors["losses"].clone())
            for name, value in self.population.rule_state.items():
                value.copy_(tensors[f"rule.{name}"])
            for generator, state in zip(self.population.generators, tensors["generators"], strict=True):
                generator.set_state(state.clone())  # a row of a larger tensor is not enough for it
        self.done, self.status = facts["done"], list(facts["status"])
        self.best, self.reference = tensors["best"].numpy().copy(), tensors["reference"].numpy().copy()
        self.waited = tensors["waited"].numpy().copy()
        self.lowest, self.stalled, self.drops = (
            tensors[name].numpy().copy() for name in ("lowest", "stalled", "drops")
        )
        self.dropped = bool((self.drops != 1).any())
        self.parameters, self.buffers = tensors["best_parameters"].clone(), tensors["best_buffers"].clone()
        steps = [tensors["step_losses"].numpy().copy()] if self.settings.every_step else []
        self.history = History([list(row) for row in facts["history"]], self.settings.metrics, steps)
        self.findings = [Finding(**finding) for finding in facts["findings"]]

    def outcome(self) -> Outcome:
        """The result in the members' original order."""
        return Outcome(
            members=self.members,
            history=self.history,
            steps_done=self.done,
            status=self.status,
            findings=self.findings,
            best_validation_loss=np.where(self.best[3] > 0, self.best[0], np.nan),
            best_validation_score=self.best[1],
            best_train_loss=self.best[2],
            best_step=self.best[3].astype(int),
            parameters=self.parameters,
            buffers=self.buffers,
        )
