"""What this process may use of the machine, and PyTorch's settings while it works."""

from __future__ import annotations

import os
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.errors import InputError
from luthier.messages import Message

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name and how many of it there are, as figures are read with."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, platform.machine())}, {os.cpu_count()} cores"


def machine_memory(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's, or the container's where that has a limit.

    >>> machine_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    True
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min([physical, *_limits(groups.read_text(encoding="utf-8"), root)])
    except OSError:  # no control groups, as on other systems
        return physical


def default_memory() -> int:
    """Half of the machine's memory, or of the container's."""
    return machine_memory() // 2


def parse_memory(text: str) -> int:
    """Bytes as people write them.

    >>> parse_memory("2GiB") == parse_memory("2 g") == 2 * 1024**3
    True
    """
    result = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", str(text).lower())
    if not result or float(result[1]) <= 0:
        raise InputError(Message("'{text}' is not an amount of memory", text=text), expected="such as 512MiB or 2GiB")
    return int(float(result[1]) * _SIZES[result[2]])


def _limits(groups: str, root: Path) -> Iterator[int]:
    """The limits of the control groups that a process is in and of those above them, of version 2 or 1."""
    for line in groups.splitlines():
        number, kinds, path = line.split(":", 2)
        if number == "0":
            base, name = root, "memory.max"
        elif "memory" in kinds.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        parts = Path(path.strip("/")).parts
        for depth in range(len(parts) + 1):
            file = base.joinpath(*parts[:depth], name)
            limit = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
            if limit.isdecimal():  # else "max"
                yield int(limit)


def threads() -> int:
    """Threads for one computation: as many as processors, or fewer where OMP_NUM_THREADS says so."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(asked)) if asked.isdecimal() and int(asked) else cores()


def flushes_denormals() -> bool:
    """Whether PyTorch sets numbers near the smallest to zero. It has no question for that, so one is multiplied."""
    import torch

    return not bool(torch.full((1,), 1e-40).mul_(0.5).any())


@contextmanager
def torch_settings(threads: int | None = None) -> Iterator[None]:
    """PyTorch as training wants it: so many threads, numbers near the smallest flushed, its warnings kept back.

    On a GPU convolutions keep all bits of their numbers (no TF32), unless `torch.set_float32_matmul_precision` asks for
    fewer in matrix products.

    Moments of dead inputs become denormal and cost a fifth of the time. Afterwards, also after an error, the process
    has the settings it had: they are the user's. Contexts may stand inside each other, and it decorates functions.

    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with torch_settings(threads=1):
    ...     torch.get_num_threads(), flushes_denormals()
    (1, True)
    >>> torch.get_num_threads() == before
    True
    """
    import torch

    before, flushed = torch.get_num_threads(), flushes_denormals()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"(torch|luthier)(\.|$)")
        try:
            torch.set_flush_denormal(True)
            if threads is not None:
                torch.set_num_threads(threads)
            with _convolutions_as_products():
                yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
            torch.set_flush_denormal(flushed)


@contextmanager
def _convolutions_as_products() -> Iterator[None]:
    """While inside, convolutions on a GPU round as matrix products there do: by default PyTorch rounds them to TF32."""
    import torch

    if torch.version.cuda is None or torch.get_float32_matmul_precision() != "highest":
        yield
        return
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
