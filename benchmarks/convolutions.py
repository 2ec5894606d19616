"""A ConvNet's step beside a hand-written channels-last loop and Lightning: `python -m benchmarks.convolutions [TURNS]`.

All train the same network on batches of 128 pictures of 28 x 28 bytes, by Adam, on all cores, in turns.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from luthier.engine import Member, Settings
from luthier.engine.feed import batches_for
from luthier.engine.populations.population import Population
from luthier.nets import ConvSpec
from luthier.rows import Inputs, Rows

ROWS, BATCH, STEPS = 4096, 128, 60
SPEC = ConvSpec((1, 28, 28), (16, 32, 64), 10)


def ours(X: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """So many steps by the engine."""
    settings = Settings(loss="softmax", rule="adam", batch_size=BATCH, steps=10_000, evaluate_every=10_000)
    population = Population.of([Member(SPEC, 0, 1e-3)], settings, len(X))
    batches = batches_for(population, Rows(Inputs(numbers=X), y))
    done = 0

    def steps() -> None:
        nonlocal done
        for _ in range(STEPS):
            population.step([batches.at(done)], done + 1, population.rates.at(done))
            done += 1

    return steps


def plain() -> nn.Module:
    """The same network as it is usually written."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in zip((1, *SPEC.channels), SPEC.channels, strict=False):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(SPEC.channels[-1] * 9, 10))


def lightning(X: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """So many steps by Lightning, with logging, bars and checkpoints off, from a DataLoader."""
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Task(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain()

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], place: int) -> torch.Tensor:
            return F.cross_entropy(self.net(batch[0].float() / 255), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    loader = DataLoader(TensorDataset(X, y), batch_size=BATCH, shuffle=True)
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}

    def steps() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            L.Trainer(max_steps=STEPS, accelerator="cpu", **off).fit(Task(), loader)

    return steps


def by_hand(X: torch.Tensor, y: torch.Tensor) -> Callable[[], None]:
    """So many steps as a careful person writes them: channels last, layers in the usual order."""
    net = plain().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
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
            pictures = X[rows].to(memory_format=torch.channels_last).float() / 255
            F.cross_entropy(net(pictures), y[rows]).backward()
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
    if importlib.util.find_spec("lightning"):
        sides["Lightning"] = lightning(X, y)
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
    for name in list(sides)[1:]:
        print(f"{name} / Luthier: {medians[name] / medians['Luthier']:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
