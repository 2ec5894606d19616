"""The networks, batches and data that speed is measured on."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from luthier.nets import DenseSpec

ROWS = 12_800


@dataclass(frozen=True, eq=False)
class Runner:
    """A network, its batches and rule, and what to reach against each peer."""

    name: str
    words: str
    spec: DenseSpec | None  # None: the convolutional network
    batch: int
    rule: str
    steps: int  # of one turn
    alone: dict[str, float] = field(default_factory=dict)
    stacked: dict[str, float] = field(default_factory=dict)

    def module(self) -> nn.Module:
        """A fresh module as anyone would write it."""
        if self.spec is None:
            return convnet()
        activation = nn.Sigmoid if self.spec.activations[0] == "sigmoid" else nn.ReLU
        sizes = (self.spec.inputs, *self.spec.hidden)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], self.spec.outputs))

    @property
    def network(self) -> DenseSpec | Callable[[], nn.Module]:
        """What is given to `luthier.train`."""
        return convnet if self.spec is None else self.spec


def convnet() -> nn.Module:
    """32 and 64 channels with batch norm."""
    layers: list[nn.Module] = []
    for a, b in ((1, 32), (32, 64)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 49, 10))


LOOP, SKLEARN, JAX, LIGHTNING, NUMPY, BARE = (
    *("hand-written PyTorch loop", "scikit-learn MLPClassifier", "JAX, one jitted scan"),
    *("Lightning", "NumPy loop", "bare matrix products"),
)
WORKS = (
    Runner(
        *("a", "784-30-10 sigmoid, batch 10, SGD", DenseSpec(784, (30,), 10, activation="sigmoid"), 10, "sgd", 6000),
        {LOOP: 5.0, SKLEARN: 5.0, JAX: 1.1},
        {LOOP: 9.0, LIGHTNING: 30.0, NUMPY: 2.0, BARE: 0.4},
    ),
    Runner(
        *("b", "784-128-128-10 ReLU, batch 64, Adam", DenseSpec(784, (128, 128), 10), 64, "adam", 1500),
        {LOOP: 2.6, SKLEARN: 3.0, JAX: 1.1},
        {LOOP: 4.0, LIGHTNING: 8.0, BARE: 0.4},
    ),
    Runner("c", "ConvNet 32-64, batch norm, batch 64, Adam", None, 64, "adam", 60, {LOOP: 1.2}),
    Runner(
        *("d", "50-128-128-2 ReLU, batch 256, Adam", DenseSpec(50, (128, 128), 2), 256, "adam", 1500),
        {LOOP: 3.0},
        {LOOP: 5.0},
    ),
)


@cache
def pictures() -> Tensor:
    """MNIST's first pictures [N, 784] where LUTHIER_DATA names a folder with it, else noise of their shape."""
    raw = _mnist("train-images*")
    if raw is None:
        return torch.rand(ROWS, 784, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(np.frombuffer(raw, np.uint8, ROWS * 784, 16).copy()).view(ROWS, 784).float() / 255


@cache
def labels() -> Tensor:
    """Their digits [N]; without the folder, classes that follow from the noise."""
    raw = _mnist("train-labels*")
    if raw is None:
        return pictures()[:, :10].argmax(1)
    return torch.from_numpy(np.frombuffer(raw, np.uint8, ROWS, 8).copy()).long()


def _mnist(pattern: str) -> bytes | None:
    folder = Path(os.environ.get("LUTHIER_DATA", "")) / "mnist"
    result = sorted(folder.glob(pattern))
    if not result:
        return None
    raw = result[0].read_bytes()
    return gzip.decompress(raw) if result[0].suffix == ".gz" else raw


@cache
def data(work: Runner) -> tuple[Tensor, Tensor]:
    """Features [N, ...] and classes [N]; classes are drawn, for the time does not depend on them."""
    generator = torch.Generator().manual_seed(0)
    if work.spec is None:
        return pictures()[:2000].view(-1, 1, 28, 28), torch.randint(0, 10, (2000,), generator=generator)
    X = pictures() if work.spec.inputs == 784 else torch.rand(ROWS, work.spec.inputs, generator=generator)
    return X, torch.randint(0, work.spec.outputs, (ROWS,), generator=generator)
