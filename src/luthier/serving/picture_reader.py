"""What a request for a model of pictures may hold: one picture as it is, or several in JSON as base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from luthier.data import PICTURE_FORMATS, PictureEncoder
from luthier.serving.requests import RefusedError, items_of, shown

KINDS = tuple(f"image/{name.lower()}" for name in PICTURE_FORMATS)


@dataclass(frozen=True)
class Pictures:
    """A request's pictures, decoded: bytes [N, C, H, W]."""

    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


class PictureReader:
    """Requests of a model of pictures."""

    few = 0
    decodes = True

    def __init__(self, encoder: PictureEncoder) -> None:
        self._encoder = encoder

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them."""
        texts = {"type": "array", "minItems": 1, "items": {"type": "string", "contentEncoding": "base64"}}
        several = {
            "type": "object",
            "required": ["pictures"],
            "additionalProperties": False,
            "properties": {"pictures": texts},
        }
        one = {"schema": {"type": "string", "format": "binary", "description": "a picture of any size"}}
        return {"application/json": {"schema": several}, **dict.fromkeys(KINDS, one)}

    def read(self, kind: str, body: bytes, most: int) -> Pictures:
        """The pictures of a body. RefusedError that names those which cannot be read."""
        result = [body] if kind in KINDS else _from_json(body, most)
        pixels, problems = self._encoder.decoded(result)
        if problems:
            wrong = [{"picture": place, "expected": "a picture", "received": why} for place, why in problems.items()]
            raise RefusedError(422, f"{len(problems)} pictures cannot be read", wrong)
        return Pictures(pixels)

    def encode(self, requests: Sequence[Pictures]) -> tuple[Tensor, Tensor]:
        """Bytes [N, C, H, W] and no codes [N, 0] of several requests."""
        pixels = torch.cat([one.pixels for one in requests])
        return pixels, torch.zeros(len(pixels), 0, dtype=torch.int64)


def _from_json(body: bytes, most: int) -> list[bytes]:
    texts, result = items_of(body, "pictures", 'the bytes of a picture, or {"pictures": [BASE64, ...]}', most), []
    for place, text in enumerate(texts):
        try:
            result.append(base64.b64decode(text, validate=True))
        except (TypeError, ValueError, binascii.Error):
            wrong = {"picture": place, "expected": "base64", "received": shown(text)}
            raise RefusedError(422, f"picture {place} is not base64", [wrong]) from None
    return result
