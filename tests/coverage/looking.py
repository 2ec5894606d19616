"""Run a test or a lab on other sources, in a process that has the libraries but nothing of ours yet.

Red is an assertion that failed, and nothing else: an error on the way there says nothing of what was asserted.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE = 300  # seconds
GREEN, RED, BROKEN = "green", "red", "broken"
VERDICTS = {0: GREEN, 1: RED}  # by exit code; every other is BROKEN
# Imported once, by the server that every such process is forked from; it has no threads, as the suite's processes do,
# and a fork of those can wait for a lock for ever.
LIBRARIES = [
    "hypothesis",
    "jaxtyping",
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


def look(seen_by: Sequence[str], source: Path, said: Path) -> str:
    """What these tests, or this one lab, come to on these sources; what they print goes to a file.

    GREEN where all hold, RED where an assertion failed, BROKEN where something else went wrong.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    process = context.Process(target=_look, args=(tuple(seen_by), source, said))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        with said.open("a") as file:
            file.write(f"\nnot done after {PATIENCE} s")
    return VERDICTS.get(process.exitcode or 0, BROKEN)


def _look(seen_by: Sequence[str], source: Path, said: Path) -> None:
    verdict = BROKEN
    with said.open("w", buffering=1) as out:
        try:
            os.dup2(out.fileno(), 1), os.dup2(out.fileno(), 2)
            sys.stdout = sys.stderr = out
            os.environ |= {"PYTHONPATH": str(source), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            sys.path.insert(0, str(source))
            os.chdir(ROOT)
            importlib.import_module("torch").set_num_threads(1)
            kind, _, lab = seen_by[0].partition(" ")
            verdict = _lab(lab) if kind == "lab" else _tests(seen_by)
            file = importlib.import_module("luthier").__file__
            assert file is not None
            assert Path(file).is_relative_to(source), f"it looked at {file}"
        except BaseException:
            traceback.print_exc()
            verdict = BROKEN
        print(f"{verdict} after {time.process_time():.1f} s of processor time", file=out)
    os._exit({GREEN: 0, RED: 1, BROKEN: 2}[verdict])


def _lab(name: str) -> str:
    gallery = importlib.import_module("luthier.labs.gallery")
    outcome = importlib.import_module("luthier.labs.lab").run_lab(gallery.lab_named(name), quick=True)
    print("\n".join(gallery.lines(outcome)))
    return GREEN if outcome.good else RED


def _tests(names: Sequence[str]) -> str:
    pytest = importlib.import_module("pytest")
    results: list[str] = []

    class TrainingMonitor:
        """Gathers what each phase of each test came to."""

        @pytest.hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
        def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
            report = yield
            asserted = call.excinfo and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception))
            if report.when == "call" or report.failed:
                results.append(GREEN if report.passed else RED if asserted and report.when == "call" else BROKEN)
            return report

    options = ["-q", "-x", "-m", "labs or not labs", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    code = pytest.main([*options, *(str(ROOT / name) for name in names)], [TrainingMonitor()])
    if code not in (0, 1) or not results or BROKEN in results:
        return BROKEN
    return RED if code else GREEN
