"""One seed, many independent streams, each with a name.

A result must not depend on who else drew numbers before it. So nothing here shares a generator:
every purpose (initial weights, dropout masks, batch order, ...) of every member has its own, and
its seed follows from the run's seed and the stream's name alone.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derive(seed: int, *stream: str | int) -> int:
    """The 63-bit seed of a named stream; equal names give equal seeds on every machine.

    >>> derive(0, "weights", 3) == derive(0, "weights", 3)
    True
    >>> derive(0, "weights", 3) == derive(0, "masks", 3)
    False
    """
    text = "\x1f".join([str(seed), *(f"{type(part).__name__}:{part}" for part in stream)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *stream: str | int, device: str = "cpu") -> torch.Generator:
    """A torch generator of its own for a named stream."""
    return torch.Generator(device=device).manual_seed(derive(seed, *stream))


def numpy_generator(seed: int, *stream: str | int) -> np.random.Generator:
    """A NumPy generator of its own for a named stream.

    >>> int(numpy_generator(0, "splits").integers(1000)) == int(numpy_generator(0, "splits").integers(1000))
    True
    """
    return np.random.default_rng(derive(seed, *stream))
