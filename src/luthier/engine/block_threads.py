"""Blocks of members in threads: PyTorch lets go of the interpreter while it computes.

Which members make a block belongs to the plan (`Settings.blocks`), so numbers are the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from luthier.engine.members.batches import Batch
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.architecture import architecture
from luthier.engine.populations.population import Block
from luthier.machine import torch_settings

Given = ParamSpec("Given")
Result = TypeVar("Result")


class BlockThreads:
    """Steps blocks in so many threads, kept as long as this object is. The blocks of a lane share their gradients."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, "luthier-block", _one_thread) if count > 1 else None

    def step(
        self, lanes: Sequence[Sequence[Block]], several: Sequence[Sequence[Batch]], number: int, rates: Sequence[Tensor]
    ) -> None:
        """All blocks' steps, each making all of them while the cache holds it; an error when every lane has ended."""

        def run(lane: Sequence[Block]) -> None:
            for block in lane:
                block.steps(several, number, rates)

        if self._pool is None or len(lanes) == 1:
            for lane in lanes:
                run(lane)
            return
        ended = [self._pool.submit(run, lane) for lane in lanes]
        errors = [error for future in ended if (error := future.exception()) is not None]
        if errors:
            raise errors[0]


def _one_thread() -> None:
    """A thread has settings of its own: products in one thread, and numbers near the smallest flushed as elsewhere."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def in_one_thread_each(train: Callable[Given, Result]) -> Callable[Given, Result]:
    """PyTorch's settings while training; where blocks have threads, each product has one."""

    @wraps(train)
    def run(*given: Given.args, **options: Given.kwargs) -> Result:
        settings: Any = options["settings"] if "settings" in options else given[3]
        with torch_settings(threads=1 if settings.threads > 1 else None):
            return train(*given, **options)

    return run


def threaded(settings: Settings, members: Sequence[Member], threads: int) -> Settings:
    """The settings with a block for each of so many threads, where these members can use them."""
    draws = getattr(architecture(members[0].spec).spec, "draws", False)
    if threads == 1 or len(members) == 1 or draws or settings.device.type != "cpu":
        return settings
    return replace(settings, blocks=threads, threads=threads)
