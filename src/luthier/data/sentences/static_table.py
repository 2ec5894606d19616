"""Vectors of tokens that come with Luthier: a text's vector is the sum of its tokens' rows, of length 1.

The table was distilled from a sentence transformer (`tools/distil_sentence_table.py`); `CARD.md` beside it says from
which. V tokens, D numbers of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import load
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor
from torch.nn import functional as F

PATH = Path(__file__).with_name("table.safetensors")
CHUNKS = r"[^\t\n\r\p{Z}]+"  # what lies between blanks, as BERT's tokenizer sees them
ROWS = 16_384  # texts at once: their distinct chunks have a row of D numbers each
ZERO = 8  # what a 4-bit value means 0 by


@dataclass(frozen=True)
class StaticTable:
    """Rows of tokens [V, D], how text is cut into tokens, and the file's SHA-256."""

    rows: Tensor
    tokenizer: Any
    digest: str

    @property
    def width(self) -> int:
        """D."""
        return self.rows.shape[1]

    def vectors(self, texts: pl.Series) -> np.ndarray:
        """Vectors float32 [N, D] of texts, of length 1; 0 where a text is missing or none of its tokens has a row."""
        pieces = [self._vectors(texts[start : start + ROWS]) for start in range(0, len(texts), ROWS)]
        return np.concatenate(pieces) if pieces else np.zeros((0, self.width), np.float32)

    def reader(self, device: torch.device) -> str:
        """Nothing worth naming."""
        return ""

    def seconds(self, texts: pl.Series, device: torch.device) -> float:
        """No time worth speaking of."""
        return 0.0

    def keep(self, texts: pl.Series, device: torch.device) -> None:
        """Nothing: they are sooner summed than found."""

    def _vectors(self, texts: pl.Series) -> np.ndarray:
        chunks = texts.fill_null("").str.extract_all(CHUNKS)
        counts = torch.from_numpy(chunks.list.len().to_numpy().astype(np.int64))
        every = chunks.list.explode().drop_nulls()
        known = every.unique()
        codes = every.replace_strict(known, pl.int_range(len(known), eager=True), return_dtype=pl.Int64)
        found = _summed(self.rows, [one.ids for one in self.tokenizer.encode_batch(known.to_list())])
        starts = counts.cumsum(0) - counts
        total = F.embedding_bag(torch.from_numpy(codes.to_numpy().astype(np.int64)), found, starts, mode="sum")
        return F.normalize(total, dim=1).numpy()


def _summed(rows: Tensor, ids: list[list[int]]) -> Tensor:
    """The sums [U, D] of the rows of each list of ids; one of zeros where there is no list."""
    if not ids:
        return torch.zeros(1, rows.shape[1])
    counts = torch.tensor([len(one) for one in ids])
    flat = torch.tensor([k for one in ids for k in one], dtype=torch.int64)
    return F.embedding_bag(flat, rows, counts.cumsum(0) - counts, mode="sum")


@cache
def static_table() -> StaticTable:
    """The table of this version of Luthier.

    >>> near = static_table().vectors(pl.Series(["a superb film", "an excellent movie", "rain in the north"]))
    >>> bool(near[0] @ near[1] > near[0] @ near[2])
    True
    """
    content = PATH.read_bytes()
    stored = load(content)
    words = bytes(stored["vocabulary"].numpy()).decode().split("\n")
    packed = stored["table"].int()
    values = torch.stack([packed >> 4, packed & 15], 2).flatten(1) - ZERO
    return StaticTable(values * stored["scale"], wordpiece(words), sha256(content).hexdigest())


def wordpiece(words: list[str]) -> Any:
    """BERT's tokenizer of a vocabulary in lower case, without the marks of beginning and end."""
    result = Tokenizer(models.WordPiece({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    plain: Any = result  # its stubs know no assignment of these two
    plain.normalizer, plain.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return result
