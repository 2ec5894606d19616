"""Nielsen's loader, on MNIST's own IDX files: 50,000 pictures to train on, 10,000 to validate, 10,000 to test."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from luthier.classic.network import Sample
from luthier.classic.network2 import vectorized_result
from luthier.data.pictures import read_idx
from luthier.errors import InputError

TRAINED = 50_000
Pair = tuple[np.ndarray, np.ndarray]


def load_data(folder: str | Path | None = None) -> tuple[Pair, Pair, Pair]:
    """(pictures [N, 784] between 0 and 1, labels [N]) of training, validation and test, from a folder of IDX files.

    Without a folder the one in `LUTHIER_DATA`/mnist. InputError where there is none.
    """
    place = Path(folder) if folder is not None else Path(os.environ.get("LUTHIER_DATA", "data")) / "mnist"
    parts = []
    for part in ("train", "t10k"):
        result = [sorted(place.glob(f"{part}-{kind}-*")) for kind in ("images", "labels")]
        if not all(result):
            raise InputError(
                f"there is no MNIST in '{place}'",
                expected=f"{part}-images-... and {part}-labels-...",
                remedy="luthier data mnist --to DIR fetches it",
            )
        pictures, labels = (read_idx(one[0]) for one in result)
        parts.append((pictures.reshape(len(pictures), -1).astype(np.float32) / 255, labels.astype(np.int64)))
    (X, y), test = parts
    trained = min(TRAINED, len(X) * 5 // 6)
    return (X[:trained], y[:trained]), (X[trained:], y[trained:]), test


def load_data_wrapper(folder: str | Path | None = None) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Lists of (x [784, 1], y): for training y is a column [10, 1] with a one at the label, elsewhere the label."""
    training, validation, test = load_data(folder)
    return (
        [(x.reshape(-1, 1), vectorized_result(int(y))) for x, y in zip(*training, strict=True)],
        [(x.reshape(-1, 1), int(y)) for x, y in zip(*validation, strict=True)],
        [(x.reshape(-1, 1), int(y)) for x, y in zip(*test, strict=True)],
    )
