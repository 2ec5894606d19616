"""Blocks of members in threads: how much faster two threads step than one, to the same bits.

    python -m benchmarks.threads [turns]

One and two threads take turns; the best of each counts, since a machine that others use only ever adds to a time.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

from luthier.engine import Member, ModuleSpec, Settings, train
from luthier.engine.populations.layouts import choose
from luthier.machine import torch_settings
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

STEPS, SHORT = 40, 10
WORKS = {
    "dense 784-128-128-10, batch 64, 16 stacked": (784, (128, 128), 10, 64, 16),
    "dense 100-256-256-1, batch 256, 10 stacked": (100, (256, 256), 1, 256, 10),
    "dense 50-64-64-2, batch 128, 32 stacked": (50, (64, 64), 2, 128, 32),
}


def main(turns: int = 5) -> None:
    """Print seconds of a step and the ratio, by work."""
    for name, (inputs, hidden, outputs, batch, members) in WORKS.items():
        spec = DenseSpec(inputs=inputs, hidden=hidden, outputs=outputs)
        everyone = [Member(spec, seed=k, learning_rate=1e-3) for k in range(members)]
        X = torch.randn(8 * batch, inputs, generator=torch_generator(0, "threads"))
        targets = (X[:, 0] > 0).long() if outputs > 1 else X[:, 0]
        part = Rows(Inputs(numbers=X), targets)
        shown(name, everyone, part, Settings("softmax" if outputs > 1 else "mse", "adam", batch, 1, 1), turns)
    net = lambda: nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))  # noqa: E731
    X = torch.randn(512, 1, 28, 28, generator=torch_generator(0, "threads"))
    part = Rows(Inputs(numbers=X), torch.arange(512) % 10)
    settings = Settings("softmax", "adam", 64, 1, 1)
    spec, _ = choose(ModuleSpec(net), 4, part, settings, "looped")
    shown("convolutions 28 x 28, batch 64, 4 looped", [Member(spec, k, 1e-3) for k in range(4)], part, settings, turns)


def shown(name: str, members: list[Member], part: Rows, settings: Settings, turns: int) -> None:
    """Time a work in turns with one thread and with two."""
    best, least, bits = {1: float("inf"), 2: float("inf")}, {1: float("inf"), 2: float("inf")}, {}
    for _ in range(turns):
        for threads in best:
            taken = []
            for steps in (SHORT, SHORT + STEPS):
                asked = Settings(
                    settings.loss, settings.rule, settings.batch_size, steps, steps, blocks=2, threads=threads
                )
                began, busy = time.perf_counter(), time.process_time()
                with torch_settings(threads=1):  # of each product
                    outcome = train(members, part, None, asked)
                taken.append((time.perf_counter() - began, time.process_time() - busy))
            seconds, busy = ((taken[1][k] - taken[0][k]) / STEPS for k in range(2))
            best[threads], least[threads] = min(best[threads], seconds), min(least[threads], busy)
            bits[threads] = outcome.parameters
    same = "same bits" if torch.equal(bits[1], bits[2]) else "OTHER BITS"
    taken = f"{1e3 * best[1]:.2f} ms, {1e3 * best[2]:.2f} ms, {best[1] / best[2]:.2f} times as fast"
    print(f"{name}: {taken}; the processor {1e3 * least[1]:.2f} and {1e3 * least[2]:.2f} ms; {same}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
