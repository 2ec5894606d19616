"""The documents' own settings on MNIST, as stacks of seeds: means beside the printed single runs."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import luthier

FOLDER = Path(os.environ.get("LUTHIER_DATA", "")) / "mnist"
SEEDS = 5
WITHIN = 0.4  # points: twice the standard error of 10,000 pictures, 0.2, which the printed runs have too


def idx(name: str) -> Tensor:
    """An IDX file's numbers."""
    (path,) = FOLDER.glob(f"{name}*")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    shape = [int.from_bytes(raw[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(raw[3])]
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).copy()).view(shape)


@pytest.fixture(scope="module")
def mnist() -> dict[str, tuple[Tensor, Tensor]]:
    """50,000 rows to train on, 10,000 to validate and 10,000 to test, as the documents split them."""
    if not FOLDER.exists():
        pytest.skip("needs MNIST: set LUTHIER_DATA to a folder with mnist/")
    parts = {}
    for name, split in (("train", "train"), ("t10k", "test")):
        parts[split] = (idx(f"{name}-images").flatten(1).float() / 255, idx(f"{name}-labels").long())
    X, y = parts["train"]
    return {"train": (X[:50_000], y[:50_000]), "validation": (X[50_000:], y[50_000:]), "test": parts["test"]}


def best_accuracies(data: dict[str, tuple[Tensor, Tensor]], hidden: int, watched: str, l2: list[float]) -> np.ndarray:
    """Each seed's best epoch in per cent, [settings, seeds]: sigmoid outputs, cross-entropy, eta 0.5, batch 10."""
    spec = luthier.DenseSpec(784, (hidden,), 10, activation="sigmoid", initialiser="large")
    found = luthier.train(
        spec,
        data["train"],
        validation=data[watched],
        loss="binary",
        rule="sgd",
        momentum=0.0,
        learning_rate=0.5,
        l2=l2,
        seeds=SEEDS,
        epochs=30,
        batch_size=10,
        processes=2,
        metrics=("accuracy",),
    )
    assert found.layout == "stacked"
    best = found.history.to_frame().group_by("member").max().sort("member")["accuracy"].to_numpy()
    return 100 * best.reshape(len(l2), SEEDS)


@pytest.mark.labs
def test_30_hidden_without_and_with_regularisation(mnist: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Printed 95.49 (S1-57), and 96.49 with lambda 5 (S1-92)."""
    plain, bound = best_accuracies(mnist, 30, "test", [0.0, 5.0])
    print(f"30 hidden: {plain.mean():.2f} ({plain.min():.2f}-{plain.max():.2f}), printed 95.49")
    print(f"30 hidden, lambda 5: {bound.mean():.2f} ({bound.min():.2f}-{bound.max():.2f}), printed 96.49")
    assert abs(plain.mean() - 95.49) < WITHIN
    assert abs(bound.mean() - 96.49) < WITHIN
    assert (bound - plain).min() > 0


@pytest.mark.labs
def test_100_hidden_with_regularisation(mnist: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Printed 97.92 on the validation pictures (S1-93)."""
    (found,) = best_accuracies(mnist, 100, "validation", [5.0])
    print(f"100 hidden, lambda 5: {found.mean():.2f} ({found.min():.2f}-{found.max():.2f}), printed 97.92")
    assert abs(found.mean() - 97.92) < WITHIN
