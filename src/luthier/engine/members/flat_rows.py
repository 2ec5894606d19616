"""Rows of flat numbers as named tensors: M members, P learnable numbers of one, Q bytes of its buffers."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from luthier.errors import InputError

# Of numbers that learn.
KINDS = ("weights", "biases", "embeddings", "numbers", "scales", "norms", "activations", "ensemble")
ALIGNED = 8  # bytes that every buffer starts at a multiple of


def parameter_views(shapes: Mapping[str, tuple[int, ...]], flat: Tensor) -> dict[str, Tensor]:
    """Named views [M, ...] into rows [M, P]; filters of pictures lie channels last, which convolutions like."""
    result, start = {}, 0
    for name, shape in shapes.items():
        piece = flat[:, start : start + prod(shape)]
        start += prod(shape)
        if len(shape) == 4:
            out, into, height, width = shape
            result[name] = piece.view(len(flat), out, height, width, into).permute(0, 1, 4, 2, 3)
        else:
            result[name] = piece.view(len(flat), *shape)
    return result


def fixed_views(fixed: Mapping[str, tuple[tuple[int, ...], torch.dtype]], flat: Tensor) -> dict[str, Tensor]:
    """Named views [M, ...] of what does not learn into rows of bytes [M, Q]."""
    result, start = {}, 0
    for name, (shape, dtype) in fixed.items():
        piece = flat[:, start : start + prod(shape) * dtype.itemsize]
        result[name] = piece.view(dtype).view(len(flat), *shape)
        start += room(shape, dtype)
    return result


def room(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes that a buffer takes, its end aligned."""
    return -(-prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED


def fill(named: Mapping[str, Tensor], member: int, state: Mapping[str, Tensor]) -> None:
    """Write one member's weights into its rows of named views; InputError for weights of another network."""
    wanted = {name: tuple(view.shape[1:]) for name, view in named.items()}
    given = {name: tuple(state[name].shape) for name in wanted if name in state}
    if wanted != given:
        other = [name for name in wanted if given.get(name) != wanted[name]]
        raise InputError(
            "the initial weights belong to another network",
            expected=f"{other[0]} of shape {list(wanted[other[0]])}",
            received=f"shape {list(given[other[0]])}" if other[0] in given else "no tensor of that name",
        )
    for name, view in named.items():
        view[member] = state[name]
