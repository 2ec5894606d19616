"""Run a test or a lab on other sources, in a process that has the libraries but nothing of ours yet."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds
# Imported once, by the server that every such process is forked from; it has no threads, as the suite's processes do,
# and a fork of those can wait for a lock for ever.
LIBRARIES = [
    "hypothesis",
    "numpy",
    "pandas",
    "plotly.graph_objects",
    "polars",
    "pydantic",
    "pytest",
    "rich.console",
    "scipy.optimize",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "torch.func",
    "typer",
]


def look(seen_by: str, source: Path, said: Path) -> int:
    """The exit code of the test or lab, on these sources; what it prints goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    process = context.Process(target=_look, args=(seen_by, source, said))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        with said.open("a") as file:
            file.write(f"\nnot done after {PATIENCE} s")
    assert process.exitcode is not None
    return process.exitcode


def _look(seen_by: str, source: Path, said: Path) -> None:
    code: object = 2
    with said.open("w", buffering=1) as out:
        try:
            os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
            sys.stdout = sys.stderr = out
            os.environ["PYTHONPATH"] = str(source)
            sys.path.insert(0, str(source))
            os.chdir(ROOT)
            kind, _, lab = seen_by.partition(" ")
            if kind == "lab":
                importlib.import_module("luthier.cli").main(["lab", "run", lab, "--quick"])
            pytest = importlib.import_module("pytest")
            options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "labs or not labs"]
            code = pytest.main([*options, str(ROOT / seen_by)])
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
            code = 1
    os._exit(int(code) if isinstance(code, int) else 1)
