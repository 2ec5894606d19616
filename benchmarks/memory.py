"""Peak memory of a run and its processes beside `--memory`, and its seconds beside the budget.

    python -m benchmarks.memory [--only NAME ...]

The fixed cost is the peak of a run on a table of 150 rows. Sizes are resident, of the program and all it started,
pages that processes share counted once, sampled every 50 ms; a table passes with at most 1.1 times `--memory` more
than the fixed cost.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import psutil
from PIL import Image

from luthier.data.large import PROGRAM
from luthier.machine import parse_memory

RESULTS = Path(__file__).parent / "results" / "memory.jsonl"
SECONDS, TIMES = 60, 1.1


class Case(NamedTuple):
    """A table, how it is written, and how much memory is allowed."""

    name: str
    memory: str
    write: Callable[[Path], Path]


def numbers(rows: int, columns: int, ending: str) -> Callable[[Path], Path]:
    """Columns of normal numbers, and a class that the first two decide."""

    def write(folder: Path) -> Path:
        x = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32).round(3)
        frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(columns)}).with_columns(
            y=pl.Series(x[:, 0] + x[:, 1] > 0)
        )
        return _written(frame, folder, ending)

    return write


def classes(rows: int, count: int) -> Callable[[Path], Path]:
    """Ten columns of numbers and very many classes."""

    def write(folder: Path) -> Path:
        g = np.random.default_rng(0)
        label = np.arange(rows) % count
        x = g.normal(size=(count, 10))[label] + g.normal(size=(rows, 10))
        frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(10)} | {"y": [f"c{k}" for k in label]})
        return _written(frame, folder, "csv")

    return write


def texts(rows: int) -> Callable[[Path], Path]:
    """One column of sixty words a row."""

    def write(folder: Path) -> Path:
        g = np.random.default_rng(0)
        words = np.array([f"word{k}" for k in range(5000)])
        y = g.integers(0, 2, rows)
        said = [" ".join(words[np.minimum(4999, g.zipf(1.3, 60).clip(max=2499) * (1 + k))]) for k in y]
        return _written(pl.DataFrame({"said": said, "y": y}), folder, "csv")

    return write


def pictures(count: int) -> Callable[[Path], Path]:
    """Two folders of pictures."""

    def write(folder: Path) -> Path:
        g = np.random.default_rng(0)
        for k in range(count):
            place = folder / "pictures" / ("dark", "light")[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(g.integers(90 * (k % 2), 160 + 90 * (k % 2), (64, 64, 3), dtype=np.uint8)).save(
                place / f"{k}.png"
            )
        return folder / "pictures"

    return write


def _written(frame: pl.DataFrame, folder: Path, ending: str) -> Path:
    path = folder / f"table.{ending}"
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    return path


CASES = (
    Case("2,000 x 20,000 csv", "512MiB", numbers(20_000, 2000, "csv")),
    Case("2,000 x 20,000 parquet", "512MiB", numbers(20_000, 2000, "parquet")),
    Case("9 x 3,000,000 csv", "256MiB", numbers(3_000_000, 8, "csv")),
    Case("9 x 3,000,000 parquet", "256MiB", numbers(3_000_000, 8, "parquet")),
    Case("10,000 columns", "512MiB", numbers(2_000, 10_000, "csv")),
    Case("1,000 classes", "512MiB", classes(50_000, 1000)),
    Case("text", "512MiB", texts(50_000)),
    Case("pictures", "512MiB", pictures(4_000)),
)


def watched(arguments: list[str], environment: dict[str, str], limit: float) -> tuple[int, float, int, str]:
    """The peak in bytes of a program and all that it starts, its seconds, its exit code and its last line."""
    began, peak = time.monotonic(), 0
    program = subprocess.Popen(
        [sys.executable, "-m", "luthier", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    lines: list[str] = []
    assert program.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(program.stdout or ()), daemon=True)
    reader.start()
    while program.poll() is None:
        peak = max(peak, _resident(program.pid))
        if time.monotonic() - began > limit:
            program.kill()
        time.sleep(0.05)
    reader.join()
    return peak, time.monotonic() - began, program.returncode, lines[-1].strip() if lines else ""


def _resident(pid: int) -> int:
    try:
        me = psutil.Process(pid)
        return sum(_share(one) for one in (me, *me.children(recursive=True)))
    except psutil.Error:
        return 0


def _share(process: psutil.Process) -> int:
    """A process's own pages, and its share of those that several have (libraries), as a container counts them."""
    return int(getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss)


def measured(case: Case, fixed: int, limit: float) -> dict[str, Any]:
    """One case as a row of the results."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("LUTHIER_BENCH")) as place:
        folder = Path(place)
        environment = os.environ | {"LUTHIER_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        source = case.write(folder)
        target = [] if source.is_dir() else ["--target", "y"]
        arguments = [
            "fit",
            str(source),
            *target,
            "--memory",
            case.memory,
            "--budget",
            f"{SECONDS}s",
            "--run",
            str(folder / "run"),
        ]
        before = _processor_seconds()
        peak, seconds, code, last = watched(arguments, environment, limit)
        processors = _processor_seconds() - before
    allowed = int(TIMES * parse_memory(case.memory)) + fixed
    facts = {"case": case.name, "memory": case.memory, "peak_mib": peak >> 20, "allowed_mib": allowed >> 20}
    taken = {"seconds": round(seconds, 1), "processor_seconds": round(processors, 1)}
    return facts | {"holds": peak <= allowed, **taken, "exit": code, "last": last[:100]}


def _processor_seconds() -> float:
    """What all processes that have ended since took: on a busy machine the clock's seconds are more."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure, print and keep a row for each case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--limit", type=float, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        program = watched(["fit", "iris", "--budget", "10s", "--run", f"{place}/run"], environment, asked.limit)[0]
    print(f"the program by itself: {program >> 20} MiB; stated: {PROGRAM >> 20} MiB", flush=True)
    rows = []
    for case in CASES:
        if case.name in asked.only:
            rows.append(measured(case, PROGRAM, asked.limit))
            print(rows[-1], flush=True)
    if len(rows) == len(CASES):
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in [{"program_mib": program >> 20}, *rows]))


if __name__ == "__main__":
    main()
