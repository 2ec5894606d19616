"""Members that train together, cut into blocks that fit the cache; and their step.

M members, B batch, S steps, P numbers of one member's row, Q of its buffers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.engine.dense.dense_learner import DenseLearner
from luthier.engine.members.batches import Batch, exact
from luthier.engine.members.masks import mask_seeds
from luthier.engine.members.member import Member
from luthier.engine.members.scheduled import Followed
from luthier.engine.members.settings import Settings
from luthier.engine.members.sharing import several_processes
from luthier.engine.members.state import Learner, TrainState
from luthier.engine.populations.architecture import architecture
from luthier.engine.populations.distributed import shared
from luthier.engine.populations.graphs import STRETCH, StepGraphs
from luthier.engine.populations.loss_buffer import LossBuffer
from luthier.engine.populations.member_update import Architecture, UpdatedMembers, plain_shrink, update_for
from luthier.engine.populations.rates import Rates
from luthier.errors import ConfigError, InputError
from luthier.objective import loss_named, smoothings
from luthier.optimise import Step, Update
from luthier.rows import Rows

RECORDED_FROM = 128  # steps of a training: a recording takes as long as the steps that it holds
STRETCHED = 2048  # networks' steps between looks at the clock, where blocks take turns


class Block(NamedTuple):
    """Members that step together, over views of the population's state.

    `folds` [M], perhaps as a slice, are those that members do not learn from, where they have rows of their own. A
    block that `descends` subtracts its gradients, and `shrink` [M, P] of its weights, without storing them. With
    `graphs` steps of one size are launched together. Hyper-parameters that follow schedules are in `followed`.
    """

    places: slice
    learner: Learner
    update: Update
    losses: LossBuffer
    descends: bool
    shrink: Tensor | None
    folds: Tensor | slice | None
    graphs: StepGraphs | None = None
    followed: Followed | None = None

    def steps(self, several: Sequence[Sequence[Batch]], number: int, rates: Sequence[Tensor]) -> None:
        """Updates, each from the mean gradient over its batches; the first is the `number`-th, counted from 1.

        `rates` are those of all members of the population [N, 1] at each step.
        """
        alone = len(rates[0]) == len(self.learner.seeds)
        own = {id(rate): rate if alone else rate[self.places] for rate in rates}
        rates = [own[id(rate)] for rate in rates]
        if self.graphs is None:
            self.run(several, number, rates, self.losses)
        else:
            self.graphs.steps(several, number, rates, self.losses)

    def run(
        self,
        several: Sequence[Sequence[Batch]],
        number: int | Tensor,
        rates: Sequence[Tensor],
        losses: LossBuffer,
    ) -> None:
        """The same with rates [M, 1] of this block's members, their losses noted where it is asked for.

        Of steps that are recorded the number is a tensor [].
        """
        learner, state = self.learner, self.learner.state
        for place, (batches, rate) in enumerate(zip(several, rates, strict=True)):
            if self.folds is not None:
                batches = [batch.of_folds(self.folds) for batch in batches]
            step = number + place
            if self.followed is not None:
                assert isinstance(step, int)
                self.followed.write(step - 1)
            first = (step - 1) * len(batches)
            if self.descends and len(batches) == 1 and isinstance(learner, DenseLearner):
                losses.add(learner.descend(batches[0], first, rate, self.shrink), batches[0])
                continue
            if len(batches) == 1:
                losses.add(learner.gradients(batches[0], first), batches[0])
            else:
                self._accumulate(batches, first, losses)
            # Of networks in half precision these are copies: what a step changes would be rounded away there.
            P, G = (values.to(exact(values.dtype)) for values in (state.parameters, state.gradients))
            count = step.to(P.dtype) if isinstance(step, Tensor) else step
            self.update.update(P, G, state.rule, Step(rate, count))
            if P is not state.parameters:
                state.parameters.copy_(P)

    def _accumulate(self, batches: Sequence[Batch], first: int | Tensor, losses: LossBuffer) -> None:
        """Fill the gradients of the mean loss over several batches."""
        gradients, total = self.learner.state.gradients, sum(batch.weight for batch in batches)
        summed = torch.zeros_like(gradients)
        for place, batch in enumerate(batches):
            losses.add(self.learner.gradients(batch, first + place, batch.weight / total), batch)
            summed += gradients
        gradients.copy_(summed)


@dataclass(frozen=True, eq=False)
class Population:
    """Members that share architecture, rule and batch size, with the state that their steps write into.

    `rows` [M] are the training rows of each. `folds` [M] are those that members do not learn from, where they have rows
    of their own.
    """

    members: Sequence[Member]
    settings: Settings
    rows: Sequence[int]
    state: TrainState
    folds: Tensor | None = None

    @classmethod
    def of(
        cls,
        members: Sequence[Member],
        settings: Settings,
        rows: int | Sequence[int],
        initial: Sequence[Mapping[str, Tensor]] | None = None,
        folds: Tensor | None = None,
    ) -> Population:
        """A population before its first step, with weights of the members' seeds or with those given."""
        _check_alike(members)
        kind, dtype = architecture(members[0].spec), settings.dtype
        drawn = (
            kind.fresh([member.seed for member in members], dtype) if initial is None else kind.filled(initial, dtype)
        )
        parameters, buffers = (tensor.to(settings.device) for tensor in drawn)  # the same numbers on every device
        rows = [rows] * len(members) if isinstance(rows, int) else rows
        gradients = torch.zeros_like(parameters[: _block_size(kind, members, settings)])
        update = update_for(UpdatedMembers(kind, members, settings.rule, rows, exact(dtype), settings.device))
        state = TrainState(parameters, buffers, gradients, update.init(parameters.to(exact(dtype))))
        return cls(tuple(members), settings, rows, state, folds)

    def keep(self, places: Sequence[int]) -> Population:
        """The population of the members at these places; losses are forgotten."""
        index = torch.tensor(places, device=self.state.parameters.device)
        members, folds = [self.members[i] for i in places], None if self.folds is None else self.folds[list(places)]
        state = self.state.rows(index)
        size = _block_size(self.kind, members, self.settings)
        state = state._replace(gradients=self.state.gradients[:size])
        return Population(members, self.settings, [self.rows[i] for i in places], state, folds)

    @property
    def kind(self) -> Architecture:
        """How the members' networks are laid out."""
        return architecture(self.members[0].spec)

    @cached_property
    def rates(self) -> Rates:
        """Each member's rate at each step."""
        return Rates(self.members, self.settings)

    @cached_property
    def blocks(self) -> list[Block]:
        """The members in blocks as even as can be, which take turns."""
        size, first = len(self.state.gradients), self.state.gradients
        # Each lane's memory begins where memory is allocated: products round by how their operands are aligned.
        own = [first, *(torch.zeros_like(first) for _ in range(self._lanes - 1))]
        starts = range(0, len(self.members), size)
        return [self._block(slice(start, start + size), own[k % len(own)]) for k, start in enumerate(starts)]

    @cached_property  # asked for at every step: of a small network this took a tenth of it
    def lanes(self) -> list[list[Block]]:
        """The blocks that may step at the same time, in turns within a lane: those of one share their gradients."""
        return [self.blocks[lane :: self._lanes] for lane in range(self._lanes)]

    @property
    def _lanes(self) -> int:
        """How many blocks step at a time: one where a module draws from PyTorch's generator, or processes share."""
        if self.settings.device.type != "cpu" or several_processes() or getattr(self.kind.spec, "draws", False):
            return 1
        return min(self.settings.threads, -(-len(self.members) // len(self.state.gradients)))

    @cached_property
    def multi_step_length(self) -> int:
        """How many steps are made at a time: one where all members are one block and nothing is recorded."""
        if self.blocks[0].graphs is not None:
            return STRETCH
        return 1 if len(self.blocks) == 1 else max(1, STRETCHED // len(self.members))

    def _block(self, places: slice, gradients: Tensor) -> Block:
        kind, settings, members, dtype = self.kind, self.settings, self.members[places], exact(self.settings.dtype)
        state, loss = self.state.rows(places), loss_named(settings.loss)
        state = state._replace(gradients=gradients[: len(members)])
        seeds = mask_seeds([member.seed for member in members], settings.device)
        drops = torch.tensor([member.drop_rates for member in members], dtype=torch.float64)
        smoothing = smoothings([member.label_smoothing for member in members], exact(dtype), settings.device)
        own = kind.learner(state, seeds, drops, loss, settings, smoothing)
        learner = shared(own, (members[0].spec, settings), loss)
        follows = any(member.schedules for member in members)
        followed = Followed([member.schedules for member in members], settings.steps) if follows else None
        if followed is not None:
            _follow(followed, own, shared=learner is not own)
        averages = "average" in self.state.rule  # of some members, perhaps of other blocks
        of = UpdatedMembers(kind, members, settings.rule, self.rows[places], dtype, settings.device, averages)
        descends, shrink = plain_shrink(of)
        nothing = torch.zeros(0, len(members), dtype=dtype, device=settings.device)
        folds = None if self.folds is None else _in_order(self.folds[places].to(settings.device))
        fresh = partial(LossBuffer, loss, nothing)
        update = update_for(of, followed)
        block = Block(places, learner, update, fresh(), descends, shrink, folds, followed=followed)
        replays = settings.cuda_graphs and settings.device.type == "cuda" and settings.steps >= RECORDED_FROM
        if followed is not None or not (replays and isinstance(learner, DenseLearner)):
            return block
        return block._replace(graphs=StepGraphs(block.run, fresh))

    def step(self, batches: Sequence[Batch], number: int, rates: Tensor) -> None:
        """One update of every member with its own rate [M, 1], from the mean gradient over all `batches`."""
        for block in self.blocks:
            block.steps([batches], number, [rates])

    def losses(self) -> Tensor:
        """Training losses [S, M] of the batches since `restart_losses`, each before its update; on the processor."""
        return torch.cat([block.losses.losses() for block in self.blocks], 1).cpu()

    def restart_losses(self, losses: Tensor | None = None) -> None:
        """Forget the losses so far, or take these [S, M] for them."""
        for block in self.blocks:
            known = block.losses.losses()[:0]
            given = known if losses is None else losses[:, block.places].to(known.device)
            block.losses.restart(given)

    def outputs(self, part: Rows, places: Tensor | None = None) -> Tensor:
        """Outputs [M, N, C] in evaluation mode for a prepared part, of all members or of those at some places.

        On the population's device, wherever the part is.
        """
        weights, buffers = self.state.weights, self.state.buffers
        if places is not None:
            weights, buffers = weights[places], buffers[places]
        return self.kind.evaluate(weights, buffers, part)


def _follow(followed: Followed, learner: Learner, *, shared: bool) -> None:
    """What a learner reads that follows a schedule."""
    if shared:
        raise ConfigError(["processes cannot share batches with schedules"], remedy='shared="members"')
    followed.call("dropout", learner.scale_dropout)
    if learner.smoothing is not None:
        followed.tensor("label_smoothing", learner.smoothing)


def _in_order(folds: Tensor) -> Tensor | slice:
    """The folds [M], as a slice where each follows the one before: that takes no copies."""
    first = int(folds[0])
    whole = folds.tolist() == list(range(first, first + len(folds)))
    return slice(first, first + len(folds)) if whole else folds


def _block_size(kind: Architecture, members: Sequence[Member], settings: Settings) -> int:
    """Members of a block: as many as fit the processor's cache, and as even as can be; all of them elsewhere."""
    most = kind.block_members(settings) if settings.device.type == "cpu" else len(members)
    count = max(-(-len(members) // min(most, len(members))), settings.blocks if settings.device.type == "cpu" else 1)
    return -(-len(members) // count)


def _check_alike(members: Sequence[Member]) -> None:
    if any(member.spec != members[0].spec for member in members):
        raise ValueError("members of a population must share one spec; make one population per architecture")
    if len({(member.noise, member.mixup) for member in members}) > 1:
        raise InputError(
            "members of a population must have the same noise and mixup", remedy="give all the same noise and mixup"
        )
