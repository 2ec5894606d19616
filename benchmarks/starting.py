"""How long one waits before anything begins: the import, `luthier --help`, and a model loaded where torch already is.

    python -m benchmarks.starting

Each is a process of its own, in turns; a process that does nothing is taken off. Loading is timed inside its process,
after torch's own import, so that what it costs is what Luthier adds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import luthier
from luthier.runs.screen import SilentScreen

TURNS = 9
RESULTS = Path(__file__).parent / "results" / "starting.json"
LOADING = """
import sys, time, torch
began = time.perf_counter()
import luthier
luthier.load(sys.argv[1])
print(time.perf_counter() - began)
"""
TARGETS = {"import luthier": 0.3, "luthier --help": 0.5, "luthier.load beside torch's import": 1.0}


def main() -> None:
    """Print and keep medians of seconds."""
    with tempfile.TemporaryDirectory() as place:
        run = luthier.fit("wine", budget="300steps", run=Path(place) / "run", screen=SilentScreen())
        assert run is not None
        bare, imported, helped, loaded = [], [], [], []
        for _ in range(TURNS):
            bare.append(_seconds("-c", "pass"))
            imported.append(_seconds("-c", "import luthier"))
            helped.append(_seconds("-m", "luthier", "--help"))
            loaded.append(float(_said("-c", LOADING, str(run.path / "model.luthier"))))
    nothing = statistics.median(bare)
    result = {
        "import luthier": statistics.median(imported) - nothing,
        "luthier --help": statistics.median(helped) - nothing,
        "luthier.load beside torch's import": statistics.median(loaded),
    }
    print(f"medians of {TURNS} turns; a process that does nothing takes {nothing:.3f} s")
    for name, seconds in result.items():
        print(f"{name:36}{seconds:7.3f} s, to be under {TARGETS[name]} s")
    RESULTS.write_text(json.dumps({"turns": TURNS, "nothing": nothing, "seconds": result}, indent=2) + "\n")


def _seconds(*arguments: str) -> float:
    began = time.perf_counter()
    _said(*arguments)
    return time.perf_counter() - began


def _said(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
