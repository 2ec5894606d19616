"""Text as ids of word pieces and pairs: what is kept, cut, unknown, and how it comes back."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from luthier.data import Preprocess, TableEncoder, infer_columns
from luthier.data.word_pieces import PAD, UNKNOWN, Words
from luthier.errors import InputError
from luthier.rows import Inputs

TEXTS = ["a very good film", "a very bad film", "good acting, very good film", "Très bon, a GOOD film!", None] * 8


def test_pieces_and_pairs_of_a_row() -> None:
    frame = pl.DataFrame({"said": TEXTS})
    words = Words.fit(frame, ["said"])
    ids = words.encode(frame)
    assert ids.shape == (40, words.columns) == (40, 2 * words.length - 1)
    pieces, pairs = ids[:, : words.length], ids[:, words.length :]
    assert (pieces[4] == PAD).all()  # a missing text has no piece
    assert (pairs[4] == 0).all()
    assert pieces[0, 3] == pieces[1, 3]  # film
    assert pieces[0, 2] != pieces[1, 2]  # good, bad
    assert pairs.max() <= len(words.pairs)
    assert (pairs[0, :3] > 0).all()
    good = words.encode(pl.DataFrame({"said": ["GOOD"]}))[0, 0]
    assert good == pieces[0, 2]  # case and accents do not count
    never = words.encode(pl.DataFrame({"said": ["film good a"]}))
    assert (never[0, words.length : words.length + 2] == 0).all()  # pairs that training did not have


def test_what_is_cut_and_what_is_unknown() -> None:
    frame = pl.DataFrame({"said": ["good film " * 3] * 50})
    words = Words.fit(frame, ["said"])
    figures = words.figures(pl.DataFrame({"said": ["good film " * 30, "good film", "日本"]}))
    assert figures["cut"] == pytest.approx(1 / 3)
    assert 0 < figures["unknown"] < 0.1
    assert UNKNOWN in words.encode(pl.DataFrame({"said": ["日本"]}))[0]


def test_runs_without_a_blank_are_learnt_from_in_parts() -> None:
    """Pieces of one of a megabyte took minutes to learn."""
    frame = pl.DataFrame({"said": ["good film", "a good film", "x" * 1_000_000, "?!" * 500_000]})
    pieces = json.loads(Words.fit(frame, ["said"]).tokenizer)["model"]["vocab"]
    assert "good" in pieces
    assert max(map(len, pieces)) <= 1000


def test_an_encoder_with_text_comes_back() -> None:
    frame = pl.DataFrame({"said": [f"word number {k} of the day" for k in range(60)], "x": np.arange(60) * 0.5})
    frame = frame.with_columns(y=pl.Series(["a", "b"] * 30))
    columns = infer_columns(frame, target="y", overrides={})
    assert {column.name: column.kind for column in columns} == {"said": "text", "x": "number"}
    encoder = TableEncoder.fit(frame, columns)
    again = TableEncoder.from_json(encoder.to_json())
    inputs = encoder.encode(frame)
    assert all(again.encode(frame)[name].equal(value) for name, value in inputs.items())
    assert inputs.tokens.dtype == torch.int32
    assert (inputs.numbers.shape[1], inputs.tokens.shape[1]) == (1, encoder.words)
    assert encoder.places() == {"said": {"tokens": list(range(encoder.words))}, "x": {"numbers": [0]}}
    broken = encoder.to_json()
    broken["texts"][0]["tokenizer"] = {"version": "1.0"}
    with pytest.raises(InputError, match="tokenizer of 'said' is damaged"):
        TableEncoder.from_json(broken).encode(frame)


def test_several_columns_of_text_are_read_one_after_another() -> None:
    frame = pl.DataFrame({"title": ["good film"] * 20, "body": ["bad acting by all"] * 20})
    words = Words.fit(frame, ["title", "body"])
    assert words.name == "title + body"
    assert (words.encode(frame)[0, :7] > 0).all()


def test_tokens_pass_preprocessing_as_they_are() -> None:
    tokens = torch.tensor([[5, 0], [9000, 2]], dtype=torch.int32)
    inputs = Inputs(numbers=torch.tensor([[1.0], [3.0]]), tokens=tokens)
    fitted = Preprocess.fit(inputs.numbers)
    ready = fitted.prepared(inputs)
    assert ready.tokens is tokens
    assert ready.numbers[:, 0].tolist() == [-1.0, 1.0]
    assert fitted.width == 1
    again = Preprocess.from_config({**fitted.config(), "words": 2})  # as earlier versions wrote it
    again.load_state_dict(fitted.state_dict())
    assert again.plain(inputs).equal(fitted.plain(inputs))
    assert fitted.plain(inputs).shape == (2, 1 + 16)


def test_what_lies_behind_the_last_piece_that_is_read_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer sees a row's beginning alone, and gives the ids of the whole."""
    seen: list[str] = []
    split = Words._ids
    monkeypatch.setattr(Words, "_ids", lambda self, written: seen.extend(written) or split(self, written))
    rng = np.random.default_rng(0)
    known = ["".join(rng.choice(list("abcdefgh"), rng.integers(1, 15))) for _ in range(300)]
    words = Words.fit(pl.DataFrame({"said": [" ".join(rng.choice(known, 40)) for _ in range(300)]}), ["said"])
    texts = [" ".join(rng.choice([*known, "é", "新", "?!"], 2000)) for _ in range(50)]
    texts += ["abcdefgh" * 5000, "z" * 50_000, "?" * 50_000, " ".join(known) * 20]
    assert min(map(len, texts)) > 2 * words.letters
    whole = [row.ids[: words.length] for row in words._known.encode_batch(texts)]
    seen.clear()
    pieces = words.encode(pl.DataFrame({"said": texts}))[:, : words.length].astype(int)
    assert max(map(len, seen)) <= words.letters
    assert pieces.tolist() == whole
    assert words.figures(pl.DataFrame({"said": texts}))["cut"] == 1
