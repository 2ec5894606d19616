"""Speed of training: this engine beside a hand-written PyTorch loop, a DataLoader, scikit-learn and NumPy.

`python -m benchmarks.engine [--quick]` prints a Markdown table and writes `benchmarks/results/engine.json`.
All contenders of a work run in the same process in turns, each turn a few hundred steps; the figure is the
median over turns. One thread. Pictures are MNIST's where `LUTHIER_DATA` names a folder with it, noise of
the same shape otherwise: the time does not depend on them.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.nets import DenseSpec
from luthier.population import Member, Part, Settings, train

STACKED = 32


@dataclass(frozen=True)
class Work:
    """A network, its batches and its rule."""

    name: str
    words: str
    spec: DenseSpec
    batch: int
    rule: str
    single: float  # ratio to reach against the hand-written loop
    stacked: float


WORKS = (
    Work("a", "784-30-10 sigmoid, batch 10, SGD", DenseSpec(784, (30,), 10, activation="sigmoid"), 10, "sgd", 5.0, 9.0),
    Work("b", "784-128-128-10 ReLU, batch 64, Adam", DenseSpec(784, (128, 128), 10), 64, "adam", 2.6, 4.0),
    Work("d", "50-128-128-2 ReLU, batch 256, Adam", DenseSpec(50, (128, 128), 2), 256, "adam", 3.0, 5.0),
)


def data(work: Work, rows: int = 12_800) -> tuple[Tensor, Tensor]:
    """Features [N, F] and classes [N]."""
    folder = Path(os.environ.get("LUTHIER_DATA", "")) / "mnist"
    found = sorted(folder.glob("train-images*")) if work.spec.inputs == 784 else []
    generator = torch.Generator().manual_seed(0)
    if found:
        raw = found[0].read_bytes()
        raw = gzip.decompress(raw) if found[0].suffix == ".gz" else raw
        X = torch.from_numpy(np.frombuffer(raw, np.uint8, rows * 784, 16).copy()).view(rows, 784).float() / 255
    else:
        X = torch.rand(rows, work.spec.inputs, generator=generator)
    return X, torch.randint(0, work.spec.outputs, (rows,), generator=generator)


def ours(work: Work, members: int) -> Callable[[int], float]:
    """Seconds a step and member: the public `train`, with its history and best weights."""
    X, y = data(work)
    part = Part(X, torch.zeros(len(X), 0, dtype=torch.int64), y)
    stack = [
        Member(work.spec, seed=k, learning_rate=1e-3, momentum=0.0 if work.rule == "sgd" else 0.9)
        for k in range(members)
    ]
    check = Part(X[:500], part.codes[:500], y[:500])

    def run(steps: int) -> float:
        settings = Settings("softmax", work.rule, work.batch, steps, steps // 2)
        began = time.perf_counter()
        train(stack, part, check, settings)
        return (time.perf_counter() - began) / steps / members

    return run


def _module(work: Work) -> tuple[nn.Module, torch.optim.Optimizer]:
    activation = nn.Sigmoid if work.spec.activation == "sigmoid" else nn.ReLU
    sizes = (work.spec.inputs, *work.spec.hidden)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
    module = nn.Sequential(*layers, nn.Linear(sizes[-1], work.spec.outputs))
    if work.rule == "adam":
        return module, torch.optim.Adam(module.parameters(), 1e-3)
    return module, torch.optim.SGD(module.parameters(), 1e-3)


def hand_written(work: Work) -> Callable[[int], float]:
    """The loop that everyone writes, over tensors in memory, shuffled once an epoch."""
    (X, y), (module, optimiser) = data(work), _module(work)

    def run(steps: int) -> float:
        began, done = time.perf_counter(), 0
        while done < steps:
            for rows in torch.randperm(len(X)).split(work.batch):
                optimiser.zero_grad()
                F.cross_entropy(module(X[rows]), y[rows]).backward()
                optimiser.step()
                done += 1
                if done == steps:
                    break
        return (time.perf_counter() - began) / steps

    return run


def with_loader(work: Work) -> Callable[[int], float]:
    """The same with PyTorch's DataLoader."""
    (X, y), (module, optimiser) = data(work), _module(work)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, y), work.batch, shuffle=True)

    def run(steps: int) -> float:
        began, done = time.perf_counter(), 0
        while done < steps:
            for x, target in loader:
                optimiser.zero_grad()
                F.cross_entropy(module(x), target).backward()
                optimiser.step()
                done += 1
                if done == steps:
                    break
        return (time.perf_counter() - began) / steps

    return run


def scikit_learn(work: Work) -> Callable[[int], float]:
    """scikit-learn's MLPClassifier, one epoch a call."""
    from sklearn.neural_network import MLPClassifier

    X, y = (tensor.numpy() for tensor in data(work))
    activation = "logistic" if work.spec.activation == "sigmoid" else "relu"

    def run(steps: int) -> float:
        rows = min(len(X), steps * work.batch)
        model = MLPClassifier(
            work.spec.hidden, activation=activation, solver=work.rule, batch_size=work.batch, max_iter=1, alpha=0.0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.perf_counter()
            model.fit(X[:rows], y[:rows])
        return (time.perf_counter() - began) / -(-rows // work.batch)

    return run


def numpy_loop(work: Work) -> Callable[[int], float]:
    """Nielsen's four equations in matrix form, in NumPy (works with one hidden layer and SGD)."""
    X, y = (tensor.numpy() for tensor in data(work))
    rng, hidden = np.random.default_rng(0), work.spec.hidden[0]
    W1 = rng.normal(size=(work.spec.inputs, hidden)).astype(np.float32) * 0.03
    W2 = rng.normal(size=(hidden, work.spec.outputs)).astype(np.float32) * 0.1
    b1, b2 = np.zeros(hidden, np.float32), np.zeros(work.spec.outputs, np.float32)

    def run(steps: int) -> float:
        began, order = time.perf_counter(), rng.permutation(len(X))
        for step in range(steps):
            start = step * work.batch % (len(X) - work.batch)
            rows = order[start : start + work.batch]
            x = X[rows]
            a1 = 1 / (1 + np.exp(-(x @ W1 + b1)))
            z2 = a1 @ W2 + b2
            e = np.exp(z2 - z2.max(1, keepdims=True))
            d2 = e / e.sum(1, keepdims=True)
            d2[np.arange(len(rows)), y[rows]] -= 1
            d2 /= len(rows)
            d1 = d2 @ W2.T * a1 * (1 - a1)
            W2[:] -= 1e-3 * (a1.T @ d2)
            b2[:] -= 1e-3 * d2.sum(0)
            W1[:] -= 1e-3 * (x.T @ d1)
            b1[:] -= 1e-3 * d1.sum(0)
        return (time.perf_counter() - began) / steps

    return run


def products(work: Work) -> Callable[[int], float]:
    """The bare matrix products of a stacked step: the floor."""
    sizes, M, B = (work.spec.inputs, *work.spec.hidden, work.spec.outputs), STACKED, work.batch
    layers = list(pairwise(sizes))
    W = [torch.randn(M, b, a) for a, b in layers]
    A, dZ = [torch.randn(M, B, a) for a, _ in layers], [torch.randn(M, B, b) for _, b in layers]

    def run(steps: int) -> float:
        count = max(20, steps // M)
        began = time.perf_counter()
        for _ in range(count):
            for i in range(len(layers)):
                torch.bmm(A[i], W[i].mT)
                torch.bmm(dZ[i].mT, A[i])
                if i:
                    torch.bmm(dZ[i], W[i])
        return (time.perf_counter() - began) / count / M

    return run


def measure(work: Work, turns: int, steps: int) -> list[dict[str, object]]:
    """Interleaved turns of everyone; a row for each comparison."""
    contenders = {
        "one network": ours(work, 1),
        "stacked": ours(work, STACKED),
        "hand-written PyTorch loop": hand_written(work),
        "PyTorch with DataLoader": with_loader(work),
        "scikit-learn MLPClassifier": scikit_learn(work),
        "bare matrix products": products(work),
    }
    if work.name == "a":
        contenders["NumPy loop"] = numpy_loop(work)
    for run in contenders.values():
        run(max(50, steps // 10))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, run in contenders.items():
            times[name].append(run(steps))
    median = {name: statistics.median(values) * 1e6 for name, values in times.items()}
    targets = {
        ("one network", "hand-written PyTorch loop"): work.single,
        ("stacked", "hand-written PyTorch loop"): work.stacked,
        ("one network", "scikit-learn MLPClassifier"): {"a": 5.0, "b": 3.0}.get(work.name),
        ("stacked", "NumPy loop"): 2.0,
        ("stacked", "bare matrix products"): 0.4,
    }
    rows: list[dict[str, object]] = []
    for mine in ("one network", "stacked"):
        for peer in list(contenders)[2:]:
            if mine == "one network" and peer == "bare matrix products":
                continue
            rows.append(
                {
                    "figure": f"{mine}, us a step" + (" and network" if mine == "stacked" else ""),
                    "work": work.words,
                    "peer": peer,
                    "ours": round(median[mine], 1),
                    "theirs": round(median[peer], 1),
                    "ratio": round(median[peer] / median[mine], 2),
                    "target": targets.get((mine, peer)),
                }
            )
    return rows


def main(*, quick: bool = False) -> None:
    """Print the table and write the results."""
    torch.set_num_threads(1)
    turns, steps = (3, 500) if quick else (7, 1500)
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, median of {turns} turns of {steps} steps\n")
    print("| work | ours | us | peer | us | ratio | target |\n|---|---|---|---|---|---|---|")
    rows = []
    for work in WORKS:
        for row in measure(work, turns, steps):
            rows.append(row)
            mine = str(row["figure"]).split(",")[0]
            print(
                f"| {row['work']} | {mine} | {row['ours']} | {row['peer']} | {row['theirs']} | {row['ratio']} "
                f"| {row['target'] or ''} |",
                flush=True,
            )
    path = Path(__file__).parent / "results" / "engine.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
