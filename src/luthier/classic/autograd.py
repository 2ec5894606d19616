"""Gluon's `autograd`: what is computed inside `record()` can be differentiated, what is computed outside cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_training = [False]


@contextmanager
def record(train_mode: bool = True) -> Iterator[None]:
    """Record what is computed, so that `backward` can follow it; layers are in training mode."""
    _training.append(train_mode)
    try:
        with torch.enable_grad():
            yield
    finally:
        _training.pop()


def is_recording() -> bool:
    """Whether this is inside `record()`."""
    return len(_training) > 1


def is_training() -> bool:
    """Whether layers are in training mode."""
    return _training[-1]
