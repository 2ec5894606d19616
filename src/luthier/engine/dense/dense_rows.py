"""A dense network's numbers in one flat row, and the named tensors as views into it.

M members, H hidden units, P numbers of one member's row, Q of its buffers. A bias is the weight of an input that is
always one: a layer's weights and bias are one matrix [units, inputs + 1], and the inputs carry a last column of ones.
The first layer's matrix lies at the start of the row, and the row's length is a multiple of its columns; so where the
first layer makes up most of a network, the whole [M, P] is one matrix that multiplies the inputs, which members share,
in one wide product.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from luthier.engine.members.flat_rows import KINDS
from luthier.nets import DenseSpec

BY_LAYER = ("layers", "norms", "activations", "ensemble")  # rooms of parameters whose place is a layer's
EVEN_ROWS = 8  # matrix products like their sizes to be multiples of this
WIDE_WASTE = 1.1  # how many rows a wide product may have for each row of the first layer


def row_length(spec: DenseSpec) -> int:
    """Numbers in one member's row of parameters: all of them, filled up to whole rows of the first layer."""
    columns, first = spec.columns(0), (*spec.hidden, spec.outputs)[0]
    rows = -(-spec.parameter_count() // columns)
    even = -(-rows // EVEN_ROWS) * EVEN_ROWS
    return columns * (even if even <= WIDE_WASTE * first else rows)


def views(spec: DenseSpec, flat: Tensor) -> dict[str, Tensor]:
    """Named views [M, ...] into the rows of a flat tensor [M, P]."""
    result: dict[str, Tensor] = {}
    members, start = len(flat), 0
    for i, matrix in enumerate(matrices(spec, flat)):
        inputs = spec.fan_in(i)
        result[f"layers.{i}.weight"] = matrix[:, :, :inputs]
        if spec.biased(i):
            result[f"layers.{i}.bias"] = matrix[:, :, inputs]
        start += prod(matrix.shape[1:])
    for name, shape in spec.shapes().items():
        if name not in result:
            result[name] = flat[:, start : start + prod(shape)].view(members, *shape)
            start += prod(shape)
    return {name: result[name] for name in spec.shapes()}


def matrices(spec: DenseSpec, flat: Tensor) -> list[Tensor]:
    """Each layer's weights and bias as one view [M, units, inputs + 1] (without bias [M, units, inputs])."""
    result, start = [], 0
    for i, units in enumerate((*spec.hidden, spec.outputs)):
        columns = spec.columns(i)
        result.append(flat[:, start : start + units * columns].view(len(flat), units, columns))
        start += units * columns
    return result


def buffer_views(spec: DenseSpec, flat: Tensor) -> dict[str, Tensor]:
    """Named views [M, ...] into the rows of a flat tensor of buffers [M, Q]."""
    result, start = {}, 0
    for name, shape in spec.buffer_shapes().items():
        result[name] = flat[:, start : start + prod(shape)].view(len(flat), *shape)
        start += prod(shape)
    return result


def weight_mask(spec: DenseSpec, dtype: torch.dtype, *, biases: bool = False) -> Tensor:
    """1 where a penalty applies [P]: weights and embeddings, with `biases` those too; 0 for scales and shifts."""
    mask = torch.zeros(1, row_length(spec), dtype=dtype)
    for name, view in views(spec, mask).items():
        view.fill_(float(name.endswith(".weight") or (biases and name.endswith(".bias"))))
    return mask[0]


def group_of(spec: DenseSpec) -> Tensor:
    """Which layer each number of a row [P] belongs to, by depth; what is learnt beside the inputs is the first's."""
    flat = torch.zeros(1, row_length(spec), dtype=torch.int64)
    for name, view in views(spec, flat).items():
        room, place = name.split(".")[:2]
        view.fill_(int(place) if room in BY_LAYER else 0)
    return flat[0]


def kinds_of(spec: DenseSpec) -> Tensor:
    """Which of KINDS each number of a row [P] is."""
    flat = torch.zeros(1, row_length(spec), dtype=torch.int64)
    for name, view in views(spec, flat).items():
        room, kind = name.split(".")[0], "biases" if name.endswith(".bias") else "weights"
        view.fill_(KINDS.index(kind if room == "layers" else room))
    return flat[0]


def inputs_of(spec: DenseSpec) -> Tensor:
    """How many inputs the layer of each weight has [P]; 1 for what is not a layer's weight."""
    flat = torch.ones(1, row_length(spec), dtype=torch.float64)
    for name, view in views(spec, flat).items():
        if name.startswith("layers.") and name.endswith(".weight"):
            view.fill_(view.shape[2])
    return flat[0]


def fresh_parameters(spec: DenseSpec, seeds: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Initial parameters [M, P], each member's from its own seed."""
    flat = torch.zeros(len(seeds), row_length(spec), dtype=dtype)
    named, drawn = views(spec, flat), dict[int, int]()
    for m, seed in enumerate(seeds):
        if seed in drawn:
            flat[m] = flat[drawn[seed]]
            continue
        for name, value in spec.fresh_parameters(seed).items():
            named[name][m] = value
        drawn[seed] = m
    return flat


def fresh_buffers(spec: DenseSpec, members: int, dtype: torch.dtype) -> Tensor:
    """Buffers [M, Q] before training: means 0, variances 1."""
    flat = torch.zeros(members, sum(prod(shape) for shape in spec.buffer_shapes().values()), dtype=dtype)
    for name, view in buffer_views(spec, flat).items():
        view.fill_(float(name.endswith("variance")))
    return flat


def with_ones(spec: DenseSpec, features: Tensor) -> Tensor:
    """Features [N, F] as a stack takes them: with a last column of ones where the first layer has a bias."""
    if not spec.biased(0):
        return features
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
