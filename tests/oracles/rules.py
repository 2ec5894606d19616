"""Update rules as PyTorch or a formula in NumPy has them."""

from __future__ import annotations

import numpy as np
import torch

from luthier.testing.rule_contract import STEPS, gradient

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
