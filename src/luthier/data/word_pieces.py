"""Free text as numbers: each row the ids of its word pieces, in their order, and of its known pairs of neighbours.

Pieces come from byte-pair encoding (Sennrich and others 2016), learnt from the training rows: frequent words stay
whole, rare ones are spelt from parts. Hugging Face's `tokenizers` does the work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from luthier.errors import InputError
from luthier.messages import Message
from luthier.records import JsonObject

PAD, UNKNOWN = 0, 1  # no piece, and one that training did not have, of pieces that are learnt from it
MOST_PIECES, MOST_PAIRS = 12_000, 50_000
FEWEST_ROWS = 2  # a pair must occur in as many training rows
LONGEST = 256  # pieces of a row that are read
LONG_RUN = re.compile(r"\w{1000}|[^\w\s]{1000}")  # pieces of a run without a blank take the square of its length
COVERED = 0.98  # of the training rows are read whole, unless that takes more than the longest


@dataclass(frozen=True)
class Words:
    """Columns of text, read one after another: how they are split (the tokenizer's own JSON), how many pieces L of a
    row are read, and which pairs of neighbours are known (sorted, each the first one's id times the number of pieces
    plus the second's)."""

    names: tuple[str, ...]
    tokenizer: str
    length: int
    pieces: int
    pairs: tuple[int, ...] = ()

    @classmethod
    def fit(cls, frame: pl.DataFrame, names: Sequence[str]) -> Words:
        """Learn the pieces from the training rows.

        >>> frame = pl.DataFrame({"said": ["good film", "bad film", "a good film", None]})
        >>> words = Words.fit(frame, ["said"])
        >>> words.encode(frame).shape == (4, words.columns)
        True
        """
        written = _texts(frame, names)
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
        plain: Any = tokenizer  # its stubs know no assignment of these two
        plain.normalizer = normalizers.Sequence(
            [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
        )
        plain.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.BpeTrainer(
            vocab_size=MOST_PIECES, min_frequency=2, special_tokens=["[PAD]", "[UNK]"], show_progress=False
        )
        tokenizer.train_from_iterator((LONG_RUN.sub(r"\g<0> ", text) for text in written), trainer)
        result = cls(tuple(names), tokenizer.to_str(), LONGEST, tokenizer.get_vocab_size())._as_long_as(frame)
        return replace(result, pairs=result._frequent_pairs(result._pieces(frame)))

    @classmethod
    def of_model(cls, frame: pl.DataFrame, names: Sequence[str], tokenizer: str, longest: int) -> Words:
        """The pieces of a model that has learnt elsewhere, by its tokenizer; no pairs. Of a row at most `longest` are
        read, fewer where the training rows are shorter."""
        result = cls(tuple(names), tokenizer, longest, 0)
        return replace(result, pieces=result.known_pieces())._as_long_as(frame)

    def _as_long_as(self, frame: pl.DataFrame) -> Words:
        lengths = [len(ids) for ids in self._ids(_texts(frame, self.names))]
        return replace(self, length=int(np.clip(np.quantile(lengths, COVERED), 1, self.length)))

    @property
    def name(self) -> str:
        """The columns' names in one."""
        return " + ".join(self.names)

    @property
    def columns(self) -> int:
        """Numbers of a row: L pieces and L - 1 pairs."""
        return 2 * self.length - 1

    def encode(self, frame: pl.DataFrame) -> np.ndarray:
        """Ids int32 [N, L] of the rows' pieces, after them those [N, L - 1] of their pairs; 0 where there is none."""
        pieces = self._pieces(frame)
        keys, known = self._keys(pieces), np.array(self.pairs, dtype=np.int64)
        if not len(known):
            return np.concatenate([pieces, np.zeros_like(keys)], 1).astype(np.int32)
        place = np.searchsorted(known, keys).clip(0, len(known) - 1)
        pairs = np.where(known[place] == keys, place + 1, 0)
        return np.concatenate([pieces, pairs], 1).astype(np.int32)

    def _pieces(self, frame: pl.DataFrame) -> np.ndarray:
        result = np.zeros((frame.height, self.length), dtype=np.int64)
        beginnings = [text[: self.letters] for text in _texts(frame, self.names)]
        for place, ids in enumerate(self._ids(beginnings)):
            result[place, : min(len(ids), self.length)] = ids[: self.length]
        return result

    def _keys(self, pieces: np.ndarray) -> np.ndarray:
        """A number for each pair of neighbours [N, L - 1]; -1 where there is none."""
        first, second = pieces[:, :-1], pieces[:, 1:]
        return np.where((first > UNKNOWN) & (second > UNKNOWN), first * self.pieces + second, -1)

    def _frequent_pairs(self, pieces: np.ndarray) -> tuple[int, ...]:
        keys = [np.unique(row) for row in self._keys(pieces)]  # a row counts once
        every, counts = np.unique(np.concatenate([*keys, [-1]]), return_counts=True)
        often = (every >= 0) & (counts >= FEWEST_ROWS)
        every, counts = every[often], counts[often]
        most = np.sort(np.argsort(-counts, kind="stable")[:MOST_PAIRS])
        return tuple(int(key) for key in every[most])

    def figures(self, frame: pl.DataFrame) -> dict[str, float]:
        """How much of these texts is cut off, and the share of their pieces that training did not have."""
        ids = self._ids(_texts(frame, self.names))
        total = max(1, sum(map(len, ids)))
        cut = sum(len(row) > self.length for row in ids) / max(1, len(ids))
        return {"cut": cut, "unknown": sum(row.count(self.unknown) for row in ids) / total}

    def _ids(self, written: Sequence[str]) -> list[list[int]]:
        return [row.ids for row in self._known.encode_batch(list(written))]

    @property
    def unknown(self) -> int:
        """The id of what is not known."""
        return int(self._known.token_to_id("[UNK]"))

    @cached_property
    def letters(self) -> int:
        """Letters of a row that can matter: one piece more than is read, were all as long as the longest there is.

        What lies behind is not split into pieces: one word of 15 MB takes 16 s and 2.8 GB.
        """
        longest = max(map(len, self._known.get_vocab()), default=1)
        return (self.length + 1) * (longest + 1)

    @cached_property
    def _known(self) -> Any:
        try:
            return Tokenizer.from_str(self.tokenizer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library raises its own plain Exception, or panics
            raise InputError(
                Message("the tokenizer of '{name}' is damaged", name=self.name), received=str(error)
            ) from error

    def known_pieces(self) -> int:
        """How many pieces the tokenizer has. InputError where it is damaged."""
        return int(self._known.get_vocab_size())

    def to_json(self) -> JsonObject:
        """As plain JSON values."""
        plain = {name: getattr(self, name) for name in ("length", "pieces")} | {"pairs": list(self.pairs)}
        return {**plain, "names": list(self.names), "tokenizer": json.loads(self.tokenizer)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Words:
        """What `to_json` gave."""
        sizes = int(value["length"]), int(value["pieces"])
        return cls(
            tuple(map(str, value["names"])), json.dumps(value["tokenizer"]), *sizes, tuple(map(int, value["pairs"]))
        )


def _texts(frame: pl.DataFrame, names: Sequence[str]) -> list[str]:
    columns = [frame[name].cast(pl.String).fill_null("").to_list() for name in names]
    return [" | ".join(cells) for cells in zip(*columns, strict=True)] if len(names) > 1 else columns[0]
