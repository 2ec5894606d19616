"""Trainings drawn from a seed: healthy ones, as a careful person would set them up.

The rows, the network and the optimiser are drawn. N rows, F features, C classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import torch
from sklearn import datasets
from torch import Tensor, nn

from luthier.diagnosis import Diagnosis, diagnose
from luthier.seeds import numpy_generator

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "leaky relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}
KNOWN = ("digits", "wine", "blobs", "waves")  # what thresholds were set on
UNSEEN = ("breast-cancer", "iris", "rings", "steps")  # two rules were mended after a look at these
FRESH = ("diabetes", "moons", "friedman", "churn", "penguins")  # looked at once, with everything frozen
TABLES = {"churn": "churn", "penguins": "species"}


@dataclass
class Case:
    """One training to be diagnosed: what `luthier.diagnose` is called with. `optimiser` is made of the module."""

    X: Tensor
    y: Tensor
    module: nn.Module
    rule: str = "adam"
    rate: float = 1e-3
    options: dict[str, Any] = field(default_factory=dict)
    data: Any = None
    decay: float = 0.0

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """The optimiser over the module's parameters."""
        if self.rule == "sgd":
            return torch.optim.SGD(self.module.parameters(), self.rate, momentum=0.9, weight_decay=self.decay)
        return torch.optim.Adam(self.module.parameters(), self.rate, weight_decay=self.decay)

    @property
    def classes(self) -> int:
        """C, or 1 for a regression."""
        return 1 if self.y.is_floating_point() else int(self.y.max()) + 1


def rows_of(name: str, seed: int) -> tuple[Tensor, Tensor]:
    """Standardised rows: sets that scikit-learn bundles, tables under `LUTHIER_DATA`, and sets that are drawn."""
    rng = numpy_generator(seed, "rows", name)
    if name in ("digits", "wine", "breast-cancer", "iris", "diabetes"):
        result = getattr(datasets, f"load_{name.replace('-', '_')}")()
        X, y = result.data, result.target
    elif name == "moons":
        X, y = datasets.make_moons(1000, noise=0.25, random_state=seed)
    elif name == "friedman":
        X, y = datasets.make_friedman1(1000, noise=1.0, random_state=seed)
    elif name in TABLES:
        X, y = _table(name)
    else:
        X = rng.normal(size=(1200, 8))
        if name == "blobs":
            centres = rng.normal(size=(4, 8)) * 1.5
            y = rng.integers(4, size=1200)
            X = X + centres[y]
        elif name == "rings":
            y = (np.linalg.norm(X[:, :3], axis=1) > 1.6).astype(int)
        elif name == "waves":
            y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=1200)
        else:
            y = np.sign(X[:, 0]) + 0.5 * np.sign(X[:, 1]) + X[:, 2] + 0.3 * rng.normal(size=1200)
    order = rng.permutation(len(X))
    X = X[order] - X.mean(0)
    X = X / np.where(X.std(0) > 0, X.std(0), 1)
    target = torch.tensor(y[order])
    if target.is_floating_point():
        target = ((target - target.mean()) / target.std()).float()
    return torch.tensor(X, dtype=torch.float32).clamp(
        -5, 5
    ), target.float() if target.is_floating_point() else target.long()


def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The columns of numbers of a table, gaps filled with the mean, and its classes as numbers."""
    frame = pl.read_csv(Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{name}.csv", null_values=["NA", ""])
    y = frame[TABLES[name]].cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    X = frame.drop(TABLES[name]).select(cs.numeric().fill_null(strategy="mean").cast(pl.Float64)).to_numpy()
    return X[:2000], y[:2000]


def names_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those sets that are there: tables need `LUTHIER_DATA`."""
    return tuple(name for name in names if name not in TABLES or "LUTHIER_DATA" in os.environ)


def chain(inputs: int, hidden: list[int], outputs: int, activation: str, *, norm: bool = False) -> nn.Sequential:
    """A chain of dense layers, batch norm before the activation where it is asked for."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(inputs, units), *([nn.BatchNorm1d(units)] if norm else []), ACTIVATIONS[activation]()]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def healthy(seed: int, names: tuple[str, ...] = KNOWN) -> Case:
    """A training that a careful person would set up: scaled inputs, a sane rate, not too many epochs.

    On `FRESH` rows widths and activations are others too.
    """
    rng, fresh = numpy_generator(seed, "healthy"), names == names_of(FRESH)
    name = names[int(rng.integers(len(names)))]
    X, y = rows_of(name, seed)
    depth, width = int(rng.integers(1, 4)), int(rng.choice([24, 48, 96] if fresh else [16, 32, 64]))
    activation = str(rng.choice(["silu", "elu", "relu"] if fresh else ["relu", "tanh", "gelu", "leaky relu"]))
    norm, rule = bool(rng.random() < 0.3), str(rng.choice(["adam", "sgd"]))
    rate = float(10 ** rng.uniform(-3, -2.3) if rule == "adam" else 10 ** rng.uniform(-2, -1.3))
    torch.manual_seed(seed)
    outputs = 1 if y.is_floating_point() else int(y.max()) + 1
    module = chain(X.shape[1], [width] * depth, outputs, activation, norm=norm)
    batch = 32 if len(X) > 400 else 16
    steps = int(np.clip(15 * 0.8 * len(X) / batch, 100, 300))
    return Case(X, y, module, rule, rate, {"batch_size": batch, "steps": steps, "seed": seed})


def learns(found: Diagnosis) -> bool:
    """Whether a training learns: its lowest validation loss is a tenth below that of a constant prediction."""
    best, trivial = found.trace.best, found.trace.trivial
    return best is not None and trivial is not None and (best.validation or 0.0) < 0.9 * trivial


def diagnosed(case: Case) -> Diagnosis:
    """What `luthier.diagnose` says of a case."""
    data = case.data if case.data is not None else (case.X, case.y)
    return diagnose(case.module, data, optimiser=case.optimiser, **case.options)
