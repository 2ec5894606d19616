"""What a request for a model of mixed rows may hold: rows as a table's, whose picture is base64.

A text in its place is never taken for a path: nothing of the server's files can be asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from luthier.data import MixedEncoder, PictureEncoder
from luthier.rows import Inputs
from luthier.serving.readers.batching import Rest, others_first
from luthier.serving.readers.limits import SMALL, Limits
from luthier.serving.readers.picture_reader import TOGETHER, PictureReader, decoded
from luthier.serving.readers.requests import MOST_ERRORS, SHOWN, RefusedError, shown
from luthier.serving.readers.row_reader import EXPECTED, RequestRows, RowReader, frame_of


@dataclass(frozen=True)
class MixedPiece:
    """Some of a request's rows, and their pictures, decoded: bytes [N, C, H, W], black where one is missing."""

    rows: RequestRows
    pixels: Tensor

    def __len__(self) -> int:
        return len(self.rows)


class MixedReader:
    """Requests of a model of mixed rows: those of a table, and each picture as base64 or null."""

    quick = False

    def __init__(self, encoder: MixedEncoder, typical: Mapping[str, Any]) -> None:
        self._encoder, self._name = encoder, encoder.picture.name
        self._rows = RowReader(encoder, typical)
        self._pictures = PictureReader(PictureEncoder((encoder.picture,), encoder.shape))

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them, each with a typical row."""
        return self._rows.content

    async def read_in_turns(
        self, kind: str, body: bytes, limits: Limits, rest: Rest = others_first
    ) -> list[MixedPiece]:
        """The rows of a body in pieces. RefusedError as of a table, and with each picture that cannot be read."""
        result: list[MixedPiece] = []
        wrong: list[dict[str, object]] = []
        start = spent = 0
        for piece in await self._rows.read_in_turns(kind, body, limits, rest):
            cells = piece.columns[self._name]
            there = [row for row, cell in enumerate(cells) if cell]
            pictures: list[Tensor] = [torch.zeros((0, *self._encoder.shape), dtype=torch.uint8)]
            for at in range(0, len(there), TOGETHER):
                some = there[at : at + TOGETHER]
                contents = [self._bytes_of(cells[row], start + row) for row in some]
                cost, unpacked, failed = await self._pictures.unpacked(start + len(piece), contents, limits, spent)
                spent += cost
                pictures += unpacked
                wrong += [self._error(start + some[place], why) for place, why in failed.items()]
            start += len(piece)
            if len(body) > SMALL:
                await rest()
            if len(wrong) >= MOST_ERRORS:
                break
            missing = [not cell for cell in cells]
            result.append(MixedPiece(piece, self._encoder.with_missing(torch.cat(pictures), missing)))
        if wrong:
            pictures_ = "picture" if len(wrong) == 1 else "pictures"
            raise RefusedError(422, f"{len(wrong)} {pictures_} cannot be read", wrong)
        return result

    def encode(self, pieces: Sequence[MixedPiece]) -> Inputs:
        """The inputs of pieces, of one request or several."""
        frame = frame_of([piece.rows for piece in pieces])
        return self._encoder.joined(frame, torch.cat([piece.pixels for piece in pieces]))

    def _bytes_of(self, cell: str, row: int) -> bytes:
        try:
            return decoded(cell.encode("ascii"))
        except ValueError:  # also of a text that is not ASCII
            wrong = self._error(row, shown(cell))
            raise RefusedError(422, f"the picture of row {row} is not base64", [wrong]) from None

    def _error(self, row: int, received: str) -> dict[str, object]:
        return {"row": row, "field": self._name[:SHOWN], "expected": EXPECTED["picture"], "received": received}
