"""Gluon's layers: their sizes may be left to the first rows that they see."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from luthier.classic.init import Normal, Xavier
from luthier.classic.nd import NDArray, _of
from luthier.errors import InputError

Initialiser = Normal | Xavier
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


class Parameter:
    """Weights or biases, there once their shape is known."""

    def __init__(self, name: str) -> None:
        self.name, self._tensor = name, torch.empty(0)
        self.known = False

    def set(self, value: Tensor) -> None:
        """Take these numbers."""
        self._tensor, self.known = value.requires_grad_(), True

    @property
    def tensor(self) -> Tensor:
        """The numbers as PyTorch has them. InputError before their shape is known."""
        if not self.known:
            raise InputError(f"the shape of {self.name} is not known yet", remedy="call the network on some rows first")
        return self._tensor

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape, None before it is known."""
        return tuple(self._tensor.shape) if self.known else None

    def data(self) -> NDArray:
        """The numbers."""
        return NDArray(self.tensor.detach())

    def grad(self) -> NDArray:
        """Their gradient."""
        tensor = self.tensor
        return NDArray(torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)


class Dense:
    """A fully connected layer of so many units; how many inputs it has, the first rows tell."""

    def __init__(self, units: int, activation: str | None = None) -> None:
        if activation is not None and activation not in _ACTIVATIONS:
            raise InputError(f"'{activation}' is not an activation", expected=", ".join(_ACTIVATIONS))
        self.units, self.activation = units, activation
        self.weight, self.bias = Parameter("weight"), Parameter("bias")
        self._initialiser: Initialiser | None = None

    def initialize(self, initialiser: Initialiser | None = None) -> None:
        """Say how weights are drawn: at once where their shape is known, else when it is."""
        self._initialiser = initialiser or Normal()
        if self.weight.known:
            self._draw(self.weight.tensor.shape[1])

    def _draw(self, inputs: int) -> None:
        if self._initialiser is None:
            raise InputError("the network is not initialised", remedy="net.initialize(init.Normal(sigma=0.01))")
        self.weight.set(self._initialiser.draw((self.units, inputs)))
        self.bias.set(torch.zeros(self.units))

    def __call__(self, X: NDArray) -> NDArray:
        """Outputs [B, units] of rows [B, ...]."""
        inputs = X.size // max(1, X.shape[0])
        if not self.weight.known:
            self._draw(inputs)
        if self.weight.tensor.shape[1] != inputs:
            raise InputError(
                "these rows differ in length from the first ones",
                expected=f"{self.weight.tensor.shape[1]} numbers",
                received=f"{inputs}",
            )
        act = _ACTIVATIONS.get(self.activation or "", torch.clone)
        return _of(lambda x: act(x.flatten(1) @ self.weight.tensor.T + self.bias.tensor), X)

    def __repr__(self) -> str:
        inputs = self.weight.shape[1] if self.weight.shape else None
        return f"Dense({inputs} -> {self.units}, {self.activation or 'linear'})"

    def collect_params(self, prefix: str = "dense0") -> dict[str, Parameter]:
        """Its parameters by name."""
        return {f"{prefix}_weight": self.weight, f"{prefix}_bias": self.bias}


class Sequential:
    """Layers one after another.

    >>> net = Sequential()
    >>> net.add(Dense(3, activation="relu"), Dense(1))
    >>> len(net), net[1].units
    (2, 1)
    >>> print(net)
    Sequential(
      (0): Dense(None -> 3, relu)
      (1): Dense(None -> 1, linear)
    )
    """

    def __init__(self) -> None:
        self._layers: list[Dense | Sequential] = []

    def add(self, *layers: Dense | Sequential) -> None:
        """Put layers at the end."""
        self._layers += layers

    def initialize(self, initialiser: Initialiser | None = None) -> None:
        """Say how the weights of all layers are drawn."""
        for layer in self._layers:
            layer.initialize(initialiser)

    def __call__(self, X: NDArray) -> NDArray:
        """What comes out of the last layer."""
        for layer in self._layers:
            X = layer(X)
        return X

    def __repr__(self) -> str:
        lines = [f"({place}): {layer!r}".replace("\n", "\n  ") for place, layer in enumerate(self._layers)]
        return "\n".join(["Sequential(", *(f"  {line}" for line in lines), ")"])

    def __getitem__(self, place: int) -> Dense | Sequential:
        return self._layers[place]

    def __len__(self) -> int:
        return len(self._layers)

    def collect_params(self, prefix: str = "") -> dict[str, Parameter]:
        """The parameters of all layers, nested ones too, by name."""
        result: dict[str, Parameter] = {}
        for place, layer in enumerate(self._layers):
            kind = "sequential" if isinstance(layer, Sequential) else "dense"
            name = f"{prefix}{kind}{place}"
            result |= layer.collect_params(f"{name}_" if kind == "sequential" else name)
        return result
