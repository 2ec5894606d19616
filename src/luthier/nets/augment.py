"""Changes of training pictures that leave their meaning, drawn anew for every batch, by Kornia.

Inside a network and active in training mode only, so validation and test pictures are never changed. B pictures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from luthier.errors import ConfigError, nearest
from luthier.optional import require
from luthier.shapes import Pictures


class Augmentation(NamedTuple):
    """What a strength means, the strengths that are tried, and for which pictures the label stays true."""

    unit: str
    strengths: tuple[float, ...]
    preserves: str


AUGMENTATIONS: dict[str, Augmentation] = {
    "shift": Augmentation("share of the side", (0.07, 0.15), "most pictures"),
    "rotation": Augmentation(
        "degrees either way", (10.0, 25.0), "pictures without an orientation; digits up to about 30"
    ),
    "scale": Augmentation("share larger or smaller", (0.1, 0.2), "most pictures"),
    "skew": Augmentation("degrees either way", (10.0, 20.0), "handwriting, textures"),
    "elastic": Augmentation(
        "standard deviation of the shifts, in 28ths of the side", (0.5, 1.0), "handwriting, tissue"
    ),
    "flip": Augmentation("chance", (0.5,), "scenes and objects; not digits or letters"),
    "upside down": Augmentation("chance", (0.5,), "pictures from above; not digits, letters or scenes"),
    "brightness": Augmentation("share brighter or darker", (0.2, 0.4), "photographs"),
    "noise": Augmentation("standard deviation, for pixels from 0 to 1", (0.03, 0.1), "photographs of all kinds"),
    "cut-out": Augmentation("share of the area", (0.06, 0.15), "objects that can be recognised by several parts"),
}
GEOMETRIC = ("shift", "rotation", "scale", "skew")  # done together, as one change of coordinates
SMOOTHNESS = 4.0  # deviation of the Gaussian that smooths elastic shifts, in 28ths of the side (Simard and others)


def check_augmentations(chosen: tuple[tuple[str, float], ...]) -> None:
    """ConfigError for names and strengths that cannot be meant."""
    mistakes = [
        f"'{name}' is not an augmentation; {nearest(name, AUGMENTATIONS)}".rstrip("; ")
        for name, _ in chosen
        if name not in AUGMENTATIONS
    ]
    mistakes += [f"{name}: the strength must be above 0, not {strength}" for name, strength in chosen if strength <= 0]
    mistakes += [f"{name}: at most 1, not {s}" for name, s in chosen if s > 1 and name in ("flip", "upside down")]
    if mistakes:
        raise ConfigError(mistakes)


class Augment(nn.Module):
    """Pictures [B, C, H, W] between 0 and 1, changed by chance in training mode, as they are otherwise.

    `chosen` holds (name, strength) of each change. What is drawn comes from PyTorch's generator
    of the processor, and so is the same on every device.
    """

    def __init__(self, chosen: tuple[tuple[str, float], ...]) -> None:
        super().__init__()
        check_augmentations(chosen)
        self.chosen = chosen
        self._changes: list[Callable[[Tensor], Tensor]] | None = None

    def forward(self, pictures: Pictures) -> Pictures:
        """The pictures, changed in training mode."""
        if not self.training or not self.chosen:
            return pictures
        if self._changes is None:
            self._changes = _changes(dict(self.chosen))
        with torch.no_grad():
            for change in self._changes:
                pictures = change(pictures)
        return pictures

    def __deepcopy__(self, memo: dict[int, Any]) -> Augment:
        return Augment(self.chosen)  # changes are made when they are first needed

    def extra_repr(self) -> str:
        """What is changed, and how much."""
        return ", ".join(f"{name} {strength:g}" for name, strength in self.chosen)


def _changes(strengths: dict[str, float]) -> list[Callable[[Tensor], Tensor]]:
    made: list[Callable[[Tensor], Tensor]] = []
    if any(name in strengths for name in GEOMETRIC):
        made.append(_affine(strengths))
    library = require("kornia.augmentation", extra="vision", purpose="augmenting pictures")
    for name, strength in strengths.items():
        if name == "elastic":
            made.append(_Elastic(strength))
        elif name == "flip":
            made.append(library.RandomHorizontalFlip(p=strength))
        elif name == "upside down":
            made.append(library.RandomVerticalFlip(p=strength))
        elif name == "brightness":
            made.append(library.RandomBrightness(brightness=(max(0.0, 1 - strength), 1 + strength), p=1.0))
        elif name == "noise":
            made.append(library.RandomGaussianNoise(std=strength, p=1.0))
        elif name == "cut-out":
            made.append(library.RandomErasing(scale=(strength / 3, strength), p=0.5))
    return made


def _affine(strengths: dict[str, float]) -> Callable[[Tensor], Tensor]:
    library = require("kornia.augmentation", extra="vision", purpose="augmenting pictures")
    shift, scale, skew = (strengths.get(name, 0.0) for name in ("shift", "scale", "skew"))
    result: Callable[[Tensor], Tensor] = library.RandomAffine(
        degrees=strengths.get("rotation", 0.0),
        translate=(shift, shift) if shift else None,
        scale=(1 - scale, 1 + scale) if scale else None,
        shear=(-skew, skew) if skew else None,
        p=1.0,
    )
    return result


class _Elastic:
    """Random shifts of each pixel, smoothed by a Gaussian, of deviation `strength` (Simard and others 2003, whose 34
    times uniform noise over 4 pixels is 1.4). Kornia's own smooths with a filter as large as the picture, which costs
    more than the network; here noise is drawn on a grid as coarse as the Gaussian is wide, which no pixel can tell."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, pictures: Pictures) -> Pictures:
        rows, _, height, width = pictures.shape
        unit = max(height, width) / 28
        down, across = (_smoothing(side, SMOOTHNESS * unit) for side in (height, width))
        noise = torch.randn(rows, 2, down.shape[1], across.shape[1])
        shifts = self.strength * unit * (down @ noise @ across.T)
        sides = torch.tensor([width, height]).view(1, 2, 1, 1)
        where = nn.functional.affine_grid(torch.eye(2, 3).unsqueeze(0), [1, 1, height, width], align_corners=False)
        grid = where + (shifts * 2 / sides).permute(0, 2, 3, 1)
        return nn.functional.grid_sample(pictures, grid.to(pictures.device), align_corners=False)


@functools.cache
def _smoothing(side: int, width: float) -> Tensor:
    """What each of `side` pixels takes of white noise `width` apart: a Gaussian's weights [side, K], squares adding up
    to 1, so that what comes out has the noise's deviation everywhere."""
    pixels, beyond = torch.arange(side) + 0.5, 3
    nodes = width * torch.arange(-beyond, math.ceil(side / width) + beyond + 1)
    weights = torch.exp(-((pixels.unsqueeze(1) - nodes) ** 2) / (2 * width**2))
    return weights / weights.square().sum(1, keepdim=True).sqrt()
