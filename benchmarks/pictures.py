"""MNIST's pictures by the recipe: `python -m benchmarks.pictures [BUDGET] [FOLDER]`.

All 70,000 pictures of `LUTHIER_DATA/mnist`; a fifth of them is sealed and read once.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import luthier


def main(budget: str = "20m", folder: str = "runs/mnist-pictures") -> None:
    """Fit, and print the summary with the time that it took."""
    began = time.monotonic()
    result = luthier.fit(Path(os.environ["LUTHIER_DATA"]) / "mnist", budget=budget, run=folder, replace=True)
    sys.stdout.write(f"{result!r}\n{time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
