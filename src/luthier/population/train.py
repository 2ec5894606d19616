"""The training loop: many members, one program, readable from top to bottom.

M members alive, B batch, S steps, P parameters. What a member gets does not depend on its company:
its initial weights and dropout masks come from its own generators, and its arithmetic is its own
rows of the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from luthier.nets import DenseNet, build
from luthier.objective import LOSSES, mean_gradient, mean_loss, score_rows
from luthier.optimise import RULES, clip_by_norm
from luthier.population.history import History
from luthier.population.member import Member
from luthier.population.settings import Checkpointer, Evaluation, Part, Settings, Snapshot, Stop, never
from luthier.population.stack import (
    Batch,
    Masks,
    Stack,
    fresh_buffers,
    fresh_parameters,
    views,
    weight_mask,
)
from luthier.records import Finding
from luthier.seeds import torch_generator

EVALUATED_AT_ONCE = 2**23  # numbers of one layer's activations held while evaluating
FINISHED, EARLY, CUT, RUNG = "finished", "early stopped", "cut", "cut at rung"


@dataclass
class Outcome:
    """What came of a population, by the members' original order.

    `best_*` belong to the weights with the lowest validation loss, which are the ones kept; without
    a validation part they are the last. `status` is "finished", "early stopped", "cut at rung",
    "cut" or "retired: ...".
    """

    members: tuple[Member, ...]
    history: History
    steps_done: int
    status: list[str]
    findings: list[Finding]
    best_validation_loss: np.ndarray
    best_validation_score: np.ndarray
    best_train_loss: np.ndarray
    best_step: np.ndarray
    parameters: Tensor
    buffers: Tensor

    def state_dict(self, member: int) -> dict[str, Tensor]:
        """The kept weights and buffers of one member, under the names of its module."""
        spec = self.members[member].spec
        rows = slice(member, member + 1)
        named = {
            **views(self.parameters[rows], spec.shapes()),
            **views(self.buffers[rows], spec.buffer_shapes()),
        }
        return {name: value[0].clone() for name, value in named.items()}

    def module(self, member: int) -> DenseNet:
        """One member, cut out as an ordinary module in evaluation mode."""
        net = build(self.members[member].spec, seed=self.members[member].seed).to(self.parameters.dtype)
        net.load_state_dict(self.state_dict(member))
        return net.eval()

    def logits(self, features: Tensor, codes: Tensor) -> Tensor:
        """Outputs of all members' kept weights [M, N, C]."""
        return evaluate(Stack(self.members[0].spec, self.parameters, self.buffers), features, codes)


def evaluate(stack: Stack, features: Tensor, codes: Tensor) -> Tensor:
    """Outputs [M, N, C] in evaluation mode, in blocks of rows so that memory stays bounded."""
    widest = max((*stack.spec.hidden, stack.spec.inputs + stack.spec.embedding_width, stack.spec.outputs))
    block = max(1, EVALUATED_AT_ONCE // (len(stack) * widest))
    rows = range(0, len(features), block)
    return torch.cat([stack.logits(features[i : i + block], codes[i : i + block]) for i in rows], 1)


class Population:
    """The state of training: what a step reads and changes, for the members still alive."""

    def __init__(self, members: Sequence[Member], settings: Settings, rows: int) -> None:
        spec = members[0].spec
        if any(member.spec != spec for member in members):
            raise ValueError("members of a population share one spec; make a population for each architecture")
        self.settings, self.rows = settings, rows
        self.members = list(members)
        self.rule = RULES[settings.rule]
        dtype = settings.dtype
        self._use(
            Stack(
                spec,
                fresh_parameters(spec, [member.seed for member in members], dtype),
                fresh_buffers(spec, len(members), dtype),
            )
        )
        self.rule_state = self.rule.init(self.stack.parameters)
        self.generators = [torch_generator(member.seed, "masks") for member in members]
        self._set_hyper()

    def _use(self, stack: Stack) -> None:
        self.stack = stack

    def _set_hyper(self) -> None:
        dtype, total = self.settings.dtype, self.settings.steps
        members = self.members

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=dtype).unsqueeze(1)

        self.hyper = {
            "momentum": column([member.momentum for member in members]),
            "beta1": column([member.betas[0] for member in members]),
            "beta2": column([member.betas[1] for member in members]),
            "epsilon": column([member.epsilon for member in members]),
        }
        self.rates = torch.tensor(
            [[m.learning_rate * m.schedule.factor(step, total) for m in members] for step in range(total)],
            dtype=dtype,
        ).unsqueeze(2)  # [S, M, 1]
        self._l2 = self._decay = self._clip = None
        mask = weight_mask(self.stack.spec, dtype)
        if any(member.l2 for member in members):
            self._l2 = column([member.l2 / self.rows for member in members]) * mask
        if any(member.weight_decay for member in members):
            self._decay = column([member.weight_decay for member in members]) * mask
        if any(member.clip_norm != float("inf") for member in members):
            self._clip = column([member.clip_norm for member in members])

    def step(self, batch: Batch, number: int, rates: Tensor) -> Tensor:
        """One update of every member with its own rate [M, 1]; returns the losses [M] before it.

        `number` counts from 1.
        """
        stack, loss = self.stack, LOSSES[self.settings.loss]
        masks = self._masks(len(batch.targets))
        Z, kept = stack.forward(batch, masks)
        losses = mean_loss(loss.rows(Z, batch.targets), batch.weights)
        stack.backward(batch, mean_gradient(loss.residual(Z, batch.targets), batch.weights), kept, masks)
        if self._l2 is not None:
            stack.gradients.addcmul_(self._l2, stack.parameters)
        if self._clip is not None:
            clip_by_norm(stack.gradients, self._clip)
        if self._decay is not None:
            stack.parameters.addcmul_(stack.parameters, self._decay * rates, value=-1)
        self.rule.update(stack.parameters, stack.gradients, self.rule_state, {**self.hyper, "rate": rates}, number)
        return losses

    def _masks(self, rows: int) -> Masks:
        """Dropout masks [M, B, H] of each layer, drawn by each member's own generator, already inverted."""
        masks: Masks = []
        for i, units in enumerate(self.stack.spec.hidden):
            drops = [member.drop_rates[i] for member in self.members]
            if not any(drops):
                masks.append(None)
                continue
            mask = torch.ones(len(self.members), rows, units, dtype=self.settings.dtype)
            for m, p in enumerate(drops):
                if p:
                    mask[m].bernoulli_(1 - p, generator=self.generators[m]).mul_(1 / (1 - p))
            masks.append(mask)
        return masks

    def keep(self, places: Sequence[int]) -> None:
        """Slice the stack down to the members at these places."""
        index = torch.tensor(places)
        self.members = [self.members[i] for i in places]
        self.generators = [self.generators[i] for i in places]
        self._use(Stack(self.stack.spec, self.stack.parameters[index], self.stack.buffers[index]))
        self.rule_state = {name: value[index] for name, value in self.rule_state.items()}
        self._set_hyper()


class _Batches:
    """Batches in an order that follows from the seed and the step alone, so any step can be resumed."""

    def __init__(self, part: Part, size: int, seed: int) -> None:
        self.part, self.size, self.seed = part, min(size, len(part)), seed
        self.epoch_steps = -(-len(part) // self.size)
        self._epoch = -1

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(step, self.epoch_steps)
        if epoch != self._epoch:
            order = torch.randperm(len(self.part), generator=torch_generator(self.seed, "order", epoch))
            p = self.part
            weights = None if p.weights is None else p.weights[order]
            self._shuffled = Part(p.features[order], p.codes[order], p.targets[order], weights)
            self._epoch = epoch
        rows, p = slice(place * self.size, (place + 1) * self.size), self._shuffled
        return Batch(p.features[rows], p.codes[rows], p.targets[rows], None if p.weights is None else p.weights[rows])


def train(
    members: Sequence[Member],
    training: Part,
    validation: Part | None,
    settings: Settings,
    *,
    stop: Stop = never,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: Checkpointer | None = None,
) -> Outcome:
    """Train members together and keep each one's best weights.

    `stop` is asked before every step with the steps done, and ends training there. With a
    `checkpoint`, training goes on from its saved state bit for bit.
    """
    torch.set_flush_denormal(True)  # moments of dead inputs go denormal and cost a fifth of the time
    run = _Run(members, training, validation, settings)
    if checkpoint is not None and (saved := checkpoint.load()) is not None:
        run.restore(saved)
    while run.alive and run.done < settings.steps:
        if stop(run.done):
            run.retire(range(len(run.alive)), CUT)
            break
        batch = run.batches.at(run.done)
        run.losses += run.population.step(batch, run.done + 1, run.population.rates[run.done])
        run.done += 1
        if run.done % settings.evaluate_every == 0 or run.done == settings.steps:
            run.evaluate(on_evaluation)
        if checkpoint is not None and checkpoint.due():
            checkpoint.save(run.snapshot())
    run.retire(range(len(run.alive)), FINISHED)
    return run.outcome()


class _Run:
    """The loop's bookkeeping: who is alive, what was best, what was measured."""

    def __init__(self, members: Sequence[Member], training: Part, validation: Part | None, settings: Settings) -> None:
        self.members, self.settings, self.validation = (
            tuple(members),
            settings,
            _cast(validation, settings.dtype),
        )
        cast = _cast(training, settings.dtype)
        assert cast is not None
        self.population = Population(members, settings, len(training))
        self.batches = _Batches(cast, settings.batch_size, settings.batch_seed)
        count = len(members)
        self.alive = list(range(count))
        self.done = self.since = 0
        self.losses = torch.zeros(count, dtype=settings.dtype)
        self.history = History()
        self.findings: list[Finding] = []
        self.status = [""] * count
        self.best = np.full((4, count), np.nan)  # validation loss, score, training loss, step
        self.best[0], self.best[3] = np.inf, 0
        self.reference = np.full(count, np.inf)  # the loss that early stopping must improve on
        self.waited = np.zeros(count, dtype=int)
        self.parameters = self.population.stack.parameters.clone()
        self.buffers = self.population.stack.buffers.clone()

    def evaluate(self, watch: Callable[[Evaluation], None] | None) -> None:
        """Measure all members alive, keep what is best, and let go of who diverged, stalled or lost."""
        train_loss = (self.losses / max(1, self.done - self.since)).double().numpy()
        self.losses, self.since = torch.zeros(len(self.alive), dtype=self.settings.dtype), self.done
        loss, score = self._validate(train_loss)
        rates = self.population.rates[self.done - 1, :, 0].tolist()
        epoch = self.done / self.batches.epoch_steps
        for place, i in enumerate(self.alive):
            row = (self.members[i].label, self.done, epoch, rates[place])
            self.history.append(i, *row, float(train_loss[place]), float(loss[place]), float(score[place]))
        self._keep_best(loss, score, train_loss)
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

    def _validate(self, train_loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        part = self.validation
        if part is None:
            return train_loss, np.full(len(self.alive), np.nan)
        Z = evaluate(self.population.stack, part.features, part.codes)
        losses = mean_loss(LOSSES[self.settings.loss].rows(Z, part.targets), part.weights)
        scores = mean_loss(score_rows(Z, part.targets, self.settings.loss), part.weights).double().numpy()
        return losses.double().numpy(), np.sqrt(scores) if self.settings.loss == "mse" else scores

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
            self.parameters[target] = self.population.stack.parameters[source]
            self.buffers[target] = self.population.stack.buffers[source]

    def _let_go(self, finite: np.ndarray) -> None:
        alive = np.array(self.alive)
        for place in np.flatnonzero(~finite):
            self._diverged(int(alive[place]))
        status = {int(place): "retired: the loss was not finite" for place in np.flatnonzero(~finite)}
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

    def _passed(self, rung: int) -> bool:
        """Whether this is the first evaluation at or after a rung."""
        return rung <= self.done < rung + self.settings.evaluate_every

    def _diverged(self, member: int) -> None:
        self.findings.append(
            Finding(
                code="diverged",
                severity="note",
                sentence=f"a network diverged ({self.members[member].label or member}) and was taken out of its stack",
                evidence={"member": member, "step": self.done, "rate": self.members[member].learning_rate},
                remedy="a lower rate, or clipping",
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
            self.losses = self.losses[torch.tensor(places)]

    def snapshot(self) -> Snapshot:
        """Everything that the next step depends on."""
        population = self.population
        tensors = {
            "parameters": population.stack.parameters,
            "buffers": population.stack.buffers,
            "losses": self.losses,
            "best": torch.from_numpy(self.best),
            "reference": torch.from_numpy(self.reference),
            "waited": torch.from_numpy(self.waited),
            "best_parameters": self.parameters,
            "best_buffers": self.buffers,
            "generators": torch.stack([generator.get_state() for generator in population.generators]),
            **{f"rule.{name}": value for name, value in population.rule_state.items()},
        }
        facts: dict[str, Any] = {
            "done": self.done,
            "since": self.since,
            "alive": self.alive,
            "status": self.status,
            "history": self.history.rows,
            "findings": [finding.to_json() for finding in self.findings],
        }
        return Snapshot({name: value.clone() for name, value in tensors.items()}, facts)

    def restore(self, saved: Snapshot) -> None:
        """Go on from a snapshot."""
        tensors, facts = saved.tensors, saved.facts
        self.alive = [int(i) for i in facts["alive"]]
        if self.alive:
            self.population.keep(self.alive)
            self.population.stack.parameters.copy_(tensors["parameters"])
            self.population.stack.buffers.copy_(tensors["buffers"])
            for name, value in self.population.rule_state.items():
                value.copy_(tensors[f"rule.{name}"])
            for generator, state in zip(self.population.generators, tensors["generators"], strict=True):
                generator.set_state(state)
        self.done, self.since, self.status = facts["done"], facts["since"], list(facts["status"])
        self.losses = tensors["losses"].clone()
        self.best, self.reference = tensors["best"].numpy().copy(), tensors["reference"].numpy().copy()
        self.waited = tensors["waited"].numpy().copy()
        self.parameters, self.buffers = tensors["best_parameters"].clone(), tensors["best_buffers"].clone()
        self.history = History([list(row) for row in facts["history"]])
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


def _cast(part: Part | None, dtype: torch.dtype) -> Part | None:
    if part is None:
        return None
    targets = part.targets if part.targets.dtype == torch.int64 else part.targets.to(dtype)
    weights = None if part.weights is None else part.weights.to(dtype)
    return Part(part.features.to(dtype), part.codes, targets, weights)
