"""What this process may use of the machine, and PyTorch's settings while it works."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
            torch.set_flush_denormal(flushed)
