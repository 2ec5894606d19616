"""Initial values of parameters, each parameter from a random stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from luthier.seeds import torch_generator

# fan_in and the activation's gain -> standard deviation of a weight
INITIALISERS: dict[str, Callable[[int, float], float]] = {
    "he": lambda fan_in, gain: gain * fan_in**-0.5,
    "xavier": lambda fan_in, gain: fan_in**-0.5,
    "large": lambda fan_in, gain: 1.0,
    "zeros": lambda fan_in, gain: 0.0,
}
# The output layer starts small, so that the first predictions are near uniform (or near the mean)
# and the loss at the start is near its expected value.
OUTPUT_GAIN = 0.1


def initial_parameters(
    shapes: Mapping[str, tuple[int, ...]], *, initialiser: str, gain: float, seed: int
) -> dict[str, Tensor]:
    """Fresh parameters by name, in float64: weights normal, biases and shifts zero, scales one.

    He: standard deviation sqrt(2 / fan_in) for ReLU (S4-37). Embeddings are normal with standard
    deviation 1 / sqrt(width).
    """
    last = [name for name in shapes if name.startswith("layers.") and name.endswith(".weight")][-1]
    found = {}
    for name, shape in shapes.items():
        if name.endswith((".bias", ".shift")):
            found[name] = torch.zeros(shape, dtype=torch.float64)
        elif name.endswith(".scale"):
            found[name] = torch.ones(shape, dtype=torch.float64)
        else:
            deviation = INITIALISERS[initialiser](shape[-1], gain) if name.startswith("layers.") else shape[-1] ** -0.5
            if name == last and initialiser in ("he", "xavier"):
                deviation *= OUTPUT_GAIN
            noise = torch.randn(shape, dtype=torch.float64, generator=torch_generator(seed, "weights", name))
            found[name] = noise * deviation
    return found
