"""Update rules as PyTorch or a formula in NumPy has them, three members of different settings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from luthier.optimise import RULES
from luthier.seeds import torch_generator

STEPS, SIZE = 200, 9


MEMBERS = [
    {
        "rate": 0.01 * (1 + k),
        "momentum": 0.3 + 0.2 * k,
        "beta1": 0.8 + 0.05 * k,
        "beta2": 0.9 + 0.03 * k,
        "epsilon": 10.0 ** -(6 + k),
        "rho": 0.85 + 0.04 * k,
    }
    for k in range(3)
]


def gradient(P: Tensor, step: int) -> Tensor:
    """A noisy bowl's, for P [..., SIZE]: as in training, and rounding errors do not grow along the way."""
    return 0.1 * P + torch.randn(SIZE, generator=torch_generator(0, "noise", step), dtype=torch.float64)


TORCH = {
    "sgd": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"]),
    "nesterov": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"], nesterov=True),
    "nesterov-velocity": lambda w, m: torch.optim.SGD(w, m["rate"], momentum=m["momentum"], nesterov=True),
    "adagrad": lambda w, m: torch.optim.Adagrad(w, m["rate"], eps=m["epsilon"]),
    "rmsprop": lambda w, m: torch.optim.RMSprop(w, m["rate"], alpha=m["rho"], eps=m["epsilon"]),
    "adam": lambda w, m: torch.optim.Adam(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
    "adadelta": lambda w, m: torch.optim.Adadelta(w, m["rate"], rho=m["rho"], eps=m["epsilon"]),
    "adamax": lambda w, m: torch.optim.Adamax(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
    # What Muon leaves to others: rows without matrices.
    "muon": lambda w, m: torch.optim.Adam(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
    "nadam": lambda w, m: torch.optim.NAdam(w, m["rate"], betas=(m["beta1"], m["beta2"]), eps=m["epsilon"]),
}


def numpy_adam_uncorrected(start: np.ndarray, m: dict[str, float]) -> np.ndarray:
    w, mean, square = start.copy(), 0.0, 0.0
    for step in range(1, STEPS + 1):
        g = gradient(torch.from_numpy(w), step).numpy()
        mean = m["beta1"] * mean + (1 - m["beta1"]) * g
        square = m["beta2"] * square + (1 - m["beta2"]) * g**2
        w = w - m["rate"] * mean / (np.sqrt(square) + m["epsilon"])
    return w


def numpy_lion(start: np.ndarray, m: dict[str, float]) -> np.ndarray:
    w, mean = start.copy(), np.zeros_like(start)
    for step in range(1, STEPS + 1):
        g = gradient(torch.from_numpy(w), step).numpy()
        w = w - m["rate"] * np.sign(m["beta1"] * mean + (1 - m["beta1"]) * g)
        mean = m["beta2"] * mean + (1 - m["beta2"]) * g
    return w


def numpy_schedule_free(start: np.ndarray, m: dict[str, float], decay: float = 0.0) -> np.ndarray:
    """The three sequences of the paper (Defazio and others, 2024, algorithm 1), weights of squared rates."""
    x, y, z, square, weights = start.copy(), start.copy(), start.copy(), 0.0, 0.0
    for step in range(1, STEPS + 1):
        g = gradient(torch.from_numpy(y), step).numpy()
        square = m["beta2"] * square + (1 - m["beta2"]) * g**2
        g = g / (np.sqrt(square / (1 - m["beta2"] ** step)) + m["epsilon"])
        z = z - m["rate"] * (g + decay * y)
        weights += m["rate"] ** 2
        x = (1 - m["rate"] ** 2 / weights) * x + m["rate"] ** 2 / weights * z
        y = (1 - m["beta1"]) * z + m["beta1"] * x
    return y


NUMPY = {
    "adam-uncorrected": numpy_adam_uncorrected,
    "lion": numpy_lion,
    "schedule-free": numpy_schedule_free,
}


def stacked(rule: str, start: Tensor, rates: Callable[[int], float] = lambda step: 1.0) -> Tensor:
    P = start.clone()
    hyper = {name: torch.tensor([[m[name]] for m in MEMBERS], dtype=P.dtype) for name in MEMBERS[0]}
    state = RULES[rule].init(P)
    for step in range(1, STEPS + 1):
        RULES[rule].update(P, gradient(P, step), state, {**hyper, "rate": hyper["rate"] * rates(step)}, step)
    return P


def first_parameters() -> Tensor:
    """A row [SIZE] for each member."""
    return torch.randn(len(MEMBERS), SIZE, generator=torch_generator(0, "start"), dtype=torch.float64)
