"""Vectors of texts: the table of Luthier, folders of sentence transformers, and the script that distils one from it."""

from __future__ import annotations

import importlib.util
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from luthier.bert import BertEncoder, BertSizes
from luthier.data import Preprocess, TableEncoder, infer_columns
from luthier.data.sentences import SentenceVectors
from luthier.data.sentences import static_table as table_module
from luthier.data.sentences.model_folder import read_folder
from luthier.data.sentences.static_table import ROWS, static_table, wordpiece
from luthier.errors import InputError
from luthier.rows import Inputs

ROOT = Path(__file__).parents[2]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", "a", "very", "rain", "the", "."]
SIZES = BertSizes(tokens=len(WORDS), width=12, layers=2, heads=3, inner=20, positions=16)
STRANGE = [
    *("", " \n\t", "a good film", "Good FILMS, bad films...", "don't stop\u00a0me\u2003now", "naïve café à la carte"),
    *(
        "東京タワーは高い",
        "👍👍 🎉",
        "a\u200bb c\u0085d\x0be",
        "x" * 500,
        "?!" * 300,
        "e\u0301te\u0301",
        "\x00nul \ufffd here",
    ),
    "word " * 3000,
]


def test_texts_are_cut_as_the_tokenizer_cuts_them_whole() -> None:
    table = static_table()
    for text, vector in zip(STRANGE, table.vectors(pl.Series(STRANGE)), strict=True):
        ids = table.tokenizer.encode(text).ids
        total = table.rows[ids].double().sum(0)
        expected = total / total.norm().clamp_min(1e-12)
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)  # sums of 3,000 rows in float32


def test_what_says_nothing_is_zero_and_the_rest_has_length_one() -> None:
    nothing = static_table().vectors(pl.Series(["", None, " ", "👍🎉"]))
    assert (nothing == 0).all()
    said = static_table().vectors(pl.Series(["a film", "Ünïcode", "x" * 1_000_000 + " good", "very " * 200_000]))
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    assert static_table().vectors(pl.Series([], dtype=pl.String)).shape == (0, 256)
    for alone in (None, "", " "):
        assert not static_table().vectors(pl.Series([alone], dtype=pl.String)).any()


def test_a_text_has_one_vector_in_any_company() -> None:
    texts = pl.Series([f"row {k % 7} of the film" for k in range(ROWS + 5)])
    vectors = static_table().vectors(texts)
    np.testing.assert_allclose(vectors[ROWS + 3], static_table().vectors(texts[ROWS + 3 : ROWS + 4])[0], atol=1e-6)


def test_words_of_like_meaning_lie_near() -> None:
    texts = ["the film was wonderful", "a great movie", "the train to Berlin leaves at noon", "railway timetable"]
    near = static_table().vectors(pl.Series(texts))
    cosines = near @ near.T
    assert min(cosines[0, 1], cosines[2, 3]) > max(cosines[0, 2], cosines[0, 3], cosines[1, 2], cosines[1, 3])


def test_the_file_is_small() -> None:
    assert table_module.PATH.stat().st_size < 4_200_000  # deflated in a wheel: below 4 MB


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny sentence transformer with random weights."""
    result = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    encoder = BertEncoder(SIZES)
    save_file({f"bert.{name}": value for name, value in encoder.state_dict().items()}, result / "model.safetensors")
    config = {
        "model_type": "bert", "vocab_size": SIZES.tokens, "hidden_size": SIZES.width, "num_hidden_layers": SIZES.layers,
        "num_attention_heads": SIZES.heads, "intermediate_size": SIZES.inner, "type_vocab_size": 2,
        "max_position_embeddings": SIZES.positions, "layer_norm_eps": 1e-12, "hidden_act": "gelu",
    }  # fmt: skip
    (result / "config.json").write_text(json.dumps(config))
    wordpiece(WORDS).save(str(result / "tokenizer.json"))
    return result


def by_pytorch(encoder: BertEncoder, ids: Tensor, offset: int = 0) -> Tensor:
    """The same encoder by PyTorch's own layers; the first place has the position of row `offset`."""
    state = encoder.state_dict()
    parts = encoder.embeddings
    x = parts.word_embeddings(ids) + state["embeddings.position_embeddings.weight"][offset : offset + ids.shape[1]]
    x = parts.LayerNorm(x + state["embeddings.token_type_embeddings.weight"][0])
    for k in range(SIZES.layers):
        layer = nn.TransformerEncoderLayer(
            SIZES.width, SIZES.heads, SIZES.inner, 0.0, "gelu", 1e-12, batch_first=True, dtype=torch.float64
        )
        own = {name.removeprefix(f"encoder.layer.{k}."): value for name, value in state.items()}
        stacked = {
            f"self_attn.in_proj_{kind}": torch.cat(
                [own[f"attention.self.{n}.{kind}"] for n in ("query", "key", "value")]
            )
            for kind in ("weight", "bias")
        }
        names = {"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm",
                 "linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm"}  # fmt: skip
        renamed = {f"{a}.{kind}": own[f"{b}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
        layer.load_state_dict({**stacked, **renamed})
        x = layer.eval()(x)
    return x


def test_the_encoder_is_that_of_pytorchs_layers(folder: Path) -> None:
    encoder = read_folder(folder).encoder.double()
    ids = torch.tensor([[2, 4, 6, 7, 3], [2, 9, 5, 6, 3]])
    with torch.no_grad():
        expected = by_pytorch(encoder, ids)
        torch.testing.assert_close(encoder(ids, torch.ones_like(ids, dtype=torch.bool)), expected)
        padded = torch.cat([ids, torch.zeros(2, 3, dtype=torch.int64)], 1)
        torch.testing.assert_close(encoder(padded, padded > 0)[:, :5], expected)


@pytest.mark.parametrize(("kind", "offset"), [("bert", 0), ("xlm-roberta", 2)])
def test_a_folder_for_many_languages_is_read(kind: str, offset: int, folder: Path, tmp_path: Path) -> None:
    """Unigram pieces with the marks <s> and </s>, whose ids come before those of padding and of what is unknown."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    _config(model_type=kind, pad_token_id=1)(tmp_path)
    pieces = [
        ("<s>", 0.0),
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁buen", -1.0),
        ("a", -2.0),
        ("▁film", -1.5),
    ]
    tokenizer: Any = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model = read_folder(tmp_path)
    assert model.marks == (0, 2)
    assert model.longest == SIZES.positions - offset
    (vector,) = model.vectors(["buena film"])
    with torch.no_grad():
        read = by_pytorch(model.encoder.double(), torch.tensor([[0, 4, 5, 6, 2]]), offset)
    expected = torch.nn.functional.normalize(read.mean(1), dim=1)[0]
    np.testing.assert_allclose(vector, expected.numpy(), atol=1e-6)  # float32
    with pytest.raises(InputError, match="--text-model FOLDER"):
        model.word_pieces()


def test_long_texts_are_read_in_windows(folder: Path) -> None:
    model = read_folder(folder)
    inner = model.longest - 2
    text = " ".join(["good", "film", "very"] * inner)
    ids = model.tokenizer.encode(text).ids
    windows = [" ".join(WORDS[k] for k in ids[start : start + inner]) for start in range(0, len(ids), inner)]
    apart = model.vectors(windows).mean(0)
    np.testing.assert_allclose(model.vectors([text])[0], apart / np.linalg.norm(apart), atol=1e-6)
    empty, short = model.vectors(["", "good"])
    assert (empty == 0).all()
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-6)


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _with_code(folder: Path) -> None:
    (folder / "modeling.py").write_text("raise SystemExit('run')")


def _config(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        known = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**known, **changes}))

    return change


def _written(name: str, text: str) -> Any:
    return lambda folder: (folder / name).write_text(text)


def _not_finite(folder: Path) -> None:
    stored = load_file(folder / "model.safetensors")
    save_file({name: value * float("nan") for name, value in stored.items()}, folder / "model.safetensors")


def _other_tokenizer(folder: Path) -> None:
    wordpiece([*WORDS, "one", "more"]).save(str(folder / "tokenizer.json"))


BROKEN = {
    "not a whole model: config.json missing": _without("config.json"),
    "not a whole model: tokenizer.json missing": _without("tokenizer.json"),
    "not a whole model: model.safetensors missing": _without("model.safetensors"),
    r"pickled \(pytorch_model.bin\)": _pickled,
    "code of its own, which is not run": _with_code,
    "asks for code of its own": _config(auto_map={"AutoModel": "modeling.Own"}),
    "not one that is read here": _config(model_type="xlnet"),
    "not one that is read": _config(hidden_act="relu"),
    "are not those of an encoder": _config(hidden_size="12"),
    "not those of an encoder": _config(num_attention_heads=5),
    "pad_token_id of at most 12": _config(model_type="roberta", pad_token_id=90),
    "missing or of another shape": _config(intermediate_size=21),
    "of another shape": _config(hidden_size=3_000_000),
    "are damaged": _written("model.safetensors", "no tensors"),
    "cannot be read": _written("config.json", "{"),
    "not a JSON object": _written("config.json", "[]"),
    "tokenizer .* is damaged": _written("tokenizer.json", "{}"),
    "NaN or infinity": _not_finite,
    "is not that of the model": _other_tokenizer,
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_folder_that_is_not_a_model_is_refused(folder: Path, tmp_path: Path, message: str) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    BROKEN[message](tmp_path)
    with pytest.raises(InputError, match=message):
        read_folder(tmp_path)


def test_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        read_folder(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("distil", ROOT / "tools" / "distil_sentence_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_keeps_what_tokens_mean(script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the table, unpacked, have the inner products of the centred vectors, but for the rounding to 4 bits."""
    monkeypatch.setattr(script, "WIDTH", SIZES.width)
    monkeypatch.setattr(script, "FIRST_WORD", 0)
    monkeypatch.setattr(script, "LARGEST", 1.0)
    vectors, words = script.token_vectors(folder)
    assert words == WORDS
    assert vectors.dtype == torch.float64
    made, again = script.table_of(vectors, words), script.table_of(*script.token_vectors(folder))
    assert script.save(made) == script.save(again)
    packed = made["table"].int()
    rows = (torch.stack([packed >> 4, packed & 15], 2).flatten(1) - script.ZERO) * made["scale"]
    assert (rows[:4] == 0).all()
    used = vectors[4:] - vectors[4:].mean(0)
    weighted = used * torch.log(1 + torch.arange(4, len(WORDS)).double()).unsqueeze(1)
    rounding = made["scale"].double().norm() / 2 * (weighted.norm(dim=1).max() * 2 + made["scale"].double().norm())
    assert (rows[4:].double() @ rows[4:].double().T - weighted @ weighted.T).abs().max() < rounding


def test_an_encoder_with_vectors_comes_back_and_knows_its_source() -> None:
    frame = pl.DataFrame({"said": [f"word number {k} of the day" for k in range(60)], "x": np.arange(60) * 0.5})
    frame = frame.with_columns(y=pl.Series(["a", "b"] * 30))
    encoder = TableEncoder.fit(frame, infer_columns(frame, target="y", overrides={}), "static")
    numbers = encoder.encode(frame).numbers
    assert numbers.shape[1] == 1 + 256
    np.testing.assert_allclose(numbers[:, 1:257].norm(dim=1).numpy(), 1, atol=1e-5)
    assert encoder.places()["said"] == {"numbers": list(range(1, 257)), "tokens": list(range(encoder.words))}
    again = TableEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.encode(frame).numbers.equal(numbers)
    known = encoder.to_json()
    known["vectors"][0]["digest"] = sha256(b"").hexdigest()
    with pytest.raises(InputError, match="which is not here"):
        TableEncoder.from_json(known).encode(frame)


def test_vectors_pass_preprocessing_as_they_are() -> None:
    numbers = torch.tensor([[1.0, 0.6, 0.8], [3.0, 1.0, 0.0]])
    fitted = Preprocess.fit(numbers, vectors=2)
    assert fitted(numbers)[:, 1:].equal(numbers[:, 1:])
    assert fitted(numbers)[:, 0].tolist() == [-1.0, 1.0]
    again = Preprocess.from_config(fitted.config())
    again.load_state_dict(fitted.state_dict())
    assert again(numbers).equal(fitted(numbers))
    inputs = Inputs(numbers=numbers, tokens=torch.tensor([[5], [9000]]))
    assert fitted.plain(inputs).shape == (2, 1 + 32 + 16)


def test_several_columns_have_a_vector_each_and_many_one_together() -> None:
    frame = pl.DataFrame({f"t{k}": ["good film", "rain"] for k in range(5)})
    two = SentenceVectors.of(["t0", "t1"], "static").encode(frame)
    assert two.shape == (2, 512)
    np.testing.assert_array_equal(two[:, :256], two[:, 256:])
    together = SentenceVectors.of(list(frame.columns), "static")
    assert together.encode(frame).shape == (2, together.columns) == (2, 256)
