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
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from luthier.engine.architecture import architecture
from luthier.engine.batches import Batch
from luthier.engine.module_spec import ModuleSpec
from luthier.engine.outcome import Outcome
from luthier.engine.settings import Settings
from luthier.engine.sharing import BatchShare, several_processes, sharing
from luthier.engine.stack import Masks, Stack
from luthier.errors import InputError, LuthierError, in_a_line
from luthier.machine import torch_settings
from luthier.nets import Spec, spec_from_json
from luthier.objective import Criterion, Loss, loss_named, mean_gradient

GRADIENT, SPEC, END, DISMISSED = range(4)
Job = tuple[Spec | ModuleSpec, Settings]


def partial_gradients(
    stack: Any, batch: Batch, loss: Loss | Criterion, masks: Masks, generators: Sequence[torch.Generator], total: float
) -> Tensor:
    """Fill a stack's gradients with this batch's part of those of the mean over `total` rows; returns its losses."""
    weight = batch.weight
    if not isinstance(stack, Stack):
        result: Tensor = stack.learn(batch, loss, generators, weight / total)
        return result
    assert isinstance(loss, Loss)
    Z = stack.forward(batch, masks)
    losses = loss.mean(Z, batch.targets, batch.weights) * (weight / total)
    residual = loss.residual(Z, batch.targets)
    stack.backward(batch, mean_gradient(residual, batch.weights, total), masks)
    return losses


class Coordinator:
    """The first process: it hands a batch out, does its own share, and gathers."""

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self._size, self._jobs = distributed.get_world_size(), list(jobs)
        self._numbers: dict[str, int] = {}

    def _number(self, job: Job) -> int:
        """What the helpers know a population's spec and settings by; they are told where they do not know yet."""
        spec, settings = job
        for number, (known, its) in enumerate(self._jobs):
            if known is spec and its is settings:
                return number
        assert not isinstance(spec, ModuleSpec)
        told = {
            "spec": spec.to_json(),
            "loss": settings.loss,
            "dtype": str(settings.dtype).split(".")[1],
            "mixed_precision": settings.mixed_precision,
        }
        if not isinstance(settings.loss, str):
            raise InputError(
                "training in several processes needs a loss given by name", expected="a name", received="a function"
            )
        text = json.dumps(told, sort_keys=True)
        if text not in self._numbers:
            content = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
            _announce(SPEC, len(content))
            distributed.broadcast(content, 0)
            self._numbers[text] = len(self._jobs)
            self._jobs.append(job)
        return self._numbers[text]

    def gradients(
        self,
        job: Job,
        stack: Any,
        batch: Batch,
        loss: Loss | Criterion,
        masks: Masks,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """Fill the stack's gradients [M, P] of a batch's mean loss; returns the losses [M]."""
        rows, total = len(batch.targets), batch.weight
        if rows < self._size or isinstance(loss, Criterion) or loss.couples:  # not a mean over single rows
            return partial_gradients(stack, batch, loss, masks, generators, total)
        number, drawn = self._number(job), [generator.get_state() for generator in generators]
        _announce(GRADIENT, number, len(stack.parameters), rows)
        _broadcast(stack)
        for place in range(1, self._size):
            share = BatchShare.of(place, self._size, rows)
            _send(
                place,
                {
                    **_packed(batch, masks, share.slice),
                    "total": torch.tensor(total, dtype=torch.float64),
                    "generators": torch.stack(drawn),
                },
            )
        share = BatchShare.of(0, self._size, rows)
        with sharing(share):
            own = [None if mask is None else mask[:, share.slice] for mask in masks]
            losses = partial_gradients(stack, batch.cut(share.slice), loss, own, generators, total)
        distributed.reduce(stack.gradients, 0)
        distributed.reduce(losses, 0)
        return losses

    def end(self, code: int = END) -> None:
        """Tell the helpers that a training is over, or that everything is."""
        _announce(code)


@torch_settings()
def serve_gradients(jobs: Sequence[Job] = ()) -> int:
    """Compute shares of gradients until the leader ends the training or dismisses everyone; returns which."""
    known, stacks = list(jobs), dict[tuple[int, int], Any]()
    while True:
        code, *facts = _announced()
        if code in (END, DISMISSED):
            return code
        if code == SPEC:
            content = torch.zeros(facts[0], dtype=torch.uint8)
            distributed.broadcast(content, 0)
            known.append(_job(json.loads(content.numpy().tobytes())))
            continue
        number, members, rows, _ = facts
        if (number, members) not in stacks:
            stacks[number, members] = _stack(known[number], members)
        stack, loss, generators = stacks[number, members]
        _broadcast(stack)
        named = _received()
        for generator, state in zip(generators, named.pop("generators"), strict=True):
            generator.set_state(state.clone())  # it reads past a view of unaligned memory
        batch, masks, total = _unpacked(named)
        with sharing(BatchShare.of(distributed.get_rank(), distributed.get_world_size(), rows)):
            losses = partial_gradients(stack, batch, loss, masks, generators, total)
        distributed.reduce(stack.gradients, 0)
        distributed.reduce(losses, 0)


def _job(told: Mapping[str, Any]) -> Job:
    settings = Settings(
        told["loss"], "sgd", 1, 1, 1, dtype=getattr(torch, told["dtype"]), mixed_precision=told["mixed_precision"]
    )
    return spec_from_json(told["spec"]), settings


def _stack(job: Job, members: int) -> tuple[Any, Loss | Criterion, list[torch.Generator]]:
    spec, settings = job
    kind = architecture(spec)
    parameters, buffers = kind.fresh([0] * members, settings.dtype)
    stack = kind.stack(parameters, buffers, torch.zeros_like(parameters), settings)
    return stack, loss_named(settings.loss), [torch.Generator() for _ in range(members)]


def _packed(batch: Batch, masks: Masks, rows: slice) -> dict[str, Tensor]:
    """A share of a batch and of its masks as named tensors."""
    result = {name: value[rows].contiguous() for name, value in vars(batch).items() if value is not None}
    result.pop("wanted", None)  # the targets say the same
    cut = {f"mask.{i}": mask[:, rows].contiguous() for i, mask in enumerate(masks) if mask is not None}
    return {**result, **cut, "masks": torch.tensor(len(masks))}


def _unpacked(named: dict[str, Tensor]) -> tuple[Batch, list[Tensor | None], float]:
    masks = [named.get(f"mask.{i}") for i in range(int(named["masks"]))]
    batch = Batch(named["inputs"], named["codes"], named["targets"], named.get("weights"))
    return batch, masks, float(named["total"])


def _broadcast(stack: Any) -> None:
    distributed.broadcast(stack.parameters, 0)
    if stack.buffers.numel():
        distributed.broadcast(stack.buffers, 0)


def _announce(code: int, *facts: int) -> None:
    distributed.broadcast(torch.tensor([code, *facts, *[0] * (4 - len(facts))]), 0)


def _announced() -> list[int]:
    header = torch.zeros(5, dtype=torch.int64)
    distributed.broadcast(header, 0)
    return [int(value) for value in header]


def _send(place: int, named: Mapping[str, Tensor]) -> None:
    content = torch.frombuffer(bytearray(save(dict(named))), dtype=torch.uint8)
    distributed.send(torch.tensor([len(content)]), place)
    distributed.send(content, place)


def _received() -> dict[str, Tensor]:
    length = torch.zeros(1, dtype=torch.int64)
    distributed.recv(length, 0)
    content = torch.zeros(int(length), dtype=torch.uint8)
    distributed.recv(content, 0)
    return load(content.numpy().tobytes())


_leader: Coordinator | None = None


def leader() -> Coordinator | None:
    """The leader of the processes that share batches; None where one process does everything."""
    return _leader


@contextmanager
def leading(jobs: Sequence[Job] = ()) -> Iterator[Coordinator]:
    """While inside, gradients are shared out."""
    global _leader
    outside, _leader = _leader, Coordinator(jobs)
    try:
        yield _leader
    finally:
        _leader = outside


@contextmanager
def assembled() -> Iterator[bool]:
    """Bring together the processes that torchrun started; yields whether this one is to do the work.

    A helper has helped by then.
    """
    try:
        distributed.init_process_group("gloo")
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
    if _leader is not None or not several_processes():
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
