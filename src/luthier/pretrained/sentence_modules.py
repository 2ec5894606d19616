"""Sentence transformers of packages and folders as networks whose blocks can be unfrozen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from luthier.data.sentences import MARKS, SentenceTransformer, transformer_named
from luthier.data.word_pieces import Words
from luthier.nets.text_backbone import SentenceNet, TextBackboneSpec

TEXT = "text"  # a column of its own


def spec_of(model: SentenceTransformer, name: str, length: int, outputs: int) -> TextBackboneSpec:
    """The network of a model that was read, for texts of so many pieces."""
    return TextBackboneSpec(Path(name).name, model.encoder.sizes, model.pooling, model.marks, length, outputs)


class TextBackbone(SentenceNet):
    """What `text_backbone` gives."""

    def __init__(self, model: SentenceTransformer, name: str) -> None:
        most = model.longest - MARKS
        encoder = copy.deepcopy(model.encoder).requires_grad_(True)
        super().__init__(spec_of(model, name, most, model.width), encoder)
        self.words = Words((TEXT,), model.word_pieces(), most, model.tokenizer.get_vocab_size())

    def ids(self, texts: Sequence[str]) -> Tensor:
        """The ids int32 [N, T] of the pieces of N texts, 0 behind a shorter one; T are those of the longest, or as many
        as the model reads."""
        tokens = torch.from_numpy(self.words.encode(pl.DataFrame({TEXT: pl.Series(list(texts), dtype=pl.String)})))
        longest = int((tokens[:, : self.words.length] > 0).sum(1).amax()) if len(tokens) else 1
        return tokens[:, : max(1, longest)]


def text_backbone(name: str | Path = "minilm") -> TextBackbone:
    """A sentence transformer as a module whose last layer is a linear head, for `luthier.transfer`.

    `name` is "minilm", from its package, or the local folder of a BERT encoder (`config.json`, `tokenizer.json`,
    `model.safetensors`), of which no code is run. The module takes ids [B, T], which `ids` makes of texts, 0 for
    padding; its blocks are the embeddings and each layer of the encoder. The head is fresh: `transfer` replaces it.
    InputError for a folder that is not whole, and for a model of another kind.

        backbone = luthier.text_backbone("minilm")
        train, held_out = backbone.ids(train_texts), backbone.ids(other_texts)
        found = luthier.transfer(backbone, (train, y), validation=(held_out, z), most_unfrozen=4)
    """
    return TextBackbone(transformer_named(str(name)), str(name))
