"""A column of pictures as a tensor: what TableEncoder is to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.encoder_checks import Require
from luthier.data.picture_parts import parts_of_pictures
from luthier.data.pictures.decoding import Shape, decode_block
from luthier.data.pictures.store import PictureStore, store_of
from luthier.data.sentences import SentenceVectors
from luthier.data.typed_columns.columns import Column
from luthier.data.unread import Unread
from luthier.data.word_pieces import Words
from luthier.errors import InputError, nearest
from luthier.messages import Message
from luthier.records import JsonObject
from luthier.rows import Inputs, Place

NAMED = 5


@dataclass(frozen=True)
class PictureEncoder:
    """Pictures of a column, all brought to one shape. `store` holds those that were decoded already."""

    columns: tuple[Column, ...]
    shape: Shape
    store: PictureStore | None = field(default=None, compare=False, repr=False)

    medium: ClassVar[str] = "pictures"
    dense: ClassVar[bool] = False
    number_names: ClassVar[tuple[str, ...]] = ()
    category_names: ClassVar[tuple[str, ...]] = ()
    category_sizes: ClassVar[tuple[int, ...]] = ()
    words: ClassVar[int] = 0
    vector_width: ClassVar[int] = 0
    texts: ClassVar[tuple[Words, ...]] = ()
    vectors: ClassVar[tuple[SentenceVectors, ...]] = ()

    @staticmethod
    def reads(columns: Sequence[Column]) -> bool:
        """Tables with a column of pictures."""
        return any(column.used and column.kind == "picture" for column in columns)

    @classmethod
    def learnt(cls, frame: pl.DataFrame, columns: Sequence[Column], **options: Any) -> PictureEncoder:
        """Pictures as they were decoded; nothing is learnt from the rows."""
        store: PictureStore = options["store"]
        return cls(tuple(columns), store.shape, store)

    @property
    def column(self) -> str:
        """The name of the column of pictures."""
        return next(column.name for column in self.columns if column.used)

    def places(self) -> dict[str, Place]:
        """No columns of numbers or codes."""
        return {}

    def encode(
        self, frame: pl.DataFrame, *, impute_missing_columns: bool = False, unread: Unread | None = None
    ) -> Inputs:
        """Pixels uint8 [N, C, H, W]. InputError for pictures that cannot be read."""
        if self.column not in frame.columns:
            raise InputError(
                Message("the column of pictures, '{column}', is missing", column=self.column),
                remedy=nearest(self.column, frame.columns) or "name it as in training",
            )
        references = frame[self.column].fill_null("").to_list()
        if self.store is not None and all(reference in self.store.places for reference in references):
            pixels = self.store.take(references)
        else:
            result = store_of(references, self.shape, kept=False)
            if result.problems:
                named = [f"'{references[row]}' ({why})" for row, why in list(result.problems.items())[:NAMED]]
                raise InputError(
                    Message(
                        "{count} pictures cannot be read: {names}", count=len(result.problems), names=", ".join(named)
                    )
                )
            pixels = torch.from_numpy(result.pixels)
        return Inputs(pixels=pixels)

    def decoded(self, contents: Sequence[bytes]) -> tuple[Tensor, dict[int, str]]:
        """Pictures uint8 [N, C, H, W] from the contents of files, and why, for those that cannot be read."""
        pixels, problems = decode_block(contents, self.shape)
        return torch.from_numpy(pixels), problems

    def described(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What drift is looked for in: brightness, contrast and sharpness of each picture [N], between 0 and 1."""
        result: dict[str, list[Tensor]] = {"brightness": [], "contrast": [], "sharpness": []}
        for some in torch.split(inputs["pixels"], 1024):
            grey = some.float().mean(1) / 255
            result["brightness"].append(grey.mean((1, 2)))
            result["contrast"].append(grey.std((1, 2), correction=0))
            edges = grey.diff(dim=1).abs().mean((1, 2)) + grey.diff(dim=2).abs().mean((1, 2))
            result["sharpness"].append(edges)
        return {name: torch.cat(parts).double().numpy() if parts else np.zeros(0) for name, parts in result.items()}, {}

    def labels(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Pictures fall into no groups."""
        return {}

    def blank(self) -> Inputs:
        """A black picture of two pixels a side."""
        return Inputs(pixels=torch.zeros(1, 1, 2, 2))

    def preprocess(self, numbers: Tensor, method: str, measured: Tensor | None = None) -> Pixels:
        """Pictures stay as they are."""
        return Pixels()

    def check(self, require: Require) -> None:
        """Compare the columns and the shape with those of pictures."""
        names = [column.name for column in self.columns]
        require(len(set(names)) == len(names), "columns of different names")
        require([c.kind for c in self.columns if c.used] == ["picture"], "one column of pictures")
        require(self.shape[0] in (1, 3), "pictures of 1 or 3 channels", str(self.shape[0]))

    def check_preprocess(self, config: Mapping[str, Any], require: Require) -> None:
        """Pictures have one preprocessing."""
        require(config["method"] == Pixels.method, "the preprocessing of the encoder's rows", config["method"])

    def to_json(self) -> JsonObject:
        """The encoder as plain JSON values; decoded pictures stay behind."""
        return {"kind": "pictures", "columns": [c.to_json() for c in self.columns], "shape": list(self.shape)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PictureEncoder:
        """The encoder that `to_json` gave."""
        channels, height, width = (int(side) for side in value["shape"])
        return cls(tuple(Column.from_json(column) for column in value["columns"]), (channels, height, width))


class Pixels(torch.nn.Module):
    """What Preprocess is to numbers: pictures go on as they are, the network scales them itself."""

    method = "pixels"

    def prepared(self, inputs: Inputs) -> Inputs:
        """The pictures."""
        return inputs

    @property
    def width(self) -> int:
        """No numbers."""
        return 0

    def plain(self, inputs: Inputs) -> Tensor:
        """Each picture as 64 means of its parts [N, 64], between 0 and 1: what familiarity is told by."""
        return parts_of_pictures(inputs["pixels"])

    def config(self) -> dict[str, object]:
        """Its name."""
        return {"method": self.method}
