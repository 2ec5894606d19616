"""Steps of populations on a device, and of networks trained there one by one. M members."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.engine import Member, Settings, train
from luthier.engine.members.devices import wait
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows

ROWS = 12_800


@dataclass(frozen=True)
class Work:
    """Networks of one kind, their batches and their rule; classes with a sigmoid network, values with the other."""

    words: str
    spec: DenseSpec
    batch: int
    rule: str
    loss: str
    wanted: float  # networks' steps a second of 1,024

    def rows(self, count: int = ROWS) -> Rows:
        """Rows that are drawn: the time does not depend on them."""
        generator = torch.Generator().manual_seed(0)
        X = torch.rand(count, self.spec.inputs, generator=generator)
        classes = torch.randint(0, self.spec.outputs, (count,), generator=generator)
        return Rows(Inputs(numbers=X), classes if self.loss == "softmax" else X.sum(1))

    def module(self) -> nn.Module:
        """The network as anyone would write it."""
        activation = nn.Sigmoid if self.spec.activation == "sigmoid" else nn.ReLU
        sizes = (self.spec.inputs, *self.spec.hidden)
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], self.spec.outputs))


WORKS = (
    Work("784-30-10, batch 10, SGD", DenseSpec(784, (30,), 10, activation="sigmoid"), 10, "sgd", "softmax", 1_000_000),
    Work("3 x 256, batch 256, Adam", DenseSpec(20, (256, 256, 256), 1), 256, "adam", "mse", 60_000),
)


def population_steps(work: Work, count: int, device: torch.device, *, graphs: bool, seconds: float) -> float:
    """Steps of single networks a second in the training of so many: the median of a few stretches of one training."""
    warm = 150 if graphs else 6  # the first steps are run and recorded
    samples = 5 if count <= 1024 else 2
    marks, stretch = list[tuple[int, float]](), [1]

    def stop(done: int) -> bool:
        last = marks[-1][0] if marks else warm - stretch[0]
        if done - last < stretch[0]:
            return False
        wait(device)
        marks.append((done, time.perf_counter()))
        if len(marks) > 1:
            (a, begun), (b, ended) = marks[-2:]
            stretch[0] = max(1, round(seconds / samples * (b - a) / max(1e-9, ended - begun)))
        return len(marks) > samples + 2

    members = [Member(work.spec, seed=m, learning_rate=1e-3, momentum=0.0) for m in range(count)]
    settings = Settings(work.loss, work.rule, work.batch, 10_000_000, 1000, device=device, cuda_graphs=graphs)
    train(members, work.rows(), None, settings, stop=stop)
    rates = [(b - a) / (ended - begun) for (a, begun), (b, ended) in pairwise(marks[2:])]
    return count * statistics.median(rates)


def one_by_one_steps(work: Work, device: torch.device, *, networks: int, steps: int) -> float:
    """Steps a second of a plain loop over networks, each an nn.Module with an optimiser of torch.optim."""
    rows = work.rows(10 * work.batch)
    X, y = rows.numbers.to(device), rows.targets.to(device)
    kind = torch.optim.SGD if work.rule == "sgd" else torch.optim.Adam
    rates = []
    for _ in range(networks + 1):
        model = work.module().to(device)
        optimiser = kind(model.parameters(), lr=1e-3)
        batches = _batches(X, y, work.batch)
        for number in range(steps + 3):
            if number == 3:  # what a first step alone does is left out
                wait(device)
                began = time.perf_counter()
            x, target = next(batches)
            optimiser.zero_grad()
            outputs = model(x)
            value = F.cross_entropy(outputs, target) if work.loss == "softmax" else F.mse_loss(outputs[:, 0], target)
            value.backward()
            optimiser.step()
        wait(device)
        rates.append(steps / (time.perf_counter() - began))
    return statistics.median(rates[1:])


def _batches(X: Tensor, y: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from zip(X.split(size), y.split(size), strict=True)
