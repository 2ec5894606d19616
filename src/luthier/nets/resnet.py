"""Residual networks for pictures (He and others 2016) under torchvision's parameter names, so that its published
weight files load key by key."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.errors import ConfigError, nearest
from luthier.shapes import Outputs, Pictures

STAGES: dict[str, tuple[bool, tuple[int, ...]]] = {  # bottlenecks or plain blocks, and how many in each stage
    "resnet18": (False, (2, 2, 2, 2)),
    "resnet34": (False, (3, 4, 6, 3)),
    "resnet50": (True, (3, 4, 6, 3)),
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures between 0 and 1


class ResNet(nn.Module):
    """Pictures [B, 3, H, W] in, bytes or numbers between 0 and 1 centred by ImageNet's mean; logits [B, classes] out.

    >>> sum(p.numel() for p in resnet("resnet18").parameters())
    11689512
    """

    def __init__(self, bottleneck: bool, blocks: Sequence[int], classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        kind = _Bottleneck if bottleneck else _Block
        channels = 64
        for stage, count in enumerate(blocks):
            width, layers = 64 << stage, []
            for place in range(count):
                layers.append(kind(channels, width, stride=2 if stage and place == 0 else 1))
                channels = width * kind.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, classes)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Pictures) -> Outputs:
        """Logits [B, classes]; grey pictures are shown to all three channels."""
        x = pictures if pictures.is_floating_point() else pictures.to(self.fc.weight.dtype) / 255
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        x = F.relu(self.bn1(self.conv1((x - self.mean) / self.std)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        result: Tensor = self.fc(x.mean((2, 3)))
        return result


class _Block(nn.Module):
    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


def _shortcut(channels: int, wanted: int, stride: int) -> nn.Sequential | None:
    if channels == wanted and stride == 1:
        return None
    return nn.Sequential(nn.Conv2d(channels, wanted, 1, stride, bias=False), nn.BatchNorm2d(wanted))


def resnet(name: str, classes: int = 1000) -> ResNet:
    """`resnet18`, `resnet34` or `resnet50` with fresh weights. ConfigError for another name."""
    if name not in STAGES:
        raise ConfigError([f"'{name}' is not one of {', '.join(STAGES)}; {nearest(name, STAGES)}".rstrip("; ")])
    bottleneck, blocks = STAGES[name]
    return ResNet(bottleneck, blocks, classes)
