"""The state of training and its step, and the batches that feed it.

M members alive, B batch, S steps, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from luthier.objective import loss_named, mean_gradient, mean_loss
from luthier.optimise import RULES, clip_by_norm, clip_by_value
from luthier.population.member import Member
from luthier.population.settings import Part, Settings
from luthier.population.stack import Batch, Masks, Stack, fresh_buffers, fresh_parameters, weight_mask
from luthier.seeds import torch_generator

GATHERED_BYTES = 1 << 20  # of rows that are shuffled together


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
            "epsilon": column([_or(member.epsilon, self.rule.epsilon) for member in members]),
            "smoothing": column([_or(member.smoothing, self.rule.smoothing) for member in members]),
        }
        self.rates = torch.tensor(
            [[m.learning_rate * m.schedule.factor(step, total) for m in members] for step in range(total)],
            dtype=dtype,
        ).unsqueeze(2)  # [S, M, 1]
        self._drops = any(any(member.drop_rates) for member in members)
        mask = weight_mask(self.stack.spec, dtype)
        self._l2 = self._l1 = self._decay = self._clip_norm = self._clip_value = None
        if any(member.l2 for member in members):
            self._l2 = column([member.l2 / self.rows for member in members]) * mask
        if any(member.l1 for member in members):
            self._l1 = column([member.l1 / self.rows for member in members]) * mask
        if any(member.weight_decay for member in members):
            self._decay = column([member.weight_decay for member in members]) * mask
        if any(member.clip_norm != inf for member in members):
            self._clip_norm = column([member.clip_norm for member in members])
        if any(member.clip_value != inf for member in members):
            self._clip_value = column([member.clip_value for member in members])

    def step(self, batch: Batch, number: int, rates: Tensor) -> Tensor:
        """One update of every member with its own rate [M, 1]; returns the losses [M] before it.

        `number` counts from 1.
        """
        stack, loss = self.stack, loss_named(self.settings.loss)
        masks = self._masks(len(batch.targets))
        Z, kept = stack.forward(batch, masks)
        rows, residual = loss.rows_and_residual(Z, batch.targets)
        losses = mean_loss(rows, batch.weights)
        stack.backward(batch, mean_gradient(residual, batch.weights), kept, masks)
        if self._l2 is not None:
            stack.gradients.addcmul_(self._l2, stack.parameters)
        if self._l1 is not None:
            stack.gradients.addcmul_(self._l1, stack.parameters.sign())
        if self._clip_value is not None:
            clip_by_value(stack.gradients, self._clip_value)
        if self._clip_norm is not None:
            clip_by_norm(stack.gradients, self._clip_norm)
        if self._decay is not None:
            stack.parameters.addcmul_(stack.parameters, self._decay * rates, value=-1)
        self.rule.update(stack.parameters, stack.gradients, self.rule_state, {**self.hyper, "rate": rates}, number)
        return losses

    def _masks(self, rows: int) -> Masks:
        """Dropout masks [M, B, H] of each layer, drawn by each member's own generator, already inverted."""
        masks: Masks = []
        if not self._drops:
            return [None] * len(self.stack.spec.hidden)
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


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


class Batches:
    """Batches in an order that follows from the seed and the step alone, so any step can be resumed.

    Rows are gathered a few batches at a time, a piece that stays in the processor's cache, and then
    cut: gathering each batch by itself costs more calls, gathering a whole epoch costs memory traffic.
    """

    def __init__(self, part: Part, size: int, seed: int) -> None:
        self.size, self.seed = min(size, len(part)), seed
        self.epoch_steps = -(-len(part) // self.size)
        self._rows = len(part)
        self._whole = [t for t in (part.features, part.codes, part.targets, part.weights) if t is not None]
        row_bytes = sum(t[:1].numel() * t.element_size() for t in self._whole)
        self._together = max(1, GATHERED_BYTES // max(1, row_bytes * self.size))  # batches of a piece
        self._epoch, self._piece = -1, -1

    def at(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(step, self.epoch_steps)
        piece, place = divmod(place, self._together)
        if epoch != self._epoch:
            self._order = torch.randperm(self._rows, generator=torch_generator(self.seed, "order", epoch))
            self._epoch, self._piece = epoch, -1
        if piece != self._piece:
            rows = self._order[piece * self._together * self.size : (piece + 1) * self._together * self.size]
            cuts = [torch.split(tensor[rows], self.size) for tensor in self._whole]
            self._batches = [Batch(*cut) for cut in zip(*cuts, strict=True)]
            self._piece = piece
        return self._batches[place]


def cast(part: Part, dtype: torch.dtype) -> Part:
    """A part in the numbers' type that a population trains in; class numbers stay whole."""
    targets = part.targets if part.targets.dtype == torch.int64 else part.targets.to(dtype)
    weights = None if part.weights is None else part.weights.to(dtype)
    return Part(part.features.to(dtype), part.codes, targets, weights)
