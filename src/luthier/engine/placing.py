"""On which device networks train, and in how many turns where its memory is too small for all of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from luthier.engine.members.devices import AUTO, CPU, accelerator, free_memory, is_there, resolve
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.footprint import in_memory_groups
from luthier.engine.timing import seconds_by_device
from luthier.errors import InputError, LuthierError
from luthier.messages import Message, joined
from luthier.objective import Criterion, Loss
from luthier.records import Finding
from luthier.rows import Rows

Turn = tuple[list[int], Settings]  # places of members that train together, and how


def candidates(device: str | torch.device, home: torch.device, *, processes: int) -> list[torch.device]:
    """The devices that networks may train on, the likeliest first, for a module that lies at `home`.

    InputError for a device that is not there, or that several processes cannot share.
    """
    if device == AUTO and home != CPU:
        return [home]
    found = accelerator() if device == AUTO and processes == 1 else None
    if device == AUTO:
        return [CPU] if found is None else [found, CPU]
    chosen = resolve(device)
    if processes > 1 and chosen != CPU:
        raise InputError(
            "processes cannot share an accelerator",
            received=Message("processes={processes}, device='{device}'", processes=processes, device=device),
            remedy="leave out processes",
        )
    return [chosen]


def allowed(device: str, *, fixed: bool) -> list[torch.device]:
    """The devices that a run may use, the likeliest first: what was asked for where it is there, for it may have been
    asked for on another machine; the processor alone where every machine is to come to the same.

    >>> allowed("cpu", fixed=False)
    [device(type='cpu')]
    """
    if device != AUTO and is_there(device):
        return [resolve(device)]
    return [CPU] if fixed else candidates(AUTO, CPU, processes=1)


def carried(loss: str | Loss | Criterion, device: torch.device) -> str | Loss | Criterion:
    """The loss, its tensors on a device where it is a module that has some."""
    function = loss.function if isinstance(loss, Criterion) else None
    if not isinstance(function, nn.Module) or not any(True for _ in (*function.buffers(), *function.parameters())):
        return loss
    return Criterion(copy.deepcopy(function).to(device))


def faster(
    members: Sequence[Member], part: Rows, settings: Settings, places: Sequence[torch.device]
) -> tuple[torch.device, Finding]:
    """The device on which a few steps took the least time, and what they took."""
    seconds = seconds_by_device(members, part, settings, places)
    best = min(seconds, key=lambda name: seconds[name])
    times = (Message("{time:.1f} ms on {device}", time=1e3 * value, device=name) for name, value in seconds.items())
    each = joined(times, "{first} and {rest}")
    return torch.device(best), Finding(
        code="device",
        severity="note",
        sentence=Message("the networks train on {best}: a step takes {each}", best=best, each=each),
        evidence={"seconds": seconds, "device": best},
        remedy="override with device=",
        source="timed at the start",
    )


def in_turns(
    members: Sequence[Member], places: Sequence[int], settings: Settings, part: Rows
) -> tuple[list[Turn], list[Finding]]:
    """The members at some places in turns that fit into the device's memory, and what was done about it."""
    memory = free_memory(settings.device)
    if memory is None or not places:
        return [(list(places), settings)], []
    try:
        groups, settings, message = in_memory_groups([members[i] for i in places], settings, part, memory)
    except LuthierError as error:
        raise LuthierError(
            Message("one network does not fit into the memory of {device}", device=settings.device),
            expected=error.expected,
            received=error.received,
            remedy='device="cpu", smaller batches or fewer units',
        ) from None
    turns, start = list[Turn](), 0
    for group in groups:
        turns.append((list(places[start : start + len(group)]), settings))
        start += len(group)
    said = Finding(
        code="turns",
        severity="note",
        sentence=message,
        evidence={"turns": len(turns), "memory": memory},
        remedy="nothing needs to be done: a network does not depend on its company",
        source=Message("the free memory of {device}", device=settings.device),
    )
    return turns, [said] if message else []
