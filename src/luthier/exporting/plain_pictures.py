"""A model of pictures without Luthier: this file and `model.safetensors` beside it need only PyTorch.

    import model
    predictor = model.load("model.safetensors")
    predictor.predict(pictures)  # bytes [N, C, H, W], as many channels and pixels as `predictor.shape` says

`predict` gives classes or values, `predict_proba` probabilities by class, `forward` either as a tensor.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64, "BOOL": torch.bool}
# What is averaged of a network's logits, by its loss, and from the mean of outputs to an answer, by its link.
AVERAGED: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.softmax(-1),
    "binary": lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1),
    "ordinal": lambda z: torch.diff(  # of the chances to lie below each cut
        F.pad(F.pad((F.pad(F.softplus(z[:, 1:]).cumsum(1), (1, 0)) - z[:, :1]).sigmoid(), (1, 0)), (0, 1), value=1.0)
    ),
}
LINKS: dict[str, Callable[[Tensor], Tensor]] = {"identity": torch.positive, "log": torch.exp, "logit": torch.sigmoid}


def load(path: str | Path) -> PlainPictureModel:
    """The model of a safetensors file that was exported beside this program."""
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    facts = json.loads(header.pop("__metadata__")["model"])
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = torch.frombuffer(bytearray(body[begin:end]), dtype=TYPES[entry["dtype"]]).reshape(
            entry["shape"]
        )
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
        if not facts["classes"]:
            x = total.clamp(facts["lowest"], facts["highest"])
            bends = (rise * (x.clamp(low, high) - low) for low, high, rise in facts["bends"])
            values = LINKS[facts["link"]](sum(bends, x * facts["target_std"] + facts["target_mean"]))
            return values.round() if facts["rounds"] else values
        return torch.softmax(total.clamp_min(1e-12).log() / facts["temperature"], 1)

    @torch.no_grad()
    def predict_proba(self, pictures: Tensor) -> list[dict[str, float]]:
        """Probabilities of each picture by the names of the classes."""
        return [dict(zip(self.facts["classes"], row, strict=True)) for row in self(pictures).tolist()]

    @torch.no_grad()
    def predict(self, pictures: Tensor) -> list[Any]:
        """Classes by name, or values."""
        result = self(pictures)
        if not self.facts["classes"]:
            return list(result[:, 0].tolist())
        if decision := self.facts["decision"]:
            result = result @ result.new_tensor(decision[0]) + result.new_tensor(decision[1])
        second = result[:, -1] >= self.facts["threshold"]
        indices = second.long() if self.facts["loss"] == "binary" else result.argmax(1)
        return [self.facts["classes"][place] for place in indices.tolist()]
