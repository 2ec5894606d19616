"""The state of training and its step. M members alive, B batch, S steps, P numbers of one member's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from luthier.averages import follow
from luthier.engine.architecture import architecture
from luthier.engine.batches import Batch, Batches, cast, exact
from luthier.engine.distributed import leader
from luthier.engine.loss_buffer import LossBuffer
from luthier.engine.member import Member
from luthier.engine.mixing import AugmentedBatches, BatchSource
from luthier.engine.module_spec import ModuleSpec
from luthier.engine.module_stacks import as_rows
from luthier.engine.modules import Modules
from luthier.engine.rates import Rates
from luthier.engine.settings import Part, Settings
from luthier.engine.stack import Masks, Stack
from luthier.engine.streams import Stream, StreamedBatches
from luthier.errors import InputError
from luthier.nets import DenseSpec, TextSpec
from luthier.objective import Criterion, Loss, check_metric, column, loss_named, mean_gradient
from luthier.optimise import RULES, State, clip_by_norm, clip_by_value
from luthier.seeds import torch_generator

CHECKED_ROWS = 7  # that outputs are looked at for
STRETCHED = 2048  # networks' steps between looks at the clock, where blocks take turns


class Population:
    """The state of training: what a step reads and changes, for the members still alive."""

    def __init__(
        self,
        members: Sequence[Member],
        settings: Settings,
        rows: int,
        initial: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.kind = architecture(members[0].spec)
        self.spec = self.kind.spec
        if any(member.spec != members[0].spec for member in members):
            raise ValueError("members of a population must share one spec; make one population per architecture")
        if len({(member.noise, member.mixup) for member in members}) > 1:
            raise InputError(
                "members of a population must have the same noise and mixup", remedy="give all the same noise and mixup"
            )
        self.settings, self.rows, self._fresh = settings, rows, initial is None
        self.members = list(members)
        self.rule, self.loss = RULES[settings.rule], loss_named(settings.loss)
        dtype, self.dtype = settings.dtype, exact(settings.dtype)
        self.parameters, self.buffers = (
            self.kind.fresh([member.seed for member in members], dtype)
            if initial is None
            else self.kind.filled(initial, dtype)
        )
        self.rule_state = self.rule.init(self.parameters.to(self.dtype))
        if any(member.ema_decay for member in members):
            self.rule_state["average"] = self.parameters.to(self.dtype, copy=True)
        self.generators = [torch_generator(member.seed, "masks") for member in members]
        self._divide(torch.zeros(0, len(members), dtype=self.dtype))

    def _divide(self, losses: Tensor) -> None:
        """Cut the members into blocks that fit the cache, over views of the same state."""
        self.rates = Rates(self.members, self.settings)
        size = min(self.kind.block_members(self.settings), len(self.members))
        count = -(-len(self.members) // size)
        size = -(-len(self.members) // count)  # as even as can be
        gradients = torch.zeros_like(self.parameters[:size])
        self.blocks = [
            _Block(self, slice(start, start + size), gradients, losses) for start in range(0, len(self.members), size)
        ]

        # How many steps are made at a time: one where all members are one block.
        self.multi_step_length = 1 if len(self.blocks) == 1 else max(1, STRETCHED // len(self.members))

    def step(self, batches: Sequence[Batch], number: int, rates: Tensor) -> None:
        """One update of every member with its own rate [M, 1], from the mean gradient over all `batches`.

        `number` counts from 1.
        """
        for block in self.blocks:
            block.step(batches, number, rates)

    def multi_step(self, batches: Sequence[Sequence[Batch]], number: int, rates: Sequence[Tensor]) -> None:
        """Several updates, the first of them the `number`-th; a block makes them all while the cache holds it."""
        for block in self.blocks:
            for place, (some, rate) in enumerate(zip(batches, rates, strict=True)):
                block.step(some, number + place, rate)

    def losses(self) -> Tensor:
        """Training losses [S, M] of the batches since `restart_losses`, each before its update."""
        return torch.cat([block.loss_buffer.losses() for block in self.blocks], 1)

    def restart_losses(self, losses: Tensor | None = None) -> None:
        """Forget the losses so far, or take these [S, M] for them."""
        losses = torch.zeros(0, len(self.members), dtype=self.dtype) if losses is None else losses
        for block in self.blocks:
            block.loss_buffer.restart(losses[:, block.places])

    @property
    def weights(self) -> Tensor:
        """What is evaluated and kept [M, P]: the parameters, or their moving average where members ask for it."""
        return self.rule_state.get("average", self.parameters).to(self.parameters.dtype)

    def prepared(self, part: Part) -> Part:
        """A part as this population's networks take it."""
        return self.kind.prepared(cast(part, self.settings.dtype))

    def batches(self, training: Part | Stream) -> BatchSource:
        """The batches that its settings ask for, changed by chance where its members are to see changed rows."""
        if self._fresh and isinstance(self.kind, Modules) and isinstance(training, Part):
            self.kind.inform(self.buffers, training)
        result: BatchSource = self._streamed(training) if isinstance(training, Stream) else self._held(training)
        first = self.members[0]
        if not (first.noise or first.mixup):
            return result
        if not isinstance(self.loss, Loss) or self.loss.couples:
            raise InputError("noise and mixup need a loss over single rows, given by name", remedy="leave them out")
        if isinstance(first.spec, TextSpec):
            raise InputError(
                "noise and mixup cannot be used with text", remedy="leave out noise and mixup; use word dropout instead"
            )
        outputs = self.spec.outputs if not isinstance(self.spec, ModuleSpec) else 0
        classes = outputs or self._classes(training)
        return AugmentedBatches(
            result,
            self.settings.batch_seed,
            noise=first.noise,
            mixup=first.mixup,
            classes=classes,
            has_bias_column=self.kind.has_bias_column,
        )

    def check(self, part: Part, what: str) -> None:
        """Raise InputError where a part's targets do not go with the loss, the metrics and the networks' outputs.

        What is wrong anywhere is found before the first step, not in the middle of an epoch.
        """
        loss, names = self.loss, self.settings.metrics
        if isinstance(loss, Criterion) and not names:
            return  # it looks at every new shape itself
        few = self.prepared(part.rows(torch.arange(min(CHECKED_ROWS, len(part)))))
        own = isinstance(loss, Loss) and loss.check is None
        if own or isinstance(self.spec, ModuleSpec):
            Z = as_rows(self.kind.evaluate(self.weights[:1], self.buffers[:1], few))
        else:
            Z = torch.zeros(1, len(few), self.spec.outputs)
        try:
            if isinstance(loss, Loss):
                loss.look(Z, few.targets, part.targets)
            for name in names:
                check_metric(name, Z.shape[-1], column(part.targets))
        except InputError as error:
            raise error.about(f"{what} rows") from None

    def _held(self, training: Part) -> Batches:
        if training.weights is not None and getattr(self.loss, "couples", False):
            raise InputError(
                "a loss over pairs of rows cannot use sample weights",
                remedy="leave out the weights, or sample rows by them",
            )
        return Batches(
            cast(training, self.settings.dtype),
            self.settings.batch_size,
            self.settings.batch_seed,
            prepare=self._prepared_targets,
            only_first=self.settings.only_first_batch,
            has_bias_column=self.kind.has_bias_column,
            least=self.spec.least_rows if isinstance(self.spec, ModuleSpec) else 1,
        )

    @staticmethod
    def _classes(training: Part | Stream) -> int:
        targets = training.targets if isinstance(training, Part) else training.rows.read(0, len(training)).targets
        return 0 if targets.is_floating_point() else int(targets.max()) + 1

    def _streamed(self, training: Stream) -> StreamedBatches:
        settings = self.settings
        if settings.only_first_batch:
            raise InputError(
                "training on one batch needs rows in memory", remedy="read a few rows of the stream into memory"
            )
        return StreamedBatches(
            training,
            settings.batch_size,
            settings.batch_seed,
            settings.dtype,
            prepare=self._prepared_targets,
            has_bias_column=self.kind.has_bias_column,
        )

    def _prepared_targets(self, targets: Tensor) -> Tensor | None:
        """The targets as the loss's residual takes them fastest."""
        prepare, spec = getattr(self.loss, "prepare", None), self.spec
        if prepare is None or not isinstance(spec, DenseSpec):
            return None
        result: Tensor = prepare(targets, spec.outputs, self.settings.dtype)
        return result

    def outputs(self, part: Part) -> Tensor:
        """Outputs [M, N, C] in evaluation mode for a prepared part."""
        return self.kind.evaluate(self.weights, self.buffers, part)

    def keep(self, places: Sequence[int]) -> None:
        """Slice the population down to the members at these places; their losses are forgotten."""
        index = torch.tensor(places)
        self.members = [self.members[i] for i in places]
        self.generators = [self.generators[i] for i in places]
        self.parameters, self.buffers = self.parameters[index], self.buffers[index]
        self.rule_state = {name: value[index] for name, value in self.rule_state.items()}
        self._divide(torch.zeros(0, len(places), dtype=self.dtype))


class _Block:
    """Members that step together: views of the population's state, and their hyper-parameters as columns."""

    def __init__(self, population: Population, places: slice, gradients: Tensor, losses: Tensor) -> None:
        settings, spec = population.settings, population.spec
        self.kind, self.coordinator = population.kind, leader()
        self._job = (population.members[0].spec, settings)  # as helpers know it
        self.places, self.members = places, population.members[places]
        self.rule, self.loss, self.dtype = population.rule, population.loss, population.dtype
        self.generators = population.generators[places]
        self.state: State = {name: value[places] for name, value in population.rule_state.items()}
        rows = (population.parameters[places], population.buffers[places], gradients[: len(self.members)])
        self.stack = population.kind.stack(*rows, settings)
        self.loss_buffer = LossBuffer(self.loss, losses[:, places])
        if isinstance(self.stack, Stack):
            if isinstance(self.loss, Criterion):
                raise InputError(
                    "dense networks need a Loss", remedy="make one from your function with custom_loss(rows)"
                )
            self._slope_of = self.loss.residual
        self._no_masks: Masks = [None] * len(spec.hidden)
        self._drops = any(any(member.drop_rates) for member in self.members)
        self._rates_of_all: Tensor | None = None
        self._rates = self._slopes = losses
        self._slopes_for = 0  # rows of the batch that they are for
        self._set_hyper(population.rows)

    def _set_hyper(self, rows: int) -> None:
        members, spec, dtype = self.members, self.stack.spec, self.dtype

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, dtype=dtype).unsqueeze(1)

        self.hyper = {
            "momentum": column([member.momentum for member in members]),
            "beta1": column([member.betas[0] for member in members]),
            "beta2": column([member.betas[1] for member in members]),
            "epsilon": column([_or(member.epsilon, self.rule.epsilon) for member in members]),
            "rho": column([_or(member.rho, self.rule.rho) for member in members]),
        }
        masks = [self.kind.weight_mask(dtype, biases=biases) for biases in (False, True)]

        def penalty(values: list[float]) -> Tensor | None:
            if not any(values):
                return None
            return torch.stack([value * masks[m.penalise_biases] for value, m in zip(values, members, strict=True)])

        self._l2 = penalty([member.l2 / rows for member in members])
        self._l1 = penalty([member.l1 / rows for member in members])
        self._decay = penalty([member.weight_decay for member in members])
        self._average = column([m.ema_decay for m in members]) if any(m.ema_decay for m in members) else None
        self._clip_norm = self._clip_value = None
        if any(member.clip_norm != inf for member in members):
            self._clip_norm = column([member.clip_norm for member in members])
        if any(member.clip_value != inf for member in members):
            self._clip_value = column([member.clip_value for member in members])
        self._factors = self._frozen = None
        groups = self.kind.group_of()  # [P]
        if any(member.layer_rates for member in members):
            every = [member.layer_rates or (1.0,) * spec.layers for member in members]
            self._factors = torch.tensor(every, dtype=dtype)[:, groups]
        if any(any(member.frozen_until) for member in members):
            every = [member.frozen_until or (0,) * spec.layers for member in members]
            self._frozen = torch.tensor(every)[:, groups]
        plain = self.rule is RULES["sgd"] and not any(member.momentum for member in members)
        extras = (self._l1, self._clip_norm, self._clip_value, self._factors, self._frozen)
        # What plain descent needs of a gradient is to be subtracted once: it is never stored.
        simple = isinstance(spec, DenseSpec) and not (spec.normalised or spec.embeddings)
        self._descends = simple and plain and all(extra is None for extra in extras)
        self._shrink = self._l2 if self._decay is None else self._decay + (0 if self._l2 is None else self._l2)

    def step(self, batches: Sequence[Batch], number: int, rates: Tensor) -> None:
        """One update; see Population.step."""
        if rates is not self._rates_of_all:
            self._rates_of_all, self._rates, self._slopes_for = rates, rates[self.places], 0
        if self._descends and len(batches) == 1 and self.coordinator is None and isinstance(self.stack, Stack):
            self._descend(self.stack, batches[0])
        else:
            self._gradients(batches)
            self._update(number, self._rates)
        if self._average is not None:
            # As long as there were few steps the average is of those: it starts at the first weights.
            now = self.stack.parameters.to(self.dtype)
            follow(self.state["average"], now, self._average.clamp_max(number / (number + 9)))

    def _descend(self, stack: Stack, batch: Batch) -> None:
        count, (residual, masks) = batch.targets.shape[0], self._residual(stack, batch)
        if batch.weights is None:
            if self._slopes_for != count:
                self._slopes_for, self._slopes = count, (self._rates / count).unsqueeze(2)
            residual.mul_(self._slopes)
        else:
            residual = mean_gradient(residual, batch.weights).mul_(self._rates.unsqueeze(2))
        shrink = None if self._shrink is None else self._shrink * self._rates * stack.parameters
        stack.descend(batch, residual, masks, shrink)

    def _gradients(self, batches: Sequence[Batch]) -> None:
        """Fill the gradients [M, P] of the mean loss over all batches."""
        stack = self.stack
        total = sum(batch.weight for batch in batches) if len(batches) > 1 else None
        summed: Tensor | None = None
        for place, batch in enumerate(batches):
            if self.coordinator is not None:
                masks = self._masks(len(batch.targets)) if self._drops else self._no_masks
                job = (self._job, stack, batch, self.loss, masks, self.generators)
                self.loss_buffer.put(self.coordinator.gradients(*job))
            elif isinstance(stack, Stack):
                self._backpropagate(stack, batch, total)
            else:
                self.loss_buffer.put(stack.learn(batch, self.loss, self.generators))
            if total is not None and not (self.coordinator is None and isinstance(stack, Stack)):
                stack.gradients.mul_(batch.weight / total)
            if total is not None:
                summed = stack.gradients.clone() if summed is None else summed.add_(stack.gradients)
                if place == len(batches) - 1:
                    stack.gradients.copy_(summed)

    def _backpropagate(self, stack: Stack, batch: Batch, total: float | None) -> None:
        residual, masks = self._residual(stack, batch)
        stack.backward(batch, mean_gradient(residual, batch.weights, total), masks)

    def _residual(self, stack: Stack, batch: Batch) -> tuple[Tensor, Masks]:
        """The derivative of each row's loss by the logits [M, B, C], and the masks they came with."""
        masks = self._masks(len(batch.targets)) if self._drops else self._no_masks
        Z = stack.forward(batch, masks)
        self.loss_buffer.add(Z, batch)
        residual = self._slope_of(Z, batch.targets if batch.prepared_targets is None else batch.prepared_targets)
        return residual, masks

    def _update(self, number: int, rates: Tensor) -> None:
        # Of networks in half precision these are copies: what a step changes would be rounded away there.
        P, G = self.stack.parameters.to(self.dtype), self.stack.gradients.to(self.dtype)
        count: int | Tensor = number
        if self._l2 is not None:
            G.addcmul_(self._l2, P)
        if self._l1 is not None:
            G.addcmul_(self._l1, P.sign())
        if self._frozen is not None and bool((self._frozen >= number).any()):
            G.mul_(self._frozen < number)
            rates = rates * (self._frozen < number)
        if self._clip_value is not None:
            clip_by_value(G, self._clip_value)
        if self._clip_norm is not None:
            clip_by_norm(G, self._clip_norm)
        if self._factors is not None:
            rates = rates * self._factors
        if self._decay is not None:
            P.addcmul_(P, self._decay * rates, value=-1)
        if self._frozen is not None:
            count = (number - self._frozen).clamp_min(1)  # each group's own steps
        self.rule.update(P, G, self.state, {**self.hyper, "rate": rates}, count)
        if P is not self.stack.parameters:
            self.stack.parameters.copy_(P)

    def _masks(self, rows: int) -> Masks:
        """Dropout masks [M, B, H] of each layer, drawn by each member's own generator, already inverted."""
        masks: list[Tensor | None] = []
        for i, units in enumerate(self.stack.spec.hidden):
            drops = [member.drop_rates[i] for member in self.members]
            if not any(drops):
                masks.append(None)
                continue
            mask = torch.ones(len(self.members), rows, units, dtype=self.dtype)
            for m, p in enumerate(drops):
                if p:
                    mask[m].bernoulli_(1 - p, generator=self.generators[m]).mul_(1 / (1 - p))
            masks.append(mask)
        return masks


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
