"""Initial values of parameters, each parameter from a random stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from luthier.seeds import torch_generator
from luthier.shapes import Matrix


class Fan(NamedTuple):
    """What an initialiser may scale by: units below and above, the activation's gain, the spec's deviation."""

    into: int
    out: int
    gain: float
    deviation: float


def _normal(deviation: Callable[[Fan], float]) -> Callable[[Fan, Generator], Tensor]:
    def draw(fan: Fan, generator: Generator) -> Matrix:
        return torch.randn((fan.out, fan.into), dtype=torch.float64, generator=generator).mul_(deviation(fan))

    return draw


def _orthogonal(fan: Fan, generator: Generator) -> Matrix:
    """Rows (or columns, where there are fewer) of length `gain`, at right angles (Saxe and others, 2014)."""
    tall = torch.randn((max(fan.out, fan.into), min(fan.out, fan.into)), dtype=torch.float64, generator=generator)
    Q, R = torch.linalg.qr(tall)
    columns: Tensor = Q * (fan.gain * R.diagonal().sign())
    return columns if fan.out >= fan.into else columns.T


# (fan, generator) -> weights [out, in] in float64
INITIALISERS: dict[str, Callable[[Fan, Generator], Tensor]] = {
    "he": _normal(lambda fan: fan.gain * fan.into**-0.5),
    "xavier": _normal(lambda fan: fan.into**-0.5),  # as the documents have it (S1-107, S2-04)
    "glorot": _normal(lambda fan: (2 / (fan.into + fan.out)) ** 0.5),  # as Glorot and Bengio have it
    "normal": _normal(lambda fan: fan.deviation),
    "large": _normal(lambda fan: 1.0),
    "orthogonal": _orthogonal,
    "zeros": lambda fan, generator: torch.zeros(fan.out, fan.into, dtype=torch.float64),
}
# The output layer starts small, so that the first predictions are near uniform (or near the mean)
# and the loss at the start is near its expected value.
OUTPUT_GAIN = 0.1
# The other initialisers are the documents' own and stay as they print them.
BENDS_AT = 5  # rows among which a unit bends
_SMALL_OUTPUT = ("he", "xavier", "glorot", "orthogonal")  # the documents leave the others as they are


def initial_parameters(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    initialiser: str,
    gains: Sequence[float],
    seed: int,
    deviation: float = 0.01,
) -> dict[str, Tensor]:
    """Fresh parameters by name, in float64; the same seed gives the same ones again.

    Weights follow the initialiser with the gain of their layer; scales are one, shifts zero. Biases
    are zero but for `large`, which draws them like its weights. Embeddings are normal with
    standard deviation 1 / sqrt(width).
    """
    last = [name for name in shapes if name.startswith("layers.") and name.endswith(".weight")][-1]
    result = {}
    for name, shape in shapes.items():
        generator = torch_generator(seed, "weights", name)
        if name.startswith("layers.") and name.endswith(".weight"):
            gain = gains[int(name.split(".")[1])]
            values = INITIALISERS[initialiser](Fan(shape[1], shape[0], gain, deviation), generator)
            result[name] = values * OUTPUT_GAIN if name == last and initialiser in _SMALL_OUTPUT else values
        elif name.endswith(".weight"):
            result[name] = torch.randn(shape, dtype=torch.float64, generator=generator) * shape[-1] ** -0.5
        elif name.endswith(".bias") and initialiser == "large":
            result[name] = torch.randn(shape, dtype=torch.float64, generator=generator)
        else:
            result[name] = torch.full(shape, float(name.endswith(".scale")), dtype=torch.float64)
    return result


def bending_biases(sums: Tensor, generator: Generator) -> Tensor:
    """Biases [H] that put each unit's bend among the rows: less a mean of its sums [R, H] over five rows of its own.

    Rows and their shares of the mean (exponential draws, over their sum) are drawn for each unit ("he+5" of Steinwart,
    2019, as in RealMLP).

    >>> sums = torch.tensor([[1.0, 8.0], [1.0, 9.0]])
    >>> first, second = bending_biases(sums, torch.Generator().manual_seed(0)).tolist()
    >>> round(first, 6), 8 <= -second <= 9
    (-1.0, True)
    """
    units = sums.shape[1]
    rows = torch.randint(len(sums), (BENDS_AT, units), generator=generator)
    shares = torch.empty(BENDS_AT, units, dtype=torch.float64).exponential_(generator=generator)
    return -(sums.gather(0, rows) * (shares / shares.sum(0)).to(sums.dtype)).sum(0)
