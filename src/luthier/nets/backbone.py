"""Networks for pictures that have learnt elsewhere, as a spec: a known architecture or a function of the user's own.

A description that names a function is built only where the user has named that function too: a file must not choose
what code runs. B pictures.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.errors import ConfigError, InputError, nearest, users_code
from luthier.messages import Message, joined
from luthier.nets.blocks import Truncated, anatomy_of, with_new_head
from luthier.nets.efficientnet import LITE, EfficientNetLite
from luthier.nets.resnet import MEAN, STAGES, STD, resnet
from luthier.records import JsonObject
from luthier.seeds import derive, torch_generator
from luthier.shapes import Codes, Outputs, Pictures

OURS: Mapping[str, str] = {**dict.fromkeys(STAGES, "fc"), LITE: "_fc"}  # architectures, and the names of their heads
AUTO = "auto"  # the one whose weights come in a package
_allowed: set[str] = set()


class KnownSpec:
    """What specs of networks that have learnt elsewhere share: a head, and what is below it."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Hidden layers whose dropout a member sets: none."""
        return ()

    @property
    def layers(self) -> int:
        """Groups of weights that may have rates of their own: what is below the head, and the head."""
        return 2


@dataclass(frozen=True)
class BackboneSpec(KnownSpec):
    """Pictures of shape `inputs` (C, H, W) in, bytes or numbers between 0 and 1; logits [B, outputs] out.

    `backbone` is resnet18, resnet34, resnet50, efficientnet-lite0, or `module:callable` that returns a module whose
    last linear layer is its head. Pictures are shown to it with three channels, `side` pixels on their longer side (0:
    as they are), and, unless it is a residual network of ours, which centres them itself, centred by ImageNet's mean
    and deviation. With `cut` the network ends at that block, whose pooled activations are `width` numbers.
    """

    backbone: str
    inputs: tuple[int, int, int]
    outputs: int
    side: int = 0
    cut: str = ""
    width: int = 0

    def to_json(self) -> JsonObject:
        """The spec as plain JSON values."""
        return {"kind": "backbone", **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BackboneSpec:
        """The spec that `to_json` gave."""
        known = {name: item for name, item in value.items() if name != "kind"}
        return cls(**{**known, "inputs": tuple(known["inputs"])})


class Show(nn.Module):
    """Pictures as a backbone was taught to see them: three channels of some size, between 0 and 1 or centred."""

    def __init__(self, side: int, *, centred: bool) -> None:
        super().__init__()
        self.side, self.centred = side, centred
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Numbers [B, 3, H', W']."""
        x = pictures if pictures.is_floating_point() else pictures.to(self.mean.dtype) / 255
        height, width = x.shape[2:]
        if self.side and max(height, width) != self.side:
            factor = self.side / max(height, width)
            size = max(1, round(height * factor)), max(1, round(width * factor))
            x = F.interpolate(x, size=size, mode="bilinear", antialias=factor < 1)
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        return (x - self.mean) / self.std if self.centred else x


class BackboneNet(nn.Module):
    """The module of a BackboneSpec; see there."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec
        net = shown(spec)
        self.net = with_new_head(net, head_of(spec, net), spec.outputs)
        if spec.cut:
            head = nn.Linear(spec.width, spec.outputs)
            self.net = nn.Sequential(OrderedDict(body=Truncated(self.net, spec.cut), head=head))

    def forward(self, pictures: Pictures, codes: Codes | None = None) -> Outputs:
        """Logits [B, outputs]."""
        result: Tensor = self.net(pictures)
        return result


def shown(spec: BackboneSpec) -> nn.Module:
    """The backbone, behind what shows pictures to it, with its own head."""
    made = backbone_named(spec.backbone)
    return nn.Sequential(OrderedDict(show=Show(spec.side, centred=spec.backbone not in STAGES), body=made))


_heads: dict[tuple[str, tuple[int, int, int], int], str] = {}  # of functions' backbones, by what is shown to them


def head_of(spec: BackboneSpec, net: nn.Module) -> str:
    """The name of the head of what is shown pictures of a spec."""
    key = spec.backbone, spec.inputs, spec.side
    if spec.backbone in OURS:
        return f"body.{OURS[spec.backbone]}"
    if key not in _heads:
        _heads[key] = anatomy_of(net, torch.rand(2, *spec.inputs, generator=torch_generator(0, "pictures"))).head
    return _heads[key]


def build_backbone(spec: BackboneSpec, *, seed: int) -> BackboneNet:
    """A network with fresh weights where the backbone draws some; the same spec and seed give the same.

    >>> net = build_backbone(BackboneSpec("resnet18", (1, 8, 8), 3, side=32), seed=0)
    >>> net(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape
    torch.Size([2, 3])
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "module"))
        return BackboneNet(spec)


def allow(name: str) -> None:
    """Let descriptions that name this `module:callable` be built in this process: the user has named it.

    The variable LUTHIER_BACKBONES names some, with commas between, for every process that it is set for.
    """
    _allowed.add(name)


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """The folder that a command was called in is looked into first, as for `python -m`."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


def backbone_named(name: str) -> nn.Module:
    """The module of a name: one of ours, or what a function that was allowed returns."""
    if name in STAGES:
        return resnet(name)
    if name == LITE:
        return EfficientNetLite()
    if ":" not in name:
        said = Message("'{name}' is not a backbone: {names}, or module:callable", name=name, names=", ".join(OURS))
        raise ConfigError([joined([said, nearest(name, OURS)])])
    if name not in _allowed and name not in os.environ.get("LUTHIER_BACKBONES", "").split(","):
        raise InputError(
            Message(
                "the network is built by your function '{name}', and a file must not choose code to run", name=name
            ),
            remedy=Message("allow it: LUTHIER_BACKBONES={name}, or luthier.nets.backbone.allow('{name}')", name=name),
        )
    module, _, function = name.partition(":")
    expected, remedy = "a function without arguments that returns an nn.Module", "check that the module can be imported"
    with users_code(f"'{name}' does not build a backbone", expected=expected, remedy=remedy), _importing_from_here():
        make: Callable[[], Any] = getattr(importlib.import_module(module), function)
        made = make()
    if not isinstance(made, nn.Module):
        raise InputError(
            Message("'{name}' does not build a backbone", name=name),
            expected="an nn.Module",
            received=type(made).__name__,
        )
    return made
