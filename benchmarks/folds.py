"""Five folds as members of one stack beside five trainings, one after another: `python -m benchmarks.folds [turns]`.

128-128 units, batches of 128 of 20 numbers, Adam. On one core the stack steps in one thread, on two its blocks in two.
Trainings one after another have one thread: two for products of this size are slower. All take turns, and the median of
each counts.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

import torch

from luthier.engine import Member, Settings, train
from luthier.machine import torch_settings
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

FOLDS, ROWS, COLUMNS, BATCH, STEPS, SHORT = 5, 10_000, 20, 128, 400, 40
SPEC = DenseSpec(inputs=COLUMNS, hidden=(128, 128), outputs=1)
FOLD_OF = torch.arange(ROWS) % FOLDS


def rows() -> Rows:
    """Numbers, and a value of them."""
    X = torch.randn(ROWS, COLUMNS, generator=torch_generator(0, "folds"))
    return Rows(Inputs(numbers=X), X[:, 0] * X[:, 1] + X[:, 2])


def stacked(part: Rows, settings: Settings) -> None:
    """All folds at once."""
    train([Member(SPEC, seed=0, learning_rate=1e-3, fold=k) for k in range(FOLDS)], part, None, settings, folds=FOLD_OF)


def in_turn(part: Rows, settings: Settings) -> None:
    """One fold after another."""
    for k in range(FOLDS):
        inside = k == FOLD_OF
        train([Member(SPEC, seed=0, learning_rate=1e-3)], part.rows(~inside), part.rows(inside), settings)


def a_step(part: Rows, threads: int) -> float:
    """Seconds of a step of all five, one after another where `threads` is 0: of long trainings less short ones."""
    taken = []
    for steps in (SHORT, SHORT + STEPS):
        settings = Settings("mse", "adam", BATCH, steps, steps)
        began = time.perf_counter()
        with torch_settings(threads=1):
            if threads:
                stacked(part, replace(settings, blocks=threads, threads=threads))
            else:
                in_turn(part, settings)
        taken.append(time.perf_counter() - began)
    return (taken[1] - taken[0]) / STEPS


def main(turns: str = "9") -> None:
    """Print the milliseconds of a step of five folds, and the ratios on one core and on two."""
    part, taken = rows(), {threads: list[float]() for threads in (0, 1, 2)}
    for _ in range(int(turns)):
        for threads, values in taken.items():
            values.append(1e3 * a_step(part, threads))
    alone, one, two = (statistics.median(values) for values in taken.values())
    print(f"a step of five folds: one after another {alone:.2f} ms, in a stack {one:.2f}, in two threads {two:.2f}")
    print(f"{alone / one:.2f} times as fast on one core, {alone / two:.2f} on two")


if __name__ == "__main__":
    main(*sys.argv[1:])
