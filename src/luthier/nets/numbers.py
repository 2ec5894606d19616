"""Learned functions of single numbers that enter beside them: waves ("PBLD") or pieces of lines ("PLE").

B rows, F numbers that are embedded, k frequencies or pieces of each, w values of each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
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
    """Beside each of the first `columns` inputs x come `width` - 1 values: W cos(2 pi f x + phase) + b ("PBLD").

    Each number has `frequencies` f of its own, at first normal with standard deviation `deviation`, so that the waves
    are long; and phases, weights and biases of its own. All are learnt, best at a tenth of the rate (`rate_factors` of
    a member). After Holzmueller and others (2024).

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

    @property
    def inner(self) -> int:
        """How many numbers of a row are worked out on the way to its values."""
        return self.columns * self.frequencies

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


@dataclass(frozen=True)
class PiecewiseEmbedding:
    """Beside each of the first inputs x come `width` - 1 values W e(x) + b that are linear between `edges` ("PLE").

    Each of F numbers has k + 1 edges of its own, at quantiles of the training rows (`quantile_edges`); e(x) [k] says
    how much of each piece lies below x: clip((x - edge) / (next edge - edge), 0, 1). Pieces between equal edges stay 0.
    After Gorishniy and others (2022); x itself goes on beside them.

    >>> PiecewiseEmbedding(((0.0, 1.0, 3.0),), width=4).features
    3
    """

    edges: tuple[tuple[float, ...], ...]
    width: int = 4

    def __post_init__(self) -> None:
        counts = {len(edges) for edges in self.edges}
        rising = all(low <= high for edges in self.edges for low, high in pairwise(edges))
        known = all(map(math.isfinite, chain.from_iterable(self.edges)))
        if len(counts) != 1 or min(counts) < 2 or not rising or not known or self.width < 2:
            raise ConfigError(
                [
                    "pieces of numbers need a width of 2 and, for each number, as many rising edges, two at least; got "
                    f"width {self.width} and {', '.join(map(str, sorted(counts))) or 'no'} edges"
                ]
            )

    @property
    def columns(self) -> int:
        """How many numbers are embedded."""
        return len(self.edges)

    @property
    def pieces(self) -> int:
        """How many pieces each number has."""
        return len(self.edges[0]) - 1

    @property
    def features(self) -> int:
        """How many values come beside the numbers."""
        return self.columns * (self.width - 1)

    @property
    def inner(self) -> int:
        """How many numbers of a row are worked out on the way to its values."""
        return self.columns * self.pieces

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter."""
        values = self.width - 1
        return {PREFIX + "weight": (self.columns, values, self.pieces), PREFIX + "bias": (self.columns, values)}

    def fresh_parameters(self, seed: int) -> dict[str, Tensor]:
        """Initial parameters by name, in float64: within 1 / sqrt(k)."""
        result = {}
        for name, shape in self.shapes().items():
            drawn = torch.rand(shape, dtype=torch.float64, generator=torch_generator(seed, "weights", name))
            result[name] = (2 * drawn - 1) * self.pieces**-0.5
        return result


AnyEmbedding = NumberEmbedding | PiecewiseEmbedding


def embedding_from_json(value: Mapping[str, Any] | None) -> AnyEmbedding | None:
    """The embedding that `dataclasses.asdict` gave; None of None."""
    if value is None:
        return None
    if "edges" not in value:
        return NumberEmbedding(**value)
    return PiecewiseEmbedding(tuple(tuple(map(float, edges)) for edges in value["edges"]), int(value["width"]))


def quantile_edges(x: Features, pieces: int) -> tuple[tuple[float, ...], ...]:
    """Edges [F][pieces + 1] of the numbers of training rows [N, F], at even quantiles; ties leave pieces empty.

    >>> quantile_edges(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]]), 2)
    ((0.0, 2.0, 4.0),)
    """
    ranks = torch.linspace(0, 1, pieces + 1, dtype=torch.float64)
    return tuple(tuple(column.double().quantile(ranks).tolist()) for column in x.unbind(1))


def in_pieces(x: Tensor, edges: Tensor) -> Tensor:
    """How much of each piece lies below numbers x [..., F]: [..., F, k] from edges [F, k + 1].

    >>> in_pieces(torch.tensor([[2.0]]), torch.tensor([[0.0, 1.0, 3.0]]))
    tensor([[[1.0000, 0.5000]]])
    """
    start, steepness = pieces(edges)
    return ((x.unsqueeze(-1) - start) * steepness).clamp(0, 1)


def pieces(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Where each piece between edges [F, k + 1] starts, and 1 / its length, 0 for one without length: [F, k] each."""
    length = edges.diff(dim=1)
    return edges[:, :-1], torch.where(length > 0, 1 / length.clamp_min(torch.finfo(edges.dtype).tiny), 0.0)


def pieced_numbers(x: Features, edges: Tensor, parameters: Mapping[str, Tensor]) -> Embedded:
    """The values [B, F (w - 1)] beside numbers x [B, F], of parameters by the last part of their names.

    >>> one = {"weight": torch.tensor([[[2.0, 4.0]]]), "bias": torch.tensor([[0.5]])}
    >>> pieced_numbers(torch.tensor([[2.0]]), torch.tensor([[0.0, 1.0, 3.0]]), one)  # 2 * 1 + 4 / 2 + 0.5
    tensor([[4.5000]])
    """
    values = torch.einsum("bfk,fwk->bfw", in_pieces(x, edges.to(x.dtype)), parameters["weight"]) + parameters["bias"]
    return values.flatten(1)
