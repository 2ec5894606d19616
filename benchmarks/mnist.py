"""MNIST by the recipe, dense networks only: `python -m benchmarks.mnist [BUDGET] [FOLDER]`.

All 70,000 pictures of `LUTHIER_DATA/mnist` are rows of 784 pixels; a fifth of them is sealed and read once.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from pathlib import Path

import numpy as np

import luthier


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """Pixels [70000, 784] between 0 and 1, and digits [70000]."""
    folder = Path(os.environ["LUTHIER_DATA"]) / "mnist"
    parts = []
    for name, head in (("images-idx3", 16), ("labels-idx1", 8)):
        result = [
            gzip.decompress((folder / f"{part}-{name}-ubyte.gz").read_bytes())[head:] for part in ("train", "t10k")
        ]
        parts.append(np.frombuffer(b"".join(result), dtype=np.uint8))
    return (parts[0].reshape(-1, 784) / np.float32(255)), parts[1].astype(np.int64)


def main(budget: str = "10m", folder: str = "runs/mnist") -> None:
    """Fit, and print the summary with the time that it took."""
    X, y = pictures()
    began = time.monotonic()
    result = luthier.fit((X, y), budget=budget, run=folder, replace=True)
    sys.stdout.write(f"{result!r}\n{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
