"""The exponentially weighted moving average, the one primitive behind every average that follows a value.

`memory` is the share of the old average that is kept; the average remembers about 1 / (1 - memory)
values.
"""

from __future__ import annotations

from torch import Tensor


def follow(average: Tensor, value: Tensor, memory: float | Tensor) -> Tensor:
    """Move `average` in place towards `value` of the same shape: memory times the old, the rest from the new.

    >>> import torch
    >>> follow(torch.tensor([0.0]), torch.tensor([1.0]), 0.9)
    tensor([0.1000])
    """
    if isinstance(memory, Tensor):
        return average.lerp_(value, (1 - memory).expand_as(average))
    return average.lerp_(value, 1 - memory)


def follow_square(average: Tensor, value: Tensor, memory: Tensor) -> Tensor:
    """Move an average of squares in place; as `follow(average, value * value, memory)` with one pass less."""
    return average.mul_(memory).addcmul_(value * (1 - memory), value)


def debias(average: float, memory: float, values: int) -> float:
    """What an average that started at zero says after so many `values` (at least one)."""
    return average / (1 - memory**values)
