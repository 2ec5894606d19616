"""A population shared out among processes of one thread each.

What a member gets does not depend on its company, so the parts together are the whole.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.outcome import Outcome, merged
from luthier.engine.train import train
from luthier.errors import InputError, LuthierError
from luthier.rows import Rows


def train_in_processes(
    members: Sequence[Member],
    training: Rows,
    validation: Rows | None,
    settings: Settings,
    processes: int,
    *,
    checkpoint: Path | None = None,
) -> Outcome:
    """As `train`, with the members dealt to so many processes, which see the data where it lies.

    With a `checkpoint` each process keeps a file of its own: its name, and the process's number.
    """
    if settings.rungs:
        raise InputError(
            "members in several processes cannot be compared while they train", remedy="train in one process"
        )
    if "fork" not in multiprocessing.get_all_start_methods():
        raise InputError("processes= needs fork, which this system does not have", remedy="leave processes out")
    context = multiprocessing.get_context("fork")  # the data and a module of the user's need no copy then
    count = min(processes, len(members))
    shares = [list(range(first, len(members), count)) for first in range(count)]
    workers = []
    for place, share in enumerate(shares):
        kept = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.name}.{place}")
        ours, theirs = context.Pipe(duplex=False)
        mine = [members[k] for k in share]
        worker = context.Process(target=_work, args=(theirs, mine, training, validation, settings, kept), daemon=True)
        with warnings.catch_warnings():
            # Threads of other libraries do not live on in a fork; ours works with one thread and needs none of them.
            warnings.filterwarnings("ignore", message=".*fork.*")
            worker.start()
        theirs.close()
        workers.append((worker, ours))
    try:
        outcomes = [_received(worker, pipe) for worker, pipe in workers]
    finally:
        for worker, _ in workers:
            worker.terminate()
            worker.join()
    return merged(members, shares, outcomes)


def _work(
    pipe: Connection,
    members: Sequence[Member],
    training: Rows,
    validation: Rows | None,
    settings: Settings,
    checkpoint: Path | None,
) -> None:
    torch.set_num_threads(1)
    try:
        kept = None if checkpoint is None else FileCheckpoint(checkpoint)
        outcome = train(members, training, validation, settings, checkpoint=kept)
    except LuthierError as error:
        pipe.send(error)
        return
    outcome.members = ()  # a module of the user's may not travel; the parent has it
    named = {"parameters": outcome.parameters, "buffers": outcome.buffers}
    arrays = {name: (tensor.dtype, tensor.contiguous().view(torch.uint8).numpy()) for name, tensor in named.items()}
    outcome.parameters = outcome.buffers = torch.zeros(0)
    pipe.send((outcome, arrays))


def _received(worker: multiprocessing.process.BaseProcess, pipe: Connection) -> Outcome:
    try:
        result = pipe.recv()
    except EOFError:
        worker.join()
        raise LuthierError(
            "a training process died before its networks were done",
            received=f"exit code {worker.exitcode}",
            remedy="usually the memory ran out: use fewer processes, or fewer networks at once",
        ) from None
    if isinstance(result, LuthierError):
        raise result
    outcome, arrays = result
    tensors = {
        name: torch.from_numpy(array).view(dtype) if array.size else torch.zeros(array.shape, dtype=dtype)
        for name, (dtype, array) in arrays.items()
    }
    outcome.parameters, outcome.buffers = tensors["parameters"], tensors["buffers"]
    assert isinstance(outcome, Outcome)
    return outcome
