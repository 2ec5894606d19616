"""Several processes as one trainer: the first leads, the others compute their share of each batch's gradient.

The leader alone has the data, the clock, the rules and the files. For each gradient it sends every helper the
parameters and its share of the rows; what comes back is summed. So a training that was stopped goes on with any
number of processes, and all that the leader does besides needs no second thought. `torchrun` starts the processes.

M members, P numbers of one member's row, Q bytes or numbers of its buffers, B rows of a batch.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed

from luthier.engine.members.batches import Batch
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Settings
from luthier.engine.members.sharing import BatchShare, own_device, several_processes, sharing
from luthier.engine.members.state import Learner, TrainState
from luthier.engine.populations.architecture import architecture
from luthier.engine.populations.outcome import Outcome
from luthier.errors import ConfigError, InputError, LuthierError, in_a_line
from luthier.machine import torch_settings
from luthier.nets import Spec, spec_from_json
from luthier.objective import Criterion, Loss, loss_named

GRADIENT, SPEC, END, DISMISSED = range(4)
Job = tuple[Spec | ModuleSpec, Settings]


class Coordinator:
    """The first process: it hands a batch out, does its own share, and gathers."""

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self.processes, self._jobs = distributed.get_world_size(), list(jobs)
        self._numbers: dict[str, int] = {}

    def _number(self, job: Job) -> int:
        """What the helpers know a population's spec and settings by; a new one is announced first."""
        spec, settings = job
        for number, (known, its) in enumerate(self._jobs):
            if known is spec and its is settings:
                return number
        assert not isinstance(spec, ModuleSpec)
        sent = {
            "spec": spec.to_json(),
            "loss": settings.loss,
            "dtype": str(settings.dtype).split(".")[1],
            "mixed_precision": settings.mixed_precision,
            "device": settings.device.type,
        }
        if not isinstance(settings.loss, str):
            raise InputError(
                "training in several processes needs a loss given by name", expected="a name", received="a function"
            )
        text = json.dumps(sent, sort_keys=True)
        if text not in self._numbers:
            content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
            _announce(SPEC, len(content))
            distributed.broadcast(content, 0)
            self._numbers[text] = len(self._jobs)
            self._jobs.append(job)
        return self._numbers[text]

    def gradients(
        self, job: Job, learner: Learner, batch: Batch, number: int | Tensor, loss: Loss, share: float
    ) -> Tensor:
        """Fill a learner's gradients [M, P] with `share` times those of a batch's mean loss; returns the losses [M]."""
        rows, total, state, number = batch.rows, float(batch.weight), learner.state, int(number)
        _announce(GRADIENT, self._number(job), len(state.parameters), rows, number)
        _broadcast(state)
        sent = {
            "share": torch.tensor(share / total, dtype=torch.float64),
            "seeds": learner.seeds.cpu(),
            "drops": learner.drops.cpu(),
        }
        for place in range(1, self.processes):
            _send(place, {**_packed(batch, BatchShare.of(place, self.processes, rows).slice), **sent})
        own = BatchShare.of(0, self.processes, rows)
        losses = _part_of(learner, batch.cut(own.slice), number, loss, own, share / total)
        distributed.reduce(state.gradients, 0)
        distributed.reduce(losses, 0)
        return losses.div_(share)

    def end(self, code: int = END) -> None:
        """Tell the helpers that a training is over, or that everything is."""
        _announce(code)


class SharedLearner:
    """A learner whose batches are shared by several processes; see `Learner`."""

    def __init__(self, learner: Learner, coordinator: Coordinator, job: Job, loss: Loss | Criterion) -> None:
        self.state, self.seeds, self.drops = learner.state, learner.seeds, learner.drops
        self.smoothing = learner.smoothing
        self._learner, self._coordinator, self._job, self._loss = learner, coordinator, job, loss

    def scale_dropout(self, factors: Tensor) -> None:
        """Of processes that share batches nothing follows a schedule."""
        raise NotImplementedError

    def gradients(self, batch: Batch, number: int | Tensor, share: float | Tensor = 1.0) -> Tensor:
        """Fill `state.gradients` with `share` times those of a batch's mean loss; returns the losses [M]."""
        loss = self._loss
        few = batch.own or batch.rows < self._coordinator.processes
        # Others are not a mean over single rows that all members share.
        if few or isinstance(share, Tensor) or isinstance(loss, Criterion) or not loss.is_mean_of_rows:
            return self._learner.gradients(batch, number, share)
        return self._coordinator.gradients(self._job, self._learner, batch, number, loss, share)


def shared(learner: Learner, job: Job, loss: Loss | Criterion) -> Learner:
    """The learner, its batches shared by the processes that this one leads."""
    leader = _leader.get()
    if leader is None:
        return learner
    if learner.smoothing is not None:
        raise ConfigError(["processes cannot share batches with label_smoothing"], remedy='shared="members"')
    return SharedLearner(learner, leader, job, loss)


def _part_of(learner: Learner, batch: Batch, number: int, loss: Loss, own: BatchShare, share: float) -> Tensor:
    """Fill gradients with a batch's part of those of `share` times the sum over all rows; returns its losses [M]."""
    weight = float(batch.weight) * share
    if not weight:  # rows of weight 0 have no mean; what they would be multiplied with is 0
        batch = replace(batch, weights=None)
    with sharing(own):
        result = learner.gradients(batch, number, weight)
    losses = result if result.ndim == 1 else loss.mean(result, batch.targets, batch.weights)
    return losses * weight


@torch_settings()
def serve_gradients(jobs: Sequence[Job] = ()) -> int:
    """Compute shares of gradients until the leader ends the training or dismisses everyone; returns which."""
    known, learners = list(jobs), dict[tuple[int, int], Learner]()
    while True:
        code, *facts = _announced()
        if code in (END, DISMISSED):
            return code
        if code == SPEC:
            content = torch.zeros(facts[0], dtype=torch.uint8)
            distributed.broadcast(content, 0)
            known.append(_job(json.loads(content.numpy().tobytes())))
            continue
        job, members, rows, number = facts
        state = learners[job, members].state if (job, members) in learners else _fresh_state(known[job], members)
        _broadcast(state)
        named = _received()
        learner = learners[job, members] = _learner(known[job], state, named, learners.get((job, members)))
        own = BatchShare.of(distributed.get_rank(), distributed.get_world_size(), rows)
        batch = Batch.of_named(named).to(state.parameters.device)
        loss = loss_named(known[job][1].loss)
        assert isinstance(loss, Loss)
        losses = _part_of(learner, batch, number, loss, own, float(named["share"]))
        distributed.reduce(state.gradients, 0)
        distributed.reduce(losses, 0)


def _job(sent: Mapping[str, Any]) -> Job:
    settings = Settings(
        sent["loss"],
        "sgd",
        1,
        1,
        1,
        dtype=getattr(torch, sent["dtype"]),
        mixed_precision=sent["mixed_precision"],
        device=torch.device(sent["device"]),
    )
    return spec_from_json(sent["spec"]), settings


def _fresh_state(job: Job, members: int) -> TrainState:
    drawn, device = architecture(job[0]).fresh([0] * members, job[1].dtype), own_device(job[1].device)
    parameters, buffers = (tensor.to(device) for tensor in drawn)
    return TrainState(parameters, buffers, torch.zeros_like(parameters), {})


def _learner(job: Job, state: TrainState, named: Mapping[str, Tensor], known: Learner | None) -> Learner:
    """The learner of these members; their seeds and probabilities change where others train."""
    seeds, drops = named["seeds"].to(state.parameters.device), named["drops"]
    if known is not None and seeds.equal(known.seeds) and drops.equal(known.drops):
        return known
    spec, settings = job
    return architecture(spec).learner(state, seeds, drops, loss_named(settings.loss), settings)


def _packed(batch: Batch, rows: slice) -> dict[str, Tensor]:
    """A share of a batch as named tensors; prepared targets say what the targets do."""
    cut = batch.cut(rows)
    return {name: value.contiguous().cpu() for name, value in replace(cut, prepared_targets=None).named().items()}


def _broadcast(state: TrainState) -> None:
    distributed.broadcast(state.parameters, 0)
    if state.buffers.numel():
        distributed.broadcast(state.buffers, 0)


def _announce(code: int, *facts: int) -> None:
    distributed.broadcast(torch.tensor([code, *facts, *[0] * (4 - len(facts))]), 0)


def _announced() -> list[int]:
    header = torch.zeros(5, dtype=torch.int64)
    distributed.broadcast(header, 0)
    return [int(value) for value in header]


def _send(place: int, named: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    content = torch.frombuffer(bytearray(save(dict(named))), dtype=torch.uint8)
    distributed.send(torch.tensor([len(content)]), place)
    distributed.send(content, place)


def _received() -> dict[str, Tensor]:
    from safetensors.torch import load

    length = torch.zeros(1, dtype=torch.int64)
    distributed.recv(length, 0)
    content = torch.zeros(int(length), dtype=torch.uint8)
    distributed.recv(content, 0)
    return load(content.numpy().tobytes())


_leader: ContextVar[Coordinator | None] = ContextVar("leader", default=None)  # None: one process does everything


@contextmanager
def leading(jobs: Sequence[Job] = ()) -> Iterator[Coordinator]:
    """While inside, gradients are shared out."""
    coordinator = Coordinator(jobs)
    token = _leader.set(coordinator)
    try:
        yield coordinator
    finally:
        _leader.reset(token)


@contextmanager
def assembled() -> Iterator[bool]:
    """Bring together the processes that torchrun started; yields whether this one is to do the work.

    A helper has helped by then.
    """
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    except (RuntimeError, ValueError) as error:
        raise LuthierError(
            "the processes cannot connect to each other",
            received=in_a_line(error),
            remedy="start them with torchrun --nproc-per-node N -m luthier ...",
        ) from error
    try:
        if distributed.get_rank() > 0:
            for name in (signal.SIGINT, signal.SIGTERM):  # the leader saves, stops and then dismisses
                signal.signal(name, signal.SIG_IGN)
            while serve_gradients() != DISMISSED:
                pass
            yield False
            return
        with leading() as coordinator:
            try:
                yield True
            finally:
                coordinator.end(DISMISSED)
    finally:
        distributed.destroy_process_group()


def run_distributed(job: Job, training: Callable[[], Outcome]) -> Outcome:
    """A training that a script of the user's own asks for, in every one of its processes alike.

    Where they are several and in a process group, the first trains and the others help; all get the outcome.
    """
    if _leader.get() is not None or not several_processes():
        return training()
    result: list[Any] = [LuthierError("the main process stopped during training")]
    if distributed.get_rank() == 0:
        with leading([job]) as coordinator:
            try:
                result[0] = training()
                result[0].members = ()  # a module of the user's may not travel; every process has it
            except LuthierError as error:
                result[0] = error
            finally:
                coordinator.end()
                distributed.broadcast_object_list(result)
    else:
        serve_gradients([job])
        distributed.broadcast_object_list(result)
    if isinstance(result[0], LuthierError):
        raise result[0]
    assert isinstance(result[0], Outcome)
    return result[0]
