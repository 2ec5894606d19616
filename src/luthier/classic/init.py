"""Gluon's initialisers of weights; biases start at zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normal:
    """Weights from N(0, sigma^2)."""

    sigma: float = 0.01

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Fresh weights."""
        return torch.randn(shape) * self.sigma


@dataclass(frozen=True)
class Xavier:
    """Weights uniform within the root of 6 over inputs and outputs (Glorot and Bengio 2010)."""

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Fresh weights."""
        return (2 * torch.rand(shape) - 1) * (6 / sum(shape)) ** 0.5
