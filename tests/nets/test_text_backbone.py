"""Sentence transformers as modules: their heads see the vectors that are known, padding changes nothing, and what
frozen blocks give is worked out once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.sentence_folders import sentence_folder
from tokenizers import Tokenizer, models, pre_tokenizers

import luthier
from luthier.data.sentences import transformer_named
from luthier.errors import InputError
from luthier.nets import TextBackboneSpec, build, spec_from_json
from luthier.nets.blocks import anatomy_of, pooled
from luthier.nets.frozen import above_frozen
from luthier.nets.seen_rows import seen_by
from luthier.pretrained.sentence_modules import spec_of

TEXTS = ["good film", "bad", "", "the very good film.", "👍👍", "x" * 1_000_000, "very good bad films " * 2]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_head_sees_the_vectors_that_are_known(tmp_path: Path, pooling: str) -> None:
    folder = sentence_folder(tmp_path / "model")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({
        {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}[pooling]: True}))  # fmt: skip
    net = luthier.text_backbone(folder)
    (seen,) = seen_by(net, "head", [], net.ids(TEXTS), at_once=3)
    expected = transformer_named(str(folder)).vectors(TEXTS)
    assert (expected[2] == 0).all()  # what an empty text is, is for the head to learn
    kept = [0, 1, 3, 4, 5, 6]
    np.testing.assert_allclose(seen[kept].numpy(), expected[kept], atol=1e-6)  # float32


def test_padding_changes_nothing(tmp_path: Path) -> None:
    net = luthier.text_backbone(sentence_folder(tmp_path / "model")).eval()
    X = net.ids(TEXTS[:4])
    longer = torch.cat([X, torch.zeros(4, 5, dtype=X.dtype)], 1)
    with torch.no_grad():
        torch.testing.assert_close(net(longer), net(X))
        torch.testing.assert_close(net(X[:1, :2]), net(X[:1]))
    for one, other in zip(*(seen_by(net, "head", ["layers.0"], some, 2) for some in (X, longer)), strict=True):
        torch.testing.assert_close(one, other)


def test_steps_of_zeros_are_no_part_of_a_mean() -> None:
    steps = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(pooled(steps), torch.tensor([[2.0, 4.0], [0.0, 0.0]]))


@pytest.mark.parametrize("kept", [1, 2])
def test_what_frozen_blocks_give_is_worked_out_once(tmp_path: Path, kept: int) -> None:
    net = luthier.text_backbone(sentence_folder(tmp_path / "model")).eval()
    X = net.ids(TEXTS)
    anatomy = anatomy_of(net, X[:2])
    assert anatomy.blocks == ["embeddings", "layers.0", "layers.1", "head"]
    found = above_frozen(net, anatomy.blocks[:-kept], [X], at_once=3, most_bytes=1 << 20)
    assert found is not None
    above, (Z,) = found
    assert not any(name.startswith("embeddings") for name in above.state_dict())
    torch.testing.assert_close(above(Z), net(X))


def test_transfer_unfreezes_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether "good" stands before "bad": no layer was taught anything, so those that learn gain."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    net = luthier.text_backbone(sentence_folder(tmp_path / "model"))
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.permutation(["good", "bad", "film", "a", "the"])) for _ in range(300)]
    y = torch.tensor([int(text.index("good") < text.index("bad")) for text in texts])
    X, before = net.ids(texts), {name: value.clone() for name, value in net.state_dict().items()}
    found = luthier.transfer(net, (X[:200], y[:200]), validation=(X[200:], y[200:]), seeds=1, epochs=15)
    assert found.unfrozen > 0
    assert found.options[found.taken]["loss"] < found.options[0]["loss"]
    assert all(value.equal(net.state_dict()[name]) for name, value in before.items())


def test_other_ways_to_cut_text_are_refused(tmp_path: Path) -> None:
    folder = sentence_folder(tmp_path / "model")
    pieces = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "good": 4}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(InputError, match="--text-model FOLDER"):
        luthier.text_backbone(folder)
    with pytest.raises(InputError, match="minilm, or the folder"):
        luthier.text_backbone("static")


def test_a_spec_comes_back_and_its_networks_end_where_it_says(tmp_path: Path) -> None:
    model = transformer_named(str(sentence_folder(tmp_path / "model")))
    spec = spec_of(model, "some/model", 6, 2)
    assert spec_from_json(json.loads(json.dumps(spec.to_json()))) == spec
    cut = TextBackboneSpec.from_json({**spec.to_json(), "cut": "layers.0", "width": 12})
    assert build(cut, seed=0)(torch.tensor([[4, 5, 0]])).shape == (1, 2)
