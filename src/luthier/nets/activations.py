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
    """A function of each unit and its derivative; `gain` scales the first weights of He's initialiser."""

    f: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]  # (z, a) -> f'(z)
    gain: float


def _gelu_derivative(z: Tensor, a: Tensor) -> Tensor:
    cdf: Tensor = 0.5 * (1 + torch.erf(z * 0.5**0.5))
    density = (0.5 / torch.pi) ** 0.5
    slope: Tensor = cdf + z * torch.exp(-0.5 * z * z) * density
    return slope


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(torch.relu, lambda z, a: (a > 0).to(a.dtype), 2.0**0.5),
    "tanh": Activation(torch.tanh, lambda z, a: 1 - a * a, 1.0),
    "sigmoid": Activation(torch.sigmoid, lambda z, a: a * (1 - a), 1.0),
    "gelu": Activation(F.gelu, _gelu_derivative, 2.0**0.5),
    "identity": Activation(lambda z: z, lambda z, a: torch.ones_like(a), 1.0),
}
