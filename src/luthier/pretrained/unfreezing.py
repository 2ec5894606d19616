"""Unfreezing: which blocks of a network learn together with its head, at which rates, and what comes of it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from luthier.engine import Member, ModuleSpec, Settings, range_test, train
from luthier.engine.members.devices import CPU
from luthier.errors import LuthierError
from luthier.nets.blocks import freeze_all_but, has_norms
from luthier.nets.frozen import above_frozen
from luthier.optimise import Schedule
from luthier.rows import Inputs, Rows

DEEPER = 0.4  # times the rate of the block above where a test tells none (the 1 / 2.6 of Howard and Ruder 2018)
FAR = 3.0  # times a tested rate from which the rule of thumb's is tried beside it
KEPT, FOLLOWING = "kept", "following the batches"  # averages of batch norms in unfrozen blocks
AT_ONCE, MOST_KEPT = 64, 1 << 30  # rows through the frozen blocks; bytes of what frozen blocks give for all rows
RANGE_STEPS, LOWEST_RATE = 40, 1e-5

Depth = tuple[int, list[str], list[tuple[float, ...]]]  # blocks unfrozen, their names, and the rates to try
Above = tuple[nn.Module, "UnfreezingJob"]  # a network, and the job with the rows that it takes
Known = tuple[nn.Module, str, Above]  # of a whole network, above the blocks before one of them


@dataclass(frozen=True)
class UnfreezingJob:
    """What stays the same for every option."""

    loss: str
    training: Rows
    validation: Rows
    outputs: int
    epochs: float
    batch_size: int
    seed: int
    seeds: tuple[int, ...]
    device: torch.device = CPU
    _known: list[Known] = field(default_factory=list, repr=False, compare=False)  # the last one

    def above(self, net: nn.Module, blocks: Sequence[str], first: str) -> Above:
        """The network from its first block that learns on, and the job with what the frozen ones below give for all
        rows: worked out once, and kept until another block is the first. The whole network and the rows as they are
        where that cannot be.
        """
        if not (self._known and self._known[0][0] is net and self._known[0][1] == first):
            self._known[:] = [(net, first, self._apart(net, list(blocks)[: list(blocks).index(first)]))]
        return self._known[0][2]

    def _apart(self, net: nn.Module, frozen: list[str]) -> Above:
        parts = (self.training, self.validation)
        found = above_frozen(net, frozen, [one.inputs.only for one in parts], at_once=AT_ONCE, most_bytes=MOST_KEPT)
        if found is None:
            return net, self
        training, validation = (replace(one, inputs=Inputs(numbers=X)) for one, X in zip(parts, found[1], strict=True))
        return found[0], replace(self, training=training, validation=validation, _known=[])

    def settings(self, steps: int) -> Settings:
        """So many steps by Adam."""
        return Settings(
            loss=self.loss,
            rule="adam",
            batch_size=self.batch_size,
            steps=steps,
            evaluate_every=max(1, steps // 10),
            batch_seed=self.seed,
            device=self.device,
        )

    @property
    def steps(self) -> int:
        """Steps of blocks that learn."""
        return max(1, round(self.epochs * -(-len(self.training) // self.batch_size)))


def depths(
    job: UnfreezingJob, net: nn.Module, blocks: list[str], state: dict[str, Tensor], head_rate: float, most: int | None
) -> Iterator[Depth]:
    """How many blocks to try unfrozen (1, 2, 4, ... and all), their names, and the rates to try, worked out when asked.

    The rates are each block's by its own test; and, where that is far lower, those that fall from the head's by the
    rule of thumb: from a head that fits its few rows already a range test sees little to gain, however far there is to
    go.
    """
    lasting = len(blocks) - 1 if most is None else min(most, len(blocks) - 1)
    counts = sorted({*(1 << k for k in range(lasting.bit_length()) if 1 << k < lasting), lasting} - {0})
    rates, before = [head_rate], 0
    for count in counts:
        new = blocks[len(blocks) - 1 - count : len(blocks) - 1 - before]
        rate = _range_tested(*job.above(net, blocks, new[0]), state, new, rates[0])
        rates, before = [rate] * len(new) + rates, count
        falling = [head_rate * DEEPER**k for k in range(count, -1, -1)]
        choices = [tuple(rates)]
        if any(thumb > FAR * tested for thumb, tested in zip(falling, rates, strict=True)):
            choices.append(tuple(falling))
        yield count, blocks[len(blocks) - 1 - count :], choices


def best_way(
    job: UnfreezingJob,
    net: nn.Module,
    blocks: list[str],
    learning: list[str],
    choices: Sequence[tuple[float, ...]],
    starts: Sequence[dict[str, Tensor]],
) -> tuple[str, tuple[float, ...], list[dict[str, Tensor]]]:
    """The rates, and what batch norms do, with the lowest validation loss, and the states they led to."""
    net, job = job.above(net, blocks, learning[0])
    tried = {(KEPT, rates): _unfrozen(job, net, learning, rates, starts, KEPT) for rates in choices}
    rates = min(tried, key=lambda way: float(np.mean(tried[way][1])))[1]
    tried |= {
        (way, rates): _unfrozen(job, net, learning, rates, starts, way) for way in _ways(net, learning) if way != KEPT
    }
    best = min(tried, key=lambda way: float(np.mean(tried[way][1])))
    return *best, tried[best][0]


def _range_tested(
    net: nn.Module, job: UnfreezingJob, state: dict[str, Tensor], blocks: list[str], above: float
) -> float:
    """The rate of these blocks by a range test of theirs alone, not more than that of the ones above.

    A wider range would tell nothing: what lies beyond this one is not taken.
    """
    begun = copy.deepcopy(net)
    begun.load_state_dict({name: state[name] for name in begun.state_dict()})
    fallback = DEEPER * above
    try:
        spec = ModuleSpec(freeze_all_but(begun, blocks, norms_follow=False))
        picked = range_test(
            spec,
            job.training,
            job.settings(RANGE_STEPS),
            seeds=[job.seed],
            low=LOWEST_RATE / 10,
            high=1.0,
            widenings=0,
        ).pick
    except LuthierError:  # a loss that nothing moves tells no rate
        return fallback
    return float(np.clip(picked, LOWEST_RATE, max(LOWEST_RATE, above))) if np.isfinite(picked) else fallback


def _ways(net: nn.Module, learning: list[str]) -> tuple[str, ...]:
    """What batch norms of these blocks may do, where there are some."""
    return (KEPT, FOLLOWING) if any(has_norms(net.get_submodule(name)) for name in learning) else (KEPT,)


def _unfrozen(
    job: UnfreezingJob,
    net: nn.Module,
    learning: list[str],
    rates: tuple[float, ...],
    starts: Sequence[dict[str, Tensor]],
    norms: str,
) -> tuple[list[dict[str, Tensor]], list[float]]:
    """States of the lowest validation loss from each start, and those losses; infinite where training diverged."""
    states, losses = [], []
    top = max(rates)
    for start, s in zip(starts, job.seeds, strict=True):
        begun = copy.deepcopy(net)
        begun.load_state_dict({name: start[name] for name in begun.state_dict()})  # frozen blocks may be gone
        spec = ModuleSpec(freeze_all_but(begun, learning, norms_follow=norms == FOLLOWING), groups=learning)
        shares = tuple(rate / top for rate in rates)
        member = Member(spec, s, top, schedule=Schedule("cosine"), layer_rates=shares)
        outcome = train([member], job.training, job.validation, job.settings(job.steps))
        best = float(outcome.best_validation_loss[0])
        finite = bool(np.isfinite(best))
        state = begun.state_dict()
        learnt = {name: value for name, value in outcome.state_dict(0).items() if name in state}
        states.append({**start, **state, **learnt} if finite else dict(start))
        losses.append(best if finite else float("inf"))
    return states, losses
