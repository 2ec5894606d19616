"""What is promised of a sentence transformer whose blocks learn, each beside a sabotage of it in tests/coverage."""

from __future__ import annotations

import contextlib
import pickle
import sys
from pathlib import Path

import pytest
import torch
from tests.sentence_folders import sentence_folder
from torch import Tensor

import luthier
from luthier.data.sentences.model_folder import read_folder
from luthier.engine import part_of
from luthier.errors import InputError
from luthier.nets.blocks import freeze_all_but
from luthier.nets.seen_rows import seen_by
from luthier.pretrained import unfreezing
from luthier.pretrained.sentence_modules import TextBackbone
from luthier.pretrained.unfreezing import UnfreezingJob, best_way

BLOCKS = ["embeddings", "layers.0", "layers.1", "head"]
TEXTS = ["good film", "good rain", "bad", "the very good film.", "very good bad films"] * 4


def learnt(net: TextBackbone, rates: tuple[float, ...]) -> dict[str, Tensor]:
    """By how much each number of a network moves at most, while its last blocks learn at so many rates."""
    net.head = torch.nn.Linear(net.head.in_features, 1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rows = part_of((net.ids(TEXTS), torch.arange(len(TEXTS)) % 2))
    job = UnfreezingJob("binary", rows, rows, 1, epochs=3, batch_size=5, seed=0, seeds=(0,))
    _, _, (after,) = best_way(job, net, BLOCKS, BLOCKS[-len(rates) :], [rates], [before])
    return {name: (after[name] - value).abs().amax() for name, value in before.items()}


@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_frozen_blocks_of_a_sentence_transformer_stay(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whether what they give is worked out once or at each step."""
    monkeypatch.setattr(unfreezing, "MOST_KEPT", kept)
    moved = learnt(luthier.text_backbone(sentence_folder(tmp_path / "model")), (0.01, 0.01))
    assert {name for name, size in moved.items() if size > 0} == {
        name for name in moved if name.startswith(("layers.1.", "head."))
    }


def test_a_frozen_sentence_transformer_stays_in_training(tmp_path: Path) -> None:
    net = luthier.text_backbone(sentence_folder(tmp_path / "model"))
    net.head = torch.nn.Linear(net.head.in_features, 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rows = net.ids(TEXTS), torch.arange(len(TEXTS)) % 2
    after = luthier.train(freeze_all_but(net, ["layers.1", "head"]), rows, epochs=1, learning_rate=0.01).module()
    changed = [name for name, value in after.state_dict().items() if not value.equal(before[name])]
    assert changed == [name for name in before if name.startswith(("layers.1.", "head."))]


def test_lower_layers_of_a_sentence_transformer_learn_at_their_own_rate(tmp_path: Path) -> None:
    """A step of Adam is about as long as its rate, whatever the gradient."""
    moved = learnt(luthier.text_backbone(sentence_folder(tmp_path / "model")), (1e-6, 1e-4, 1e-2))
    layers = {block: max(float(moved[name]) for name in moved if name.startswith(block)) for block in BLOCKS}
    for block, rate in zip(BLOCKS, (0, 1e-6, 1e-4, 1e-2), strict=True):
        assert rate <= layers[block] <= 13 * rate  # twelve steps, and float32


def test_vectors_of_frozen_layers_from_the_cache_are_those_of_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    for seed in (0, 1):  # another network of the same shape finds none of them
        net = luthier.text_backbone(sentence_folder(tmp_path / f"model {seed}", seed=seed)).eval()
        X = net.ids(TEXTS[:5])
        for some in (X[:2], X, X):
            computed = seen_by(net, "head", ["layers.0"], some, at_once=3)
            for one, other in zip(seen_by(net, "head", ["layers.0"], some, 3, kept=True), computed, strict=True):
                torch.testing.assert_close(one, other)


def test_padding_of_texts_does_not_matter(tmp_path: Path) -> None:
    net = luthier.text_backbone(sentence_folder(tmp_path / "model")).eval()
    X = net.ids(TEXTS[:5])
    with torch.no_grad():
        alone = torch.cat([net(net.ids([text])) for text in TEXTS[:5]])
        torch.testing.assert_close(net(X), alone)
        torch.testing.assert_close(net(torch.cat([X, torch.zeros(5, 4, dtype=X.dtype)], 1)), alone)


class Trap:
    """What leaves a file behind when it is read by pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_in_a_folder_of_a_model_is_not_run(tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        folder, mark = sentence_folder(tmp_path / name.replace(".", " ")), tmp_path / "run"
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(pickle.dumps(Trap(mark)))
        refused = False
        with contextlib.suppress(Exception):
            try:
                read_folder(folder)
            except InputError:
                refused = True
        assert refused
        assert not mark.exists()


def test_code_in_a_folder_of_a_model_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sentence_folder(tmp_path / "model", auto_map={"AutoModel": "modeling.Own"})
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    (folder / "modeling.py").write_text("from pathlib import Path\nPath(__file__).with_name('run').touch()\n")
    refused = False
    try:
        read_folder(folder)
    except InputError as error:
        refused = "is not run" in str(error)
    assert refused
    assert not (folder / "run").exists()
