"""Every kind of rows through one door: which encoder and which preprocessing belong to a table or to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.data.encode import TableEncoder
from luthier.data.pictures import PictureEncoder, Pixels
from luthier.data.preprocess import Preprocess
from luthier.rows import Inputs

Encoder = TableEncoder | PictureEncoder
Prepare = Preprocess | Pixels


def encoder_from_json(value: Mapping[str, Any]) -> Encoder:
    """The encoder that its `to_json` gave."""
    return PictureEncoder.from_json(value) if value.get("kind") == "pictures" else TableEncoder.from_json(value)


def preprocess_of(numbers: Tensor, method: str, encoder: Encoder, measured: Tensor | None = None) -> Prepare:
    """Preprocessing fitted on the numbers [N, F] of training rows; of pictures the method `pixels`.

    For `measured` see `Preprocess.fit`.
    """
    if isinstance(encoder, PictureEncoder):
        return Pixels()
    return Preprocess.fit(numbers, method, measured, encoder.vector_width)


def flat(inputs: Inputs, side: int = 28) -> Tensor:
    """Rows as plain numbers [N, F] for methods that know no pictures: pixels between 0 and 1, of at most `side`."""
    if "pixels" not in inputs:
        return inputs.numbers
    pixels = inputs["pixels"]
    size = min(side, pixels.shape[2]), min(side, pixels.shape[3])
    pieces = [F.adaptive_avg_pool2d(some.float() / 255, size).flatten(1) for some in torch.split(pixels, 1024)]
    return torch.cat(pieces) if pieces else torch.zeros(0, pixels.shape[1] * size[0] * size[1])


def preprocess_from(config: Mapping[str, Any]) -> Prepare:
    """An unfitted module of the same shape, for `load_state_dict`."""
    return Pixels() if config["method"] == Pixels.method else Preprocess.from_config(config)
