"""A ConvNet's step beside a hand-written channels-last loop, interleaved: `python -m benchmarks.convolutions [TURNS]`.

Both train the same network on the same batches of 128 pictures of 28 x 28 bytes, by Adam, on all cores.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F

from luthier.nets import ConvSpec, build
from luthier.population import Member, Part, Settings
from luthier.population.population import Population

ROWS, BATCH, STEPS = 4096, 128, 30
SPEC = ConvSpec((1, 28, 28), (16, 32, 64), 10)


def ours(X: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """So many steps by the engine."""
    settings = Settings(loss="softmax", rule="adam", batch_size=BATCH, steps=10_000, evaluate_every=10_000)
    population = Population([Member(SPEC, 0, 1e-3)], settings, len(X))
    batches = population.batches(Part(X, torch.zeros(len(X), 0, dtype=torch.int64), y))
    done = 0

    def steps() -> None:
        nonlocal done
        for _ in range(STEPS):
            population.step([batches.at(done)], done + 1, population.rates.at(done))
            done += 1

    return steps


def by_hand(X: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """So many steps as a careful person writes them: channels last, bytes scaled in the network."""
    net = build(SPEC, seed=0).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    order, place = torch.randperm(len(X)), 0

    def steps() -> None:
        nonlocal place, order
        for _ in range(STEPS):
            if place + BATCH > len(X):
                order, place = torch.randperm(len(X)), 0
            rows = order[place : place + BATCH]
            place += BATCH
            optimiser.zero_grad()
            F.cross_entropy(net(X[rows].contiguous(memory_format=torch.channels_last)), y[rows]).backward()
            optimiser.step()

    return steps


def main(turns: str = "9") -> None:
    """Medians and their ratio."""
    torch.set_num_threads(os.cpu_count() or 1)
    torch.set_flush_denormal(True)
    generator = torch.Generator().manual_seed(0)
    X = torch.randint(0, 256, (ROWS, 1, 28, 28), generator=generator, dtype=torch.uint8)
    y = torch.randint(0, 10, (ROWS,), generator=generator)
    sides = {"Luthier": ours(X, y), "by hand": by_hand(X, y)}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(int(turns) + 1):
        for name, steps in sides.items():
            began = time.perf_counter()
            steps()
            if turn:  # the first warms up
                taken[name].append((time.perf_counter() - began) / STEPS)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in medians.items():
        print(f"{name:<10} {value * 1e3:.2f} ms a step")
    print(f"by hand / Luthier: {medians['by hand'] / medians['Luthier']:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
