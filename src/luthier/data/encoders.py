"""Every kind of rows through one door: what encoders have in common, and which belongs to a table or to pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.data.encode import TableEncoder
from luthier.data.encoder_checks import Require
from luthier.data.mixed_rows import FrozenEncoder, MixedEncoder
from luthier.data.pictures import PictureEncoder, Pixels, Shape
from luthier.data.preprocess import Preprocess
from luthier.data.sentences import SentenceVectors
from luthier.data.typed_columns.columns import Column
from luthier.data.unread import Unread
from luthier.data.word_pieces import Words
from luthier.records import JsonObject
from luthier.rows import Inputs, Place

Prepare = Preprocess | Pixels


class Encoder(Protocol):
    """How rows of a modality become inputs, learnt from the training rows: what all rooms know of the modality.

    The other rooms look up under its `medium` what they have for it: networks and questions (`recipe.modality`),
    explanations (`saved.explained_rows`), exports (`exporting.exported_rows`), readers of requests (`serving`).
    """

    @property
    def medium(self) -> str:
        """The modality's name."""

    @property
    def dense(self) -> bool:
        """Whether rows are numbers and codes alone, as dense networks take them."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it reads."""

    @property
    def number_names(self) -> tuple[str, ...]:
        """Names of the numbers, without those of texts."""

    @property
    def category_names(self) -> tuple[str, ...]:
        """Names of the codes."""

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """How many codes each category has."""

    @property
    def words(self) -> int:
        """How many tokens a row has."""

    @property
    def texts(self) -> tuple[Words, ...]:
        """What reads the columns of text."""

    @property
    def vectors(self) -> tuple[SentenceVectors, ...]:
        """What gives vectors of texts."""

    @property
    def vector_width(self) -> int:
        """How many of the numbers, the last ones, are vectors of texts."""

    @property
    def shape(self) -> Shape | tuple[()]:
        """Channels, height and width of a row's picture; empty where there is none."""

    def encode(
        self, frame: pl.DataFrame, *, impute_missing_columns: bool = False, unread: Unread | None = None
    ) -> Inputs:
        """The inputs of a table's rows."""

    def places(self) -> dict[str, Place]:
        """Where each column lies in the inputs, for importance and explanations."""

    def blank(self) -> Inputs:
        """A row of zeros."""

    def described(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What drift is looked for in: numbers [N] and codes [N] by name."""

    def labels(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """The text of the cells [N] of columns with few values, by which rows fall into groups."""

    def preprocess(self, numbers: Tensor, method: str, measured: Tensor | None = None) -> Prepare:
        """Preprocessing fitted on the numbers [N, F] of training rows; for `measured` see `Preprocess.fit`."""

    def check(self, require: Require) -> None:
        """Compare what it holds, read from a stranger's file, part by part."""

    def check_preprocess(self, config: Mapping[str, Any], require: Require) -> None:
        """Compare the facts of a preprocessing, read from a stranger's file, with what it gives."""

    def to_json(self) -> JsonObject:
        """It as plain JSON values, under its `kind`."""


class EncoderKind(Protocol):
    """A class of encoders: which tables it reads, and how it is made."""

    @staticmethod
    def reads(columns: Sequence[Column]) -> bool:
        """Whether these columns are its own."""

    @classmethod
    def learnt(cls, frame: pl.DataFrame, columns: Sequence[Column], **options: Any) -> Encoder:
        """An encoder of training rows; see `encoder_of` for the options."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_json` gave."""


ENCODERS: dict[str, EncoderKind] = {  # of those that read a table's columns the last one does
    "table": TableEncoder,
    "pictures": PictureEncoder,
    "mixed rows": MixedEncoder,
    "frozen pictures": FrozenEncoder,
}


def encoder_of(frame: pl.DataFrame, columns: Sequence[Column], **options: Any) -> Encoder:
    """What encodes rows like these training rows: of the kinds of encoders the last one that reads their columns.

    Options are `text_model`, which gives vectors of texts, and `store`, the pictures that were decoded already.
    """
    kind = next(kind for kind in reversed(ENCODERS.values()) if kind.reads(columns))
    return kind.learnt(frame, columns, **options)


def encoder_from_json(value: Mapping[str, Any]) -> Encoder:
    """The encoder that its `to_json` gave."""
    return ENCODERS[str(value.get("kind", "table"))].from_json(value)


def flat(inputs: Inputs, side: int = 28) -> Tensor:
    """Rows as plain numbers [N, F] for methods that know no pictures: pixels between 0 and 1, of at most `side`, then
    the other numbers."""
    if "pixels" not in inputs:
        return inputs.numbers
    pixels = inputs["pixels"]
    size = min(side, pixels.shape[2]), min(side, pixels.shape[3])
    pieces = [F.adaptive_avg_pool2d(some.float() / 255, size).flatten(1) for some in torch.split(pixels, 1024)]
    seen = torch.cat(pieces) if pieces else torch.zeros(0, pixels.shape[1] * size[0] * size[1])
    return torch.cat([seen.to(inputs.numbers.dtype), inputs.numbers], 1) if inputs.numbers.shape[1] else seen


def preprocess_from(config: Mapping[str, Any]) -> Prepare:
    """An unfitted module of the same shape, for `load_state_dict`."""
    return Pixels() if config["method"] == Pixels.method else Preprocess.from_config(config)
