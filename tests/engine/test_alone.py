"""The engine beside PyTorch and NumPy alone, as on a machine with a GPU that can fetch nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
THERE = {"torch", "numpy", "filelock", "typing-extensions"}  # PyTorch brings the last two itself

PROGRAM = """
import sys
import numpy, torch
for name in {missing!r}:
    sys.modules[name] = None  # an import of it fails
before = set(sys.modules)
import luthier.engine
from luthier import train
rows = torch.randn(64, 3), torch.arange(64) % 2
for network in (luthier.DenseSpec(inputs=3, hidden=(8,), outputs=2), torch.nn.Linear(3, 2)):
    found = train(network, rows, validation=rows, learning_rate=[1e-3, 1e-2], epochs=2, metrics=["accuracy"])
    assert len(found.history.rows) == 4
import benchmarks.gpu.figures
brought = {{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)
print(*sorted(brought))
"""


def test_the_engine_trains_with_pytorch_and_numpy_alone() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {requirement.partition(">=")[0] for requirement in wanted}
    assert names >= THERE
    missing = [{"scikit-learn": "sklearn"}.get(name, name.replace("-", "_")) for name in sorted(names - THERE)]
    command = [sys.executable, "-c", PROGRAM.format(missing=missing)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {
        "luthier",
        "filelock",
        "typing_extensions",
        "torch",
        "torchgen",
        "numpy",
        "benchmarks",
    }
