"""One sigmoid neuron with one input of 1 that is to say 0: when the quadratic cost learns slowly, and why."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from luthier.classic.network import sigmoid
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import Bench, Lab

STARTS = ((0.6, 0.9), (2.0, 2.0))
EPOCHS = 300


class Path(NamedTuple):
    """Weight, bias, output, cost and the size of the gradient by the weight, epoch by epoch [epochs + 1]."""

    w: np.ndarray
    b: np.ndarray
    a: np.ndarray
    cost: np.ndarray
    slope: np.ndarray


def learn(w: float, b: float, eta: float, *, cost: str, epochs: int = EPOCHS, x: float = 1.0, y: float = 0.0) -> Path:
    """The neuron's way: `cost` is "quadratic" or "cross-entropy"."""
    rows = []
    for _ in range(epochs + 1):
        a = float(sigmoid(w * x + b))
        value = (y - a) ** 2 / 2 if cost == "quadratic" else -(y * math.log(a) + (1 - y) * math.log(1 - a))
        error = (a - y) * a * (1 - a) if cost == "quadratic" else a - y
        rows.append((w, b, a, value, abs(error * x)))
        w, b = w - eta * error * x, b - eta * error
    return Path(*map(np.array, zip(*rows, strict=True)))


def run(bench: Bench) -> None:
    """Both starts, both costs."""
    quick, slow = (learn(w, b, 0.15, cost="quadratic") for w, b in STARTS)
    bench.number("output at the start from w = 0.6, b = 0.9", 0.82, quick.a[0], 0.005)
    bench.number("after 300 epochs", 0.09, quick.a[-1], 0.005)
    bench.number("its weight", -1.283, quick.w[-1], 5e-4)
    bench.number("its bias", -0.983, quick.b[-1], 5e-4)
    bench.number("output at the start from w = b = 2", 0.98, slow.a[0], 0.005)
    for epoch, value in ((50, 0.976), (100, 0.964), (150, 0.933), (200, 0.789), (300, 0.203)):
        bench.number(f"output after {epoch} epochs", value, slow.a[epoch], 5e-4)
    bench.number("epoch of the steepest gradient", 215, int(slow.slope.argmax()), 1)
    bench.number("epoch at which the output falls fastest", 221, int(np.argmin(np.diff(slow.a))), 1)
    bench.number("gradient at the start from 0.6, 0.9", 0.1219, quick.slope[0], 5e-5)
    bench.number("gradient at the start from 2, 2", 0.0173, slow.slope[0], 5e-5)
    better = [learn(w, b, 0.005, cost="cross-entropy") for w, b in STARTS]
    for path, value, start in zip(better, (0.8176, 0.9820), STARTS, strict=True):
        bench.number(f"cross-entropy's gradient at the start from {start}", value, path.slope[0], 5e-5)
        falls = np.diff(path.cost)
        bench.holds(
            f"its cost falls fastest at once from {start}",
            int(np.argmin(falls)) == 0,
            f"fastest in epoch {int(np.argmin(falls))}",
        )
    why = "the page's program left sigma' in its gradient; with the formula's gradient 300 epochs end elsewhere"
    for path, value, right in zip(better, (0.040, 0.048), (0.418, 0.780), strict=True):
        bench.number(
            "output after 300 epochs at the printed rate 0.005", value, path.a[-1], 5e-4, why=why, refuted=True
        )
        bench.number("the same, by the formula", right, path.a[-1], 5e-4)
    same = [learn(w, b, 0.15, cost="cross-entropy").a[-1] for w, b in STARTS]
    bench.number("output at the quadratic cost's rate, from 0.6, 0.9", 0.0116, same[0], 5e-5)
    bench.number("output at the quadratic cost's rate, from 2, 2", 0.0120, same[1], 5e-5)
    early = [path.slope[:10].mean() / path.slope.max() for path in (slow, better[1])]
    bench.holds(
        "from 2, 2 the quadratic cost accelerates, cross-entropy slows down, each by its own measure",
        early[0] < 0.2 < 0.9 < early[1],
        f"early slope over the largest: quadratic {early[0]:.2f}, cross-entropy {early[1]:.2f}",
    )
    figure = empty_figure("epoch", "cost over its first value")
    for path, name, colour in ((quick, "quadratic, 0.6 and 0.9", BLUE), (slow, "quadratic, 2 and 2", ORANGE)):
        figure.add_scatter(x=list(range(EPOCHS + 1)), y=path.cost / path.cost[0], name=name, line={"color": colour})
    for path, colour in zip(better, (BLUE, ORANGE), strict=True):
        line = {"color": colour, "dash": "dot"}
        figure.add_scatter(x=list(range(EPOCHS + 1)), y=path.cost / path.cost[0], name="cross-entropy", line=line)
    bench.draw("Only with the quadratic cost does a badly wrong neuron learn slowly", figure)


LABS = (
    Lab(
        "neuron",
        "One neuron",
        "A badly wrong neuron learns slowly with the quadratic cost, and fast with cross-entropy",
        ("S1-39", "S1-40", "S1-41", "S1-43", "S1-45", "S1-46"),
        run,
    ),
)
