"""A population shared out by its members among processes that `torchrun` started, each on a device of its own.

What a member gets does not depend on its company, so the parts together are the whole, in any number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import distributed

from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.members.sharing import own_device
from luthier.engine.populations.outcome import Outcome, merged
from luthier.engine.train import train
from luthier.errors import InputError, LuthierError
from luthier.rows import Rows

PIECES = 8  # of a population with a checkpoint, a file for each: whatever the number of processes, they are the same


def train_shares(
    members: Sequence[Member],
    training: Rows,
    validation: Rows | None,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
) -> Outcome:
    """As `train`, in each of several processes alike: every one trains some of the members, and all get the outcome.

    With a `checkpoint` the members train in up to eight pieces, each with a file of its own (the name and the piece's
    number), so that another number of processes can go on.
    """
    if settings.rungs:
        remedy = "let the processes share batches"
        raise InputError("members in several processes cannot be compared while they train", remedy=remedy)
    processes, rank = distributed.get_world_size(), distributed.get_rank()
    count = min(len(members), processes if checkpoint is None else PIECES)
    shares = [list(range(first, len(members), count)) for first in range(count)]
    settings = replace(settings, device=own_device(settings.device))
    mine, problem = dict[int, Outcome](), None
    try:
        for piece in range(rank, count, processes):
            file = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{piece}")
            kept = None if file is None else FileCheckpoint(file)
            some = [members[place] for place in shares[piece]]
            mine[piece] = train(some, training, validation, settings, checkpoint=kept)
            mine[piece].members = ()  # a module of the user's may not travel; every process has it
    except LuthierError as error:  # the others wait for what this process has
        problem = error
    return merged(members, shares, _gathered(mine, problem, shares, members))


def _gathered(
    mine: dict[int, Outcome], problem: LuthierError | None, shares: Sequence[Sequence[int]], members: Sequence[Member]
) -> list[Outcome]:
    """The outcomes of all pieces. Raises the first problem that any process had."""
    everyone: list[tuple[dict[int, Outcome], LuthierError | None]] = [({}, None)] * distributed.get_world_size()
    distributed.all_gather_object(everyone, (mine, problem))
    for _, theirs in everyone:
        if theirs is not None:
            raise theirs
    known = {piece: outcome for outcomes, _ in everyone for piece, outcome in outcomes.items()}
    for piece, share in enumerate(shares):
        known[piece].members = tuple(members[place] for place in share)
    return [known[piece] for piece in range(len(shares))]
