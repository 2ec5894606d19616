"""Residual networks under torchvision's names, and files of weights: matched key by key, or refused with a list."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from luthier.errors import ConfigError, InputError
from luthier.nets.resnet import resnet
from luthier.nets.weights import load_weights, read_weights

PUBLISHED = {  # parameters of torchvision's models, and entries of their state dicts
    "resnet18": (11_689_512, 122),
    "resnet34": (21_797_672, 218),
    "resnet50": (25_557_032, 320),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_file_would_load(name: str, tmp_path: Path) -> None:
    """A file made by torchvision's rules for names and shapes loads with every key matched."""
    net = resnet(name)
    parameters, entries = PUBLISHED[name]
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert len(net.state_dict()) == entries
    state = {key: torch.full(shape, 0.5) for key, shape in names_and_shapes(name).items()}
    assert set(state) == {key for key in net.state_dict() if not key.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "weights.safetensors")
    load_weights(net, read_weights(tmp_path / "weights.safetensors"))
    assert all((value == 0.5).all() for key, value in net.state_dict().items() if key in state)


def names_and_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes as torchvision lays its residual networks out, written down independently."""
    blocks = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}[name]
    wide = 4 if name == "resnet50" else 1
    result: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(key: str, width: int) -> None:
        result.update({f"{key}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})

    norm("bn1", 64)
    into = 64
    for stage, count in enumerate(blocks, start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(count):
            key = f"layer{stage}.{block}"
            if wide == 4:
                shapes = [(width, into, 1, 1), (width, width, 3, 3), (width * 4, width, 1, 1)]
            else:
                shapes = [(width, into, 3, 3), (width, width, 3, 3)]
            for place, shape in enumerate(shapes, start=1):
                result[f"{key}.conv{place}.weight"] = shape
                norm(f"{key}.bn{place}", shape[0])
            if block == 0 and (stage > 1 or wide == 4):
                result[f"{key}.downsample.0.weight"] = (width * wide, into, 1, 1)
                norm(f"{key}.downsample.1", width * wide)
            into = width * wide
    result["fc.weight"], result["fc.bias"] = (1000, into), (1000,)
    return result


def test_a_residual_network_sees_bytes_grey_and_colour() -> None:
    net = resnet("resnet18", classes=5).eval()
    grey = torch.randint(0, 256, (2, 1, 40, 40), dtype=torch.uint8)
    assert net(grey).shape == (2, 5)
    torch.testing.assert_close(net(grey), net(grey.expand(-1, 3, -1, -1).float() / 255))
    with pytest.raises(ConfigError, match="did you mean 'resnet18'"):
        resnet("resnet17")


def test_what_does_not_fit_is_listed() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights = dict(net.state_dict())
    del weights["0.bias"]
    weights["2.weight"] = torch.zeros(1)
    weights["1.weight"] = torch.zeros(2, 3)
    with pytest.raises(InputError) as error:
        load_weights(net, weights)
    message = str(error.value)
    assert "1 missing: 0.bias" in message
    assert "1 too much: 2.weight" in message
    assert "1.weight [2, 3], not [1, 3]" in message
    load_weights(net, {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3)}, but=("1.",))
    assert (net[0].weight == 1).all()


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda w: w, []),
        (lambda w: {"model": w, "epoch": 3}, ["its entry 'model'"]),
        (lambda w: {"optimizer": {"state": {}}, "model_state_dict": w}, ["its entry 'model_state_dict'"]),
        (lambda w: {"model": {"state_dict": w}}, ["its entry 'model'", "its entry 'state_dict'"]),
        (lambda w: {f"module.{name}": value for name, value in w.items()}, ["began with 'module.'"]),
        (lambda w: {f"_orig_mod.{name}": value for name, value in w.items()}, ["began with '_orig_mod.'"]),
        (lambda w: {"params": w, "step": 7, "optimizer": {"state": {}, "lr": 0.1}}, ["its entry 'params'"]),
        (lambda w: {f"model.{name}": value for name, value in w.items()}, ["began with 'model.'"]),
        (
            lambda w: {
                "state_dict": {f"net.{name}": value for name, value in w.items()} | {"loss.weight": torch.ones(2)}
            },
            ["its entry 'state_dict'", "began with 'net.', which was left out; 1 others are left out: loss.weight"],
        ),
        (lambda w: {name: value.half() for name, value in w.items()}, ["are float16"]),
        (lambda w: {"model": {f"module.{n}": v.bfloat16() for n, v in w.items()}}, ["entry", "module.", "bfloat16"]),
    ],
)
def test_weights_are_read_as_people_save_them(wrap: Any, said: list[str], tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights = {name: torch.full_like(value, 0.5) for name, value in net.state_dict().items()}
    sentences: list[str] = []
    torch.save(wrap(weights), tmp_path / "w.pt")
    load_weights(net, read_weights(tmp_path / "w.pt", say=sentences.append), say=sentences.append)
    assert all((value == 0.5).all() for value in net.state_dict().values())
    assert len(sentences) == len(said)
    assert all(word in sentence for word, sentence in zip(said, sentences, strict=True))


def test_what_is_no_state_dict_names_what_is_in_it(tmp_path: Path) -> None:
    for content, received in (({"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, "a, b"), ([1, 2], "list")):
        torch.save(content, tmp_path / "w.pt")
        with pytest.raises(InputError, match=f"not a state dict[^$]*{received}"):
            read_weights(tmp_path / "w.pt")


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('code was run')",)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="could run code"):
        read_weights(tmp_path / "evil.pt")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match=r"refused|not a file of weights"):
        read_weights(tmp_path / "raw.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"123")
    with pytest.raises(InputError, match="not a complete safetensors file"):
        read_weights(tmp_path / "cut.safetensors")
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "good.pt")
    assert read_weights(tmp_path / "good.pt")["w"].tolist() == [1.0, 1.0]
