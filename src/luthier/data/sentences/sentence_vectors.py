"""Columns of text as vectors: which source gives them, by name and by content. N rows, D numbers of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from luthier.data.sentences.text_sources import STATIC, source_named, source_of
from luthier.errors import InputError
from luthier.messages import Message
from luthier.records import JsonObject

MOST_APART = 4  # columns with a vector each; more are read as one text


@dataclass(frozen=True)
class SentenceVectors:
    """The vectors of some columns, one beside another. The `source` is "static", the table that comes with Luthier,
    "minilm", or the name of a folder, whose weights are known by their SHA-256."""

    names: tuple[str, ...]
    source: str
    digest: str
    width: int

    @classmethod
    def of(cls, names: Sequence[str], source: str) -> SentenceVectors:
        """Vectors of these columns by a source.

        >>> vectors = SentenceVectors.of(["said"], "static")
        >>> vectors.encode(pl.DataFrame({"said": ["a good film", None]})).shape
        (2, 256)
        """
        made = source_named(source)
        return cls(tuple(names), Path(source).name, made.digest, made.width)

    @property
    def columns(self) -> int:
        """Numbers of a row."""
        return self.width * (len(self.names) if len(self.names) <= MOST_APART else 1)

    def sentence(self, device: torch.device) -> str:
        """What gives the vectors, what computes them on a device, and how to override it."""
        what = Message("the table that comes with Luthier (distilled from all-MiniLM-L6-v2)")
        reader = source_of(self.source, self.digest).reader(device)
        read = Message("{source} by {reader}", source=self.source, reader=reader)
        return Message(
            "{columns}: sentence vectors of {count} numbers beside the words, from {source}; override with "
            "--text-model minilm, a folder, or none",
            columns=", ".join(f"`{name}`" for name in self.names),
            count=self.columns,
            source=what if self.source == STATIC else read,
        )

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Vectors float32 [N, columns] of the rows' texts. InputError where their source is not here."""
        made = source_of(self.source, self.digest)
        if made.width != self.width:
            raise InputError("the model's vectors of texts have another width than their source gives",
                             expected=str(self.width), received=str(made.width))  # fmt: skip
        return np.concatenate([made.vectors(one) for one in self._texts(frame)], 1)

    def seconds(self, frame: pl.DataFrame, device: torch.device) -> float:
        """About how long the vectors of these rows take on a device."""
        made = source_of(self.source, self.digest)
        return sum(made.seconds(one, device) for one in self._texts(frame))

    def keep(self, frame: pl.DataFrame, device: torch.device) -> None:
        """Work out the vectors of these rows on a device, where later calls find them."""
        made = source_of(self.source, self.digest)
        for one in self._texts(frame):
            made.keep(one, device)

    def _texts(self, frame: pl.DataFrame) -> list[pl.Series]:
        texts = [frame[name].cast(pl.String).fill_null("") for name in self.names]
        return texts if len(texts) <= MOST_APART else [_joined(texts)]

    def to_json(self) -> JsonObject:
        """As plain JSON values."""
        return {"names": list(self.names), "source": self.source, "digest": self.digest, "width": self.width}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SentenceVectors:
        """What `to_json` gave."""
        return cls(tuple(value["names"]), str(value["source"]), str(value["digest"]), int(value["width"]))


def _joined(texts: Sequence[pl.Series]) -> pl.Series:
    return pl.DataFrame([text.alias(str(k)) for k, text in enumerate(texts)]).select(
        pl.concat_str(pl.all(), separator=" ")
    )["0"]
