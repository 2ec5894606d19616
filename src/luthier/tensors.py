"""Numbers that a user hands in, as tensors; and modules whose tensors take no memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from luthier.errors import InputError, in_a_line


def tensor_of(values: Any, what: str = "the data") -> Tensor:
    """A tensor, an array, a data frame or a list as a tensor, which shares its memory where PyTorch can.

    What it cannot share, such as an array that must not be written to, that runs backwards or is of the other byte
    order, is copied. InputError for what does not hold numbers.

    >>> tensor_of(np.arange(3)[::-1])
    tensor([2, 1, 0])
    """
    if isinstance(values, Tensor):
        return values
    try:
        if not hasattr(values, "__array__"):
            return torch.as_tensor(values)
        array = np.asarray(values)
        if not array.flags.writeable or not array.dtype.isnative or min(array.strides, default=0) < 0:
            array = array.astype(array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(array)
    except (TypeError, ValueError, RuntimeError) as error:  # text, objects, lists of different lengths
        raise InputError(
            f"{what} has values that are not numbers",
            expected="arrays, tensors, or lists of numbers",
            received=in_a_line(error),
        ) from error


class ShapesAlone(TorchFunctionMode):
    """With the device "meta", modules that are made inside take no memory: what would draw their weights does nothing.

    On that device `normal_` imports the compiler, for two seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Leave out what fills a tensor in place."""
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "zeros_", "zero_", "fill_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
