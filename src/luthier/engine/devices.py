"""Where tensors are computed: the processor, or an accelerator that is there."""

from __future__ import annotations

import re

import torch

from luthier.errors import InputError

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
            f"the device '{name}' is not there",
            expected=f"one of {', '.join([AUTO, *there])}",
            received=name,
            remedy="cpu works everywhere; auto takes an accelerator where it is faster",
        )
    return torch.device(known)
