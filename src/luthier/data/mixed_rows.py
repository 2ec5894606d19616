"""Rows of a table with one column of pictures: cells as a table's, and pixels beside them, or the numbers that a frozen
backbone gives for them. N rows, K numbers of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.encode import TableEncoder
from luthier.data.encoder_checks import Require
from luthier.data.pictures import PictureEncoder, PictureStore, Shape, store_of, with_content_names
from luthier.data.preprocess import Preprocess
from luthier.data.sentences import SentenceVectors
from luthier.data.typed_columns.columns import Column
from luthier.data.unread import Unread
from luthier.data.word_pieces import Words
from luthier.errors import InputError
from luthier.messages import Message
from luthier.records import JsonObject
from luthier.rows import Inputs, Place

NAMED = 5
BESIDE_FROZEN = CELLS_BESIDE, TEXT_BESIDE = "cells beside frozen pictures", "text beside frozen pictures"
AT_ONCE = 256  # pictures that are in memory together


@dataclass(frozen=True)
class MixedEncoder:
    """The encoder of the other columns, and the column of pictures, all brought to one shape; a missing one is black.

    `store` holds those that were decoded already.
    """

    table: TableEncoder
    picture: Column
    shape: Shape
    store: PictureStore | None = field(default=None, compare=False, repr=False)

    medium: ClassVar[str] = "mixed rows"
    dense: ClassVar[bool] = False

    @staticmethod
    def reads(columns: Sequence[Column]) -> bool:
        """Tables with a column of pictures and others."""
        used = [column.kind for column in columns if column.used]
        return used.count("picture") == 1 and len(used) > 1

    @classmethod
    def learnt(cls, frame: pl.DataFrame, columns: Sequence[Column], **options: Any) -> MixedEncoder:
        """The others are learnt as a table's; pictures as they were decoded."""
        store: PictureStore = options["store"]
        picture = next(column for column in columns if column.kind == "picture")
        others = [column for column in columns if column.kind != "picture"]
        return cls(TableEncoder.fit(frame, others, options["text_model"]), picture, store.shape, store)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of the table, and the pictures'."""
        return (*self.table.columns, self.picture)

    @property
    def number_names(self) -> tuple[str, ...]:
        """The table's."""
        return self.table.number_names

    @property
    def category_names(self) -> tuple[str, ...]:
        """The table's."""
        return self.table.category_names

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """The table's."""
        return self.table.category_sizes

    @property
    def words(self) -> int:
        """The table's."""
        return self.table.words

    @property
    def texts(self) -> tuple[Words, ...]:
        """The table's."""
        return self.table.texts

    @property
    def vectors(self) -> tuple[SentenceVectors, ...]:
        """The table's."""
        return self.table.vectors

    @property
    def vector_width(self) -> int:
        """The table's."""
        return self.table.vector_width

    def level_of(self, name: str, value: Any) -> str | None:
        """The table's."""
        return self.table.level_of(name, value)

    def places(self) -> dict[str, Place]:
        """The table's, and all channels of the pixels."""
        return {**self.table.places(), self.picture.name: {"pixels": list(range(self.shape[0]))}}

    def encode(
        self, frame: pl.DataFrame, *, impute_missing_columns: bool = False, unread: Unread | None = None
    ) -> Inputs:
        """A table's inputs, and pixels uint8 [N, C, H, W]. Pictures that cannot be read count as missing in `unread`;
        InputError for them where nothing counts."""
        frame = self._complete(frame, impute_missing_columns)
        inputs = self.table.encode(frame, unread=unread)
        return inputs.replaced(pixels=self._pixels(self._cells(frame), unread))

    def joined(self, frame: pl.DataFrame, pixels: Tensor) -> Inputs:
        """The inputs of rows whose pictures are decoded."""
        return self.table.encode(frame).replaced(pixels=pixels)

    def _cells(self, frame: pl.DataFrame) -> pl.Series:
        cells = frame[self.picture.name]
        if cells.dtype == pl.Binary:
            cells = with_content_names(frame, self.picture.name)[self.picture.name]
        return cells.cast(pl.String)

    def _complete(self, frame: pl.DataFrame, impute: bool) -> pl.DataFrame:
        return TableEncoder(self.columns, {}, {}).complete(frame, impute)

    def _pixels(self, cells: pl.Series, unread: Unread | None) -> Tensor:
        references = cells.fill_null("").to_list()
        known = list(dict.fromkeys(name for name in references if name))
        store = self.store
        if store is None or not all(name in store.places for name in known):
            store = store_of(known, self.shape, kept=False)
            if store.problems and unread is not None:
                lost = {known[row] for row in store.problems}
                unread.count(cells, np.array([name in lost for name in references]), "not a picture that can be read")
                references = ["" if name in lost else name for name in references]
            elif store.problems:
                named = [f"'{known[row]}' ({why})" for row, why in list(store.problems.items())[:NAMED]]
                template = "{count} pictures cannot be read: {names}"
                raise InputError(
                    Message(template, count=len(store.problems), names=", ".join(named)),
                    expected="paths of pictures; an empty cell is a missing picture",
                )
        return self.with_missing(store.take([name for name in references if name]), [not name for name in references])

    def with_missing(self, pixels: Tensor, missing: Sequence[bool]) -> Tensor:
        """Pictures [M, C, H, W] in rows [N, C, H, W], of which the others are black."""
        result = torch.zeros((len(missing), *self.shape), dtype=torch.uint8)
        result[~torch.tensor(missing, dtype=torch.bool)] = pixels
        return result

    def decoded(self, contents: Sequence[bytes]) -> tuple[Tensor, dict[int, str]]:
        """Pictures uint8 [N, C, H, W] from the contents of files, and why, for those that cannot be read."""
        return PictureEncoder((self.picture,), self.shape).decoded(contents)

    def described(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What drift is looked for in: the table's, and brightness, contrast and sharpness of the pictures."""
        numbers, codes = self.table.described(inputs)
        seen, _ = PictureEncoder((self.picture,), self.shape).described(inputs)
        return {**numbers, **{f"{self.picture.name} ({name})": values for name, values in seen.items()}}, codes

    def labels(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """The table's."""
        return self.table.labels(inputs)

    def blank(self) -> Inputs:
        """A row of zeros with a black picture."""
        return self.table.blank().replaced(pixels=torch.zeros(1, *self.shape, dtype=torch.uint8))

    def preprocess(self, numbers: Tensor, method: str, measured: Tensor | None = None) -> Preprocess:
        """The table's; pixels stay as they are."""
        return self.table.preprocess(numbers, method, measured)

    def check(self, require: Require) -> None:
        """Compare the table's parts with each other, and the pictures' shape."""
        self.table.check(require)
        require(self.picture.used and self.picture.kind == "picture", "one column of pictures")
        require(self.picture.name not in {c.name for c in self.table.columns}, "columns of different names")
        require(self.shape[0] in (1, 3), "pictures of 1 or 3 channels", str(self.shape[0]))

    def check_preprocess(self, config: Mapping[str, Any], require: Require) -> None:
        """Compare a preprocessing with the numbers."""
        self.table.check_preprocess(config, require)

    def to_json(self) -> JsonObject:
        """The encoder as plain JSON values; decoded pictures stay behind."""
        known: JsonObject = {"picture": self.picture.to_json(), "shape": list(self.shape)}
        return {"kind": "mixed rows", "table": self.table.to_json(), **known}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MixedEncoder:
        """The encoder that `to_json` gave."""
        channels, height, width = (int(side) for side in value["shape"])
        table = TableEncoder.from_json(value["table"])
        return cls(table, Column.from_json(value["picture"]), (channels, height, width))


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
