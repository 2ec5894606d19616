"""Activations as pairs (f, f'), for the forward pass and the hand-written backward.

The derivative is given the pre-activation z and the activation a = f(z), whichever is cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from luthier.errors import ConfigError
from luthier.shapes import Units

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # keep mean 0, variance 1 (Klambauer and others, 2017)
LEAK = 0.01  # slope of the leaky ReLU below zero
MISH_LINEAR = 20.0  # above it Mish is z itself, in float64 too; e^z would be squared beyond float32


class Activation(NamedTuple):
    """A function of each unit and its derivative; `gain` scales the first weights of He's initialiser."""

    f: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]  # (z, a) -> f'(z)
    gain: float
    backward: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None  # (dA, z, a) -> dA f'(z), in one operation
    write: Callable[[Tensor, Tensor], object] | None = None  # (z, out), in one operation

    def into(self, z: Units, out: Units) -> None:
        """Write f(z) into `out`."""
        if self.write is None:
            out.copy_(self.f(z))
        else:
            self.write(z, out)

    def through(self, dA: Units, z: Units, a: Units) -> Units:
        """The derivative by z from the derivative by a; `dA` may be overwritten."""
        return dA.mul_(self.derivative(z, a)) if self.backward is None else self.backward(dA, z, a)


def _gelu_backward(dA: Units, z: Units, a: Units) -> Units:
    result: Tensor = torch.ops.aten.gelu_backward(dA, z)
    return result


def _mish_into(z: Units, out: Units) -> None:
    """z tanh(log(1 + e^z)) by one exponential: z n / (n + 2) with n = e^z (e^z + 2). A third of PyTorch's time on a
    processor, whose own takes the logarithm and the tangent."""
    if z.device.type != "cpu":
        out.copy_(F.mish(z))
        return
    e = z.clamp_max(MISH_LINEAR).exp_()
    n = (e + 2).mul_(e)
    torch.mul(z, n.div_(n + 2), out=out)


def _mish_backward(dA: Units, z: Units, a: Units) -> Units:
    if z.device.type != "cpu":
        result: Tensor = torch.ops.aten.mish_backward(dA, z)
        return result
    near = z.clamp_max(MISH_LINEAR)
    e = near.exp()
    n = (e + 2).mul_(e)
    below = n + 2
    share = n.div_(below)
    slope = e.add(1).mul_(e).mul_(4).div_(below.mul_(below))
    return slope.mul_(near).add_(share).mul_(dA)


def _selu_backward(dA: Units, z: Units, a: Units) -> Units:
    result: Tensor = torch.ops.aten.elu_backward(dA, SELU_ALPHA, SELU_SCALE, 1, True, a)
    return result


def _relu_backward(dA: Units, z: Units, a: Units) -> Units:
    result: Tensor = torch.ops.aten.threshold_backward.grad_input(dA, a, 0, grad_input=dA)
    return result


def _tanh_backward(dA: Units, z: Units, a: Units) -> Units:
    result: Tensor = torch.ops.aten.tanh_backward(dA, a)
    return result


def _sigmoid_backward(dA: Units, z: Units, a: Units) -> Units:
    result: Tensor = torch.ops.aten.sigmoid_backward(dA, a)
    return result


def _relu_into(z: Units, out: Units) -> None:
    torch.clamp_min(z, 0, out=out)


def _tanh_into(z: Units, out: Units) -> None:
    torch.tanh(z, out=out)


def _sigmoid_into(z: Units, out: Units) -> None:
    torch.sigmoid(z, out=out)


def _derivative(backward: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda z, a: backward(torch.ones_like(a), z, a)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(torch.relu, lambda z, a: (a > 0).to(a.dtype), 2.0**0.5, _relu_backward, _relu_into),
    "leaky relu": Activation(
        lambda z: F.leaky_relu(z, LEAK),
        lambda z, a: (z > 0).to(a.dtype).mul_(1 - LEAK).add_(LEAK),
        (2.0 / (1 + LEAK**2)) ** 0.5,
    ),
    "tanh": Activation(torch.tanh, lambda z, a: 1 - a * a, 1.0, _tanh_backward, _tanh_into),
    "sigmoid": Activation(torch.sigmoid, lambda z, a: a * (1 - a), 1.0, _sigmoid_backward, _sigmoid_into),
    "gelu": Activation(F.gelu, _derivative(_gelu_backward), 2.0**0.5, _gelu_backward),
    "selu": Activation(F.selu, _derivative(_selu_backward), 1.0, _selu_backward),
    "mish": Activation(F.mish, _derivative(_mish_backward), 2.0**0.5, _mish_backward, _mish_into),
    "identity": Activation(lambda z: z, lambda z, a: torch.ones_like(a), 1.0),
}
BUILT_IN = frozenset(ACTIVATIONS)


def add_activation(
    name: str,
    f: Callable[[Tensor], Tensor],
    derivative: Callable[[Tensor, Tensor], Tensor] | None = None,
    *,
    gain: float = 1.0,
) -> None:
    """Make a function of your own known as an activation, for specs to name.

    `f` acts on each entry of a tensor by itself. `derivative` takes (z, a = f(z)) and gives f'(z);
    without it autograd differentiates `f`. A model that names it opens only where it was added.

    >>> add_activation("softsign", lambda z: z / (1 + z.abs()))
    >>> ACTIVATIONS["softsign"].derivative(torch.tensor([1.0]), torch.tensor([0.5]))
    tensor([0.2500])
    """
    if name in BUILT_IN:
        raise ConfigError([f"'{name}' is a built-in activation; choose another name for your own"])
    ACTIVATIONS[name] = Activation(f, derivative or _by_autograd(f), gain)


def mixed(base: Activation, units: Mapping[int, Activation]) -> Activation:
    """An activation whose numbered units have functions of their own.

    >>> layer = mixed(ACTIVATIONS["sigmoid"], {1: ACTIVATIONS["identity"]})
    >>> layer.f(torch.tensor([0.0, 3.0]))
    tensor([0.5000, 3.0000])
    """

    def f(z: Units) -> Units:
        columns = {unit: own.f(z[..., unit]) for unit, own in units.items()}
        return torch.stack([columns.get(unit, column) for unit, column in enumerate(base.f(z).unbind(-1))], -1)

    def derivative(z: Units, a: Units) -> Units:
        slopes = base.derivative(z, a).clone()
        for unit, own in units.items():
            slopes[..., unit] = own.derivative(z[..., unit], a[..., unit])
        return slopes

    return Activation(f, derivative, base.gain)


def _by_autograd(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def derivative(z: Units, a: Units) -> Units:
        with torch.enable_grad():
            inputs = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(f(inputs).sum(), inputs)
        return slope

    return derivative
