"""Learned functions of single numbers that enter beside them: "PBLD" (Holzmueller and others, 2024).

B rows, F numbers that are embedded, k frequencies of each, w values of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from luthier.errors import ConfigError
from luthier.seeds import torch_generator
from luthier.shapes import Embedded, Features

PREFIX = "numbers.0."
SCALE = "scales.0.factor"  # of all that enters the first layer


@dataclass(frozen=True)
class NumberEmbedding:
    """Beside each of the first `columns` inputs x come `width` - 1 values: W cos(2 pi f x + phase) + b.

    Each number has `frequencies` f of its own, at first normal with standard deviation `deviation`, so that the waves
    are long; and phases, weights and biases of its own. All are learnt, best at a tenth of the rate (`rate_factors` of
    a member).

    >>> NumberEmbedding(columns=8).features
    24
    """

    columns: int
    frequencies: int = 16
    width: int = 4
    deviation: float = 0.1

    def __post_init__(self) -> None:
        if self.columns < 1 or self.frequencies < 1 or self.width < 2 or not self.deviation > 0:
            raise ConfigError(
                [
                    "an embedding of numbers needs a column, a frequency, a width of 2 and a deviation above 0; "
                    f"got {self.columns}, {self.frequencies}, {self.width} and {self.deviation:g}"
                ]
            )

    @property
    def features(self) -> int:
        """How many values come beside the numbers."""
        return self.columns * (self.width - 1)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter."""
        columns, k, values = self.columns, self.frequencies, self.width - 1
        shapes = {
            "frequencies": (columns, k),
            "phases": (columns, k),
            "weight": (columns, values, k),
            "bias": (columns, values),
        }
        return {PREFIX + name: shape for name, shape in shapes.items()}

    def fresh_parameters(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters by name, in float64: phases from -pi to pi, weights and biases within 1 / sqrt(k)."""
        result = {}
        for name, shape in self.shapes().items():
            generator = torch_generator(seed, "weights", name)
            if name.endswith("frequencies"):
                result[name] = torch.randn(shape, dtype=torch.float64, generator=generator) * self.deviation
            else:
                reach = torch.pi if name.endswith("phases") else self.frequencies**-0.5
                drawn = torch.rand(shape, dtype=torch.float64, generator=generator)
                result[name] = (2 * drawn - 1) * reach
        return result

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> NumberEmbedding | None:
        """The embedding that `dataclasses.asdict` gave; None of None."""
        return None if value is None else cls(**value)


def embedded_numbers(x: Features, parameters: Mapping[str, Tensor]) -> Embedded:
    """The values [B, F (w - 1)] beside numbers x [B, F], of parameters by the last part of their names.

    >>> one = {name: torch.ones(shape) for name, shape in (("frequencies", (1, 1)), ("phases", (1, 1)))}
    >>> one |= {"weight": torch.full((1, 1, 1), 2.0), "bias": torch.full((1, 1), 0.5)}
    >>> embedded_numbers(torch.zeros(1, 1), one)  # 2 cos(1) + 0.5
    tensor([[1.5806]])
    """
    angles = 2 * torch.pi * x.unsqueeze(2) * parameters["frequencies"] + parameters["phases"]
    values = torch.einsum("bfk,fwk->bfw", angles.cos(), parameters["weight"]) + parameters["bias"]
    return values.flatten(1)
