"""Where tensors are computed: the processor, or an accelerator that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from luthier.errors import InputError, LuthierError, in_a_line
from luthier.messages import Message

CPU = torch.device("cpu")
AUTO = "auto"


def available() -> list[str]:
    """The devices of this machine by name, the processor first.

    >>> available()[0]
    'cpu'
    """
    cuda = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def accelerator() -> torch.device | None:
    """The first device that is not the processor, or None."""
    others = available()[1:]
    return torch.device(others[0]) if others else None


def is_there(device: str) -> bool:
    """Whether this machine has a device of that name.

    >>> is_there("cpu"), is_there("cuda:99")
    (True, False)
    """
    there = available()
    return device in there or (device == "cuda" and "cuda:0" in there)


def resolve(device: str | torch.device) -> torch.device:
    """The device of a name: "cpu", "cuda", "cuda:1", "mps"; or "auto", an accelerator where there is one.

    InputError for one that is not there.

    >>> resolve("cpu")
    device(type='cpu')
    """
    if device == AUTO:
        return accelerator() or CPU
    name, there = str(device), available()
    known = re.sub("^(cpu|mps):0$", r"\1", name)
    if name == "cuda" and "cuda:0" in there:
        known = f"cuda:{torch.cuda.current_device()}"
    if known not in there:
        raise InputError(
            Message("the device '{name}' is not there", name=name),
            expected=Message("one of {names}", names=", ".join([AUTO, *there])),
            received=name,
            remedy="cpu works everywhere; auto takes an accelerator where it is faster",
        )
    return torch.device(known)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; a CUDA device gets it while the processor goes on."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda" and tensor.device == CPU and torch.cuda.is_available():
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def free_memory(device: torch.device) -> int | None:
    """Bytes that may be taken on an accelerator; None where nobody says."""
    if device.type == "cuda" and torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return None


def fits(nbytes: int, device: torch.device) -> bool:
    """Whether data of so many bytes may lie on a device beside the networks: in half of what is free there."""
    free = free_memory(device)
    return free is None or 2 * nbytes <= free


def wait(device: torch.device) -> None:
    """Return when all that was asked of a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def within_memory() -> Iterator[None]:
    """What runs out of a device's memory inside, or in the function that it decorates, is a LuthierError."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise LuthierError(
            "the device's memory is exceeded",
            received=in_a_line(error).split(". GPU")[0],
            remedy='fewer networks at once, smaller batches, or device="cpu"',
        ) from error


def home_of(module: nn.Module) -> torch.device:
    """The device that a module lies on. InputError where it is on several, or holds no numbers yet."""
    homes = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    if torch.device("meta") in homes:
        raise InputError("the module has no numbers yet", received="tensors on the device 'meta'")
    if len(homes) > 1:
        raise InputError(
            "the module lies on several devices",
            expected="all parameters and buffers on one",
            received=", ".join(sorted(map(str, homes))),
            remedy=f'module.to("{max(map(str, homes))}"), or module.cpu()',
        )
    return next(iter(homes), CPU)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn inside from PyTorch's generators, the processor's and the device's, follows from a seed."""
    own = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(own, device_type="cuda" if device.type == "cpu" else device.type):
        torch.manual_seed(seed)
        yield


def random_states(device: torch.device) -> list[Tensor]:
    """The states of PyTorch's generators, the processor's and the device's."""
    states = [torch.random.get_rng_state()]
    if device.type != "cpu":
        states.append(getattr(torch, device.type).get_rng_state(*([device] if device.type == "cuda" else [])))
    return states
