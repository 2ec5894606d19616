"""Which share of a run's seconds trains, on tables that are wide, long, or of many classes.

    python -m benchmarks.knees [wide | classes | long] [seconds] [profile]

Training is what happens inside of `luthier.engine.train`, its evaluations told apart, range tests included. With
`profile`, which itself takes time, what takes the rest is written to `knees-NAME.prof`, for `python -m pstats`.
"""

from __future__ import annotations

import cProfile
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luthier
from luthier.runs.screen import SilentScreen

SHAPES = {"small": (500, 12, 0), "wide": (2_000, 10_000, 0), "classes": (20_000, 20, 1_000), "long": (1_000_000, 20, 0)}
SPENT: dict[str, float] = {}


def table(rows: int, columns: int, classes: int) -> pl.DataFrame:
    """Numbers with a target of the first ten, as values or classes."""
    g = np.random.default_rng(0)
    X = g.normal(size=(rows, columns)).astype(np.float32)
    score = X[:, :10] @ g.normal(size=10) + 0.1 * g.normal(size=rows)
    frame = pl.DataFrame(dict(zip((f"x{k}" for k in range(columns)), X.T, strict=True)))
    if not classes:
        return frame.with_columns(y=pl.Series(score))
    places = np.argsort(np.argsort(score)) * classes // rows
    return frame.with_columns(y=pl.Series([f"c{place:04d}" for place in places]))


def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its seconds added up; what is called inside of itself counts once."""

    @wraps(function)
    def run(*given: Any, **options: Any) -> Any:
        began, before = time.perf_counter(), SPENT.get(name, 0.0)
        try:
            return function(*given, **options)
        finally:
            SPENT[name] = before + time.perf_counter() - began

    return run


def watch() -> None:
    """Count training and evaluating, wherever they were imported."""
    from luthier.engine import range_test, train
    from luthier.engine.evaluating import measured

    for name, function in (("train", train), ("evaluate", measured), ("range", range_test)):
        again = counted(name, function)
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("luthier"):
                for attribute in [word for word, value in vars(module).items() if value is function]:
                    setattr(module, attribute, again)


def main(name: str = "classes", seconds: str = "60", looked: str = "") -> None:
    """Fit within the budget, and print the shares."""
    frame = table(*SHAPES[name])
    profile = cProfile.Profile()
    with tempfile.TemporaryDirectory() as place:
        luthier.fit(table(200, 12, 0), target="y", budget="10steps", run=Path(place) / "first", screen=SilentScreen())
        watch()
        SPENT.clear()
        began, busy = time.perf_counter(), time.process_time()
        if looked:
            profile.enable()
        luthier.fit(frame, target="y", budget=f"{seconds}s", run=Path(place) / "run", screen=SilentScreen())
        profile.disable()
        whole, busy = time.perf_counter() - began, time.process_time() - busy
    if looked:
        profile.dump_stats(f"knees-{name}.prof")
    trains = SPENT.get("train", 0.0) + SPENT.get("range", 0.0)
    print(f"{name}: {whole:.1f} s ({busy:.1f} of this process), {trains / whole:.0%} train, of which", end=" ")
    print(f"{SPENT.get('evaluate', 0.0) / max(trains, 1e-9):.0%} evaluates", {k: round(v, 1) for k, v in SPENT.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
