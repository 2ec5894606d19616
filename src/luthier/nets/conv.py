"""A small convolutional network as plain data, and as a module. B pictures, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import ConfigError
from luthier.nets.augment import Augment, check_augmentations
from luthier.records import JsonObject
from luthier.seeds import derive
from luthier.shapes import Codes, Outputs, Pictures


@dataclass(frozen=True)
class ConvSpec:
    """Pictures of bytes [B, C, H, W] in, logits [B, outputs] out.

    Each stage has `convolutions` 3x3 convolutions with as many `channels` as it says, with batch norm unless
    told otherwise, and halves the sides; with `residual` a convolution that keeps the number of channels adds its
    input to its output. `units` is the width of a dense layer before the output (0: none), `dropout` acts before
    the dense layers. Bytes become (x / 255 - mean) / std by channel. `augment` changes training pictures.

    >>> ConvSpec((1, 28, 28), (16, 32, 64), 10).sides
    (3, 3)
    """

    inputs: tuple[int, int, int]
    channels: tuple[int, ...]
    outputs: int
    convolutions: int = 1
    residual: bool = False
    batch_norm: bool = True
    dropout: float = 0.0
    units: int = 0
    augment: tuple[tuple[str, float], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        mistakes = []
        if min(*self.inputs, self.outputs, self.convolutions, *self.channels, 1) < 1 or self.units < 0:
            mistakes.append(f"sizes must be positive: {self.inputs}, {self.channels}, {self.outputs}")
        if not self.channels:
            mistakes.append("a convolutional network needs at least one stage")
        if min(self.inputs[1:]) < 2 ** len(self.channels):
            mistakes.append(
                f"{len(self.channels)} stages are too many for {self.inputs[1]} x {self.inputs[2]} pixels: "
                f"at most {min(self.inputs[1:]).bit_length() - 1}"
            )
        if not 0 <= self.dropout < 1:
            mistakes.append(f"dropout must be at least 0 and below 1, not {self.dropout}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values and len(values) != self.inputs[0]:
                mistakes.append(f"{name} has {len(values)} numbers for {self.inputs[0]} channels")
        if mistakes:
            raise ConfigError(mistakes)
        check_augmentations(self.augment)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width after the last stage."""
        return self.inputs[1] >> len(self.channels), self.inputs[2] >> len(self.channels)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden layers whose dropout a member sets: none, it belongs to the spec."""
        return ()

    @property
    def layers(self) -> int:
        """Groups of weights that may have rates of their own: the stages, and the head."""
        return len(self.channels) + 1

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        return {"kind": "conv", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ConvSpec:
        """The spec that `to_json` gave."""
        known = {name: item for name, item in value.items() if name != "kind"}
        for name in ("inputs", "channels", "mean", "std"):
            known[name] = tuple(known[name])
        known["augment"] = tuple((str(name), float(strength)) for name, strength in known["augment"])
        return cls(**known)


class ConvNet(nn.Module):
    """The module of a ConvSpec; see there. Weights are drawn by He initialisation, the output's are zero."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__()
        self.spec = spec
        channels = spec.inputs[0]
        self.register_buffer("mean", torch.tensor(spec.mean or (0.0,) * channels).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std or (1.0,) * channels).view(1, -1, 1, 1))
        self.augment = Augment(spec.augment)
        for place, wanted in enumerate(spec.channels):
            self.add_module(f"stage{place}", _Stage(channels, wanted, spec))
            channels = wanted
        wide = channels * spec.sides[0] * spec.sides[1]
        head: list[nn.Module] = [nn.Flatten()]
        if spec.units:
            head += [nn.Dropout(spec.dropout), nn.Linear(wide, spec.units), nn.ReLU()]
            wide = spec.units
        head += [nn.Dropout(spec.dropout), nn.Linear(wide, spec.outputs)]
        self.head = nn.Sequential(*head)
        self._initialise()

    def _initialise(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)  # so that training starts from knowing nothing

    def forward(self, pictures: Pictures, codes: Codes | None = None) -> Outputs:
        """Logits [B, outputs] of bytes [B, C, H, W], or of numbers that were bytes over 255."""
        x = pictures if pictures.is_floating_point() else pictures.to(self.head[-1].weight.dtype) / 255  # type: ignore[arg-type]
        x = (self.augment(x) - self.mean) / self.std
        for place in range(len(self.spec.channels)):
            x = self.get_submodule(f"stage{place}")(x)
        result: Tensor = self.head(x)
        return result


class _Stage(nn.Module):
    """Convolutions over as many channels, then half the sides.

    The largest of four numbers is found before ReLU where nothing is added after it: the same result, with a quarter
    of the work for ReLU and its derivative.
    """

    def __init__(self, channels: int, wanted: int, spec: ConvSpec) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.skips: list[bool] = []
        for place in range(spec.convolutions):
            before = channels if place == 0 else wanted
            self.skips.append(spec.residual and before == wanted)
            layers: list[nn.Module] = [nn.Conv2d(before, wanted, 3, padding=1, bias=not spec.batch_norm)]
            layers += [nn.BatchNorm2d(wanted)] if spec.batch_norm else []
            ends = place == spec.convolutions - 1 and not self.skips[-1]
            layers += [nn.MaxPool2d(2), nn.ReLU()] if ends else [nn.ReLU()]
            self.convolutions.append(nn.Sequential(*layers))
        self.pool = nn.MaxPool2d(2) if self.skips[-1] else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for skips, convolution in zip(self.skips, self.convolutions, strict=True):
            y = convolution(x)
            x = x + y if skips else y
        result: Tensor = self.pool(x)
        return result


def build_conv(spec: ConvSpec, *, seed: int) -> ConvNet:
    """A fresh network; the same spec and seed give the same weights.

    >>> net = build_conv(ConvSpec((1, 8, 8), (4, 8), 3), seed=0)
    >>> net(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([2, 3])
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "module"))
        return ConvNet(spec)
