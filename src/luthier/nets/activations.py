"""Activations as pairs (f, f'), for the forward pass and the hand-written backward.

The derivative is given the pre-activation z and the activation a = f(z), whichever is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Activation(NamedTuple):
    """A differentiable function of each unit; `gain` is the standard deviation factor He-like initialisers use."""

    f: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]  # (z, a) -> f'(z)
    gain: float


def _gelu_derivative(z: Tensor, a: Tensor) -> Tensor:
    cdf = 0.5 * (1 + torch.erf(z * 0.5**0.5))
    return cdf + z * torch.exp(-0.5 * z * z) * (0.5 / torch.pi) ** 0.5


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(torch.relu, lambda z, a: (a > 0).to(a.dtype), 2.0**0.5),
    "tanh": Activation(torch.tanh, lambda z, a: 1 - a * a, 1.0),
    "sigmoid": Activation(torch.sigmoid, lambda z, a: a * (1 - a), 1.0),
    "gelu": Activation(F.gelu, _gelu_derivative, 2.0**0.5),
    "identity": Activation(lambda z: z, lambda z, a: torch.ones_like(a), 1.0),
}
