"""How much memory a population takes while it trains, and how many of its members may train at once.

What a member gets does not depend on its company, so members that do not fit together take turns, to the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.architecture import architecture
from luthier.errors import NetworkTooLargeError
from luthier.messages import in_bytes
from luthier.objective import Loss, loss_named
from luthier.optimise import Rule, rule_named
from luthier.rows import Rows, arguments

TRIED = 8  # rows of the pass by which activations are counted
OPTIMISERS_KEEP = 2  # copies that an optimiser of PyTorch's keeps, as Adam does
COPIES = 3  # of a member's weights: themselves, their gradients, and the best so far


@dataclass(frozen=True)
class Footprint:
    """Bytes that a member takes: of weights and what goes with them, and of the activations of one batch.

    `together` says whether all members have activations at once; networks that are looped over do not, but for one in
    each of `lanes`.
    """

    weights: int
    activations: int
    together: bool
    lanes: int = 1

    def of(self, members: int, pieces: int = 1) -> int:
        """Bytes of so many members, whose batches go through in so many pieces."""
        at_once = members if self.together else min(members, self.lanes)
        return members * self.weights + at_once * (self.activations // pieces)


def footprint(members: Sequence[Member], settings: Settings, part: Rows) -> Footprint:
    """What a member of a population takes, from one network and one pass of a few rows of `part`.

    Activations are those that PyTorch keeps for the way back, twice: their gradients are as large.
    """
    spec, dtype = members[0].spec, settings.dtype
    kind = architecture(spec)
    weights, buffers = kind.fresh([members[0].seed], dtype)
    averaged = any(member.ema_decay for member in members)
    rule = settings.rule
    kept_by_rule = len(rule_named(rule).init(weights[:, :1])) if isinstance(rule, str | Rule) else OPTIMISERS_KEEP
    copies = COPIES + kept_by_rule + averaged
    kept = weights.nbytes * copies + 2 * buffers.nbytes
    module = kind.module(dict(kind.state_dict(weights, buffers))).train().cpu()
    rows = torch.arange(min(TRIED, len(part)))
    own = {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}  # counted above
    saved = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal saved
        saved += 0 if tensor.untyped_storage().data_ptr() in own else tensor.nbytes
        return tensor

    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        module(*arguments(module, part.rows(rows).inputs))
    return Footprint(
        kept, 2 * saved * settings.batch_size // max(1, len(rows)), kind.layout != "looped", settings.threads
    )


def in_memory_groups(
    members: Sequence[Member], settings: Settings, part: Rows, memory: int
) -> tuple[list[Sequence[Member]], Settings, str]:
    """Members in groups that fit into `memory` bytes, their settings, and what was done about it in words.

    Where not even one member fits, its batches go through in pieces. NetworkTooLargeError where its weights alone are
    too many.
    """
    taken = footprint(members, settings, part)
    count, pieces = len(members), 1
    loss = loss_named(settings.loss)
    by_rows = isinstance(loss, Loss) and loss.is_mean_of_rows  # others of a batch are not the mean of its pieces
    while by_rows and taken.of(1, pieces) > memory and 2 * pieces <= settings.batch_size:
        pieces *= 2
    if (each := taken.of(1, pieces)) > memory:
        raise NetworkTooLargeError(
            "one network does not fit into the memory that is left beside the data",
            expected=f"{in_bytes(each)} or more",
            received=in_bytes(memory),
            remedy="raise --memory, or use fewer units",
        )
    most = max(number for number in range(1, count + 1) if taken.of(number, pieces) <= memory)
    at_once = -(-count // -(-count // most))  # as even as may be
    groups = [members[start : start + at_once] for start in range(0, count, at_once)]
    message = ""
    if len(groups) > 1:
        message = f"{count} networks train in {len(groups)} turns of up to {at_once}"
    if pieces > 1:
        message += f"{' and ' if message else ''}batches of {settings.batch_size} rows are processed in {pieces} parts"
        size = settings.batch_size // pieces
        settings = replace(settings, batch_size=size, accumulate=settings.accumulate * pieces)
    if message:
        message += f": together they would need about {in_bytes(taken.of(count))}, and the limit is {in_bytes(memory)}"
    return groups, settings, message
