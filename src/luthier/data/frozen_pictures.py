"""Rows of a table with one column of pictures that a frozen backbone has seen: a few numbers each, beside the others.

N rows, K numbers of a picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import polars as pl
from torch import Tensor

from luthier.data.columns import Column
from luthier.data.encode import TableEncoder
from luthier.data.encoder_checks import Require
from luthier.data.mixed_rows import MixedEncoder
from luthier.data.pictures import PictureStore
from luthier.data.unread import Unread
from luthier.records import JsonObject
from luthier.rows import Inputs, Place

BESIDE_FROZEN = CELLS_BESIDE, TEXT_BESIDE = "cells beside frozen pictures", "text beside frozen pictures"
AT_ONCE = 256  # pictures that are in memory together


class SeenPictures(Protocol):
    """What turns pictures into numbers; its weights lie in a model's file beside those of networks."""

    @property
    def count(self) -> int:
        """K."""

    def numbers_of(self, pictures: Tensor) -> np.ndarray:
        """Numbers float64 [N, K] of pictures uint8 [N, C, H, W]."""

    def to_json(self) -> JsonObject:
        """What it is made from."""


@dataclass(frozen=True)
class FrozenEncoder(MixedEncoder):
    """The encoder of a table in which numbers stand in the place of its pictures, the last of its columns.

    So the networks are those of a table, or of text where there is some. `features` are attached once the weights are
    known (`saved.rebuilding`).
    """

    features: SeenPictures | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def reads(columns: Sequence[Column]) -> bool:
        """None by itself: a backbone is asked for."""
        return False

    @classmethod
    def learnt(cls, frame: pl.DataFrame, columns: Sequence[Column], **options: Any) -> FrozenEncoder:
        """The others are learnt as a table's, beside numbers by `features`."""
        store, features = options["store"], options["features"]
        picture = cls.unfitted(columns, store).picture
        others = tuple(column for column in columns if column.kind != "picture")
        name, taken = f"{picture.name} (feature", {column.name for column in others}
        while any(f"{name} {k})" in taken for k in range(1, features.count + 1)):
            name += "'"
        reason = "what a frozen backbone sees"
        made = tuple(Column(f"{name} {k})", "number", True, reason) for k in range(1, features.count + 1))
        begun = cls(TableEncoder(made, {}, {}), picture, store.shape, store, features)
        whole = TableEncoder.fit(begun.widened(frame), (*others, *made), options["text_model"])
        return cls(whole, picture, store.shape, store, features)

    @classmethod
    def unfitted(cls, columns: Sequence[Column], store: PictureStore) -> FrozenEncoder:
        """One that reads the pictures alone, before anything is known of them."""
        picture = next(column for column in columns if column.kind == "picture")
        return cls(TableEncoder((), {}, {}), picture, store.shape, store)

    @property
    def medium(self) -> str:  # type: ignore[override]
        """Beside cells, or beside text."""
        return TEXT_BESIDE if self.table.texts else CELLS_BESIDE

    @property
    def dense(self) -> bool:  # type: ignore[override]
        """As the table."""
        return self.table.dense

    @property
    def _count(self) -> int:
        return 0 if self.features is None else self.features.count

    @property
    def made(self) -> tuple[str, ...]:
        """The names of the pictures' numbers."""
        names = tuple(column.name for column in self.table.columns)
        return names[len(names) - self._count :]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those that a row has."""
        return (*self.table.columns[: len(self.table.columns) - self._count], self.picture)

    def places(self) -> dict[str, Place]:
        """The table's; all numbers of a picture together."""
        places = dict(self.table.places())
        seen = [place for name in self.made for place in places.pop(name)["numbers"]]
        return {**places, self.picture.name: {"numbers": seen}}

    def encode(
        self, frame: pl.DataFrame, *, impute_missing_columns: bool = False, unread: Unread | None = None
    ) -> Inputs:
        """A table's inputs, numbers of pictures among them. Pictures that cannot be read count as missing in `unread`;
        InputError for them where nothing counts."""
        frame = self._complete(frame, impute_missing_columns)
        return self.table.encode(self.widened(frame, unread), unread=unread)

    def widened(self, frame: pl.DataFrame, unread: Unread | None = None) -> pl.DataFrame:
        """The table with the pictures' numbers as its last columns."""
        return self._beside(frame, [self._numbers(pixels) for pixels in self.pictures(frame, unread)])

    def pictures(self, frame: pl.DataFrame, unread: Unread | None = None) -> Iterator[Tensor]:
        """The rows' pictures uint8 [N, C, H, W], some at a time."""
        cells = self._cells(frame)
        for start in range(0, len(cells), AT_ONCE):
            yield self._pixels(cells[start : start + AT_ONCE], unread)

    def joined(self, frame: pl.DataFrame, pixels: Tensor) -> Inputs:
        """The inputs of rows whose pictures are decoded."""
        return self.table.encode(self._beside(frame, [self._numbers(pixels)]))

    def _numbers(self, pixels: Tensor) -> np.ndarray:
        assert self.features is not None
        return self.features.numbers_of(pixels)

    def _beside(self, frame: pl.DataFrame, blocks: Sequence[np.ndarray]) -> pl.DataFrame:
        numbers = np.concatenate([*blocks, np.zeros((0, self._count))])
        return frame.with_columns([pl.Series(name, numbers[:, k]) for k, name in enumerate(self.made)])

    def described(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The table's, numbers of pictures among them."""
        return self.table.described(inputs)

    def blank(self) -> Inputs:
        """A row of zeros."""
        return self.table.blank()

    def check(self, require: Require) -> None:
        """As of mixed rows, and that the pictures' numbers are there."""
        super().check(require)
        made = self.table.columns[len(self.table.columns) - self._count :]
        require(0 < self._count == len(made), "a column for each number of a picture")
        require(all(column.kind == "number" for column in made), "numbers of pictures")

    def to_json(self) -> JsonObject:
        """The encoder as plain JSON values; decoded pictures and weights stay behind."""
        assert self.features is not None
        return {**super().to_json(), "kind": "frozen pictures", "backbone": self.features.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FrozenEncoder:
        """The encoder that `to_json` gave, its features still to be attached."""
        result = super().from_json(value)
        assert isinstance(result, cls)
        return result
