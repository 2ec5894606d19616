"""A model of pictures without Luthier: this file and `model.safetensors` beside it need only PyTorch.

    import model
    predictor = model.load("model.safetensors")
    predictor.predict(pictures)  # bytes [N, C, H, W], as many channels and pixels as `predictor.shape` says

`predict` gives classes or values, `predict_proba` probabilities by class, `forward` either as a tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.exporting.plain_answers import AVERAGED, answered, contents, named


def load(path: str | Path) -> PlainPictureModel:
    """The model of a safetensors file that was exported beside this program."""
    facts, tensors = contents(path)
    made = PlainPictureModel(facts)
    made.load_state_dict(tensors)
    return made.eval()


class ConvStage(nn.Module):
    """Convolutions over as many channels, then half the sides; with `residual` each adds to its input where it can."""

    def __init__(self, channels: int, wanted: int, spec: dict[str, Any]) -> None:
        super().__init__()
        self.convolutions, self.skips = nn.ModuleList(), list[bool]()
        for place in range(spec["convolutions"]):
            before = wanted if place else channels
            layers: list[nn.Module] = [nn.Conv2d(before, wanted, 3, padding=1, bias=not spec["batch_norm"])]
            if spec["batch_norm"]:
                layers.append(nn.BatchNorm2d(wanted))
            self.convolutions.append(nn.Sequential(*layers))
            self.skips.append(spec["residual"] and before == wanted)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, wanted, H / 2, W / 2]."""
        for skips, convolution in zip(self.skips, self.convolutions, strict=True):
            y = torch.relu(convolution(x))
            x = x + y if skips else y
        return F.max_pool2d(x, 2)


class Net(nn.Module):
    """Stages of convolutions, then dense layers: logits [B, outputs] of bytes [B, C, H, W]."""

    mean: Tensor
    std: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        channels, height, width = spec["inputs"]
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))
        self.stages = len(spec["channels"])
        for place, wanted in enumerate(spec["channels"]):
            self.add_module(f"stage{place}", ConvStage(channels, wanted, spec))
            channels, height, width = wanted, height // 2, width // 2
        wide = channels * height * width
        head: list[nn.Module] = [nn.Flatten()]
        if spec["units"]:
            head += [nn.Identity(), nn.Linear(wide, spec["units"]), nn.ReLU()]
            wide = spec["units"]
        self.head = nn.Sequential(*head, nn.Identity(), nn.Linear(wide, spec["outputs"]))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits."""
        x = (pictures.float() / 255 - self.mean) / self.std
        for place in range(self.stages):
            x = self.get_submodule(f"stage{place}")(x)
        result: Tensor = self.head(x)
        return result


class PlainPictureModel(nn.Module):
    """Bytes [N, C, H, W] to probabilities [N, C] or values [N, 1]."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self.facts, self.shape = facts, tuple(facts["shape"])
        self.nets = nn.ModuleList(Net(spec) for spec in facts["specs"])

    def forward(self, pictures: Tensor) -> Tensor:
        """Probabilities, or values on the target's own scale."""
        facts, total = self.facts, torch.zeros((), dtype=torch.float64)
        averaged = AVERAGED.get(facts["loss"], torch.positive)
        for net, weight in zip(self.nets, facts["weights"], strict=True):
            total = total + weight * averaged(net(pictures).double())
        return answered(facts, total)

    @torch.no_grad()
    def predict_proba(self, pictures: Tensor) -> list[dict[str, float]]:
        """Probabilities of each picture by the names of the classes."""
        return [dict(zip(self.facts["classes"], row, strict=True)) for row in self(pictures).tolist()]

    @torch.no_grad()
    def predict(self, pictures: Tensor) -> list[Any]:
        """Classes by name, or values."""
        return named(self.facts, self(pictures))
