"""One sigmoid neuron with one input of 1 that is to say 0: when the quadratic cost learns slowly, and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from luthier.classic.network2 import Cost, CrossEntropyCost, Network, QuadraticCost
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import DOCUMENT, ORIGINAL, Bench, Lab
from luthier.messages import Message

STARTS = ((0.6, 0.9), (2.0, 2.0))
EPOCHS = 300
RATE, SMALL_RATE = 0.15, 0.005  # printed for the quadratic cost, and for cross-entropy


class Path(NamedTuple):
    """Weight, bias, output, cost and the size of the gradient by the weight, epoch by epoch [epochs + 1]."""

    w: np.ndarray
    b: np.ndarray
    a: np.ndarray
    cost: np.ndarray
    slope: np.ndarray


class WithoutSlope(CrossEntropyCost):
    """Cross-entropy as the page's program has it: the derivative by a in place of that by z, so sigma' is left out."""

    @staticmethod
    def delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((a - y) / (a * (1 - a)))


COSTS: dict[str, type[Cost]] = {"quadratic": QuadraticCost, "cross-entropy": CrossEntropyCost, "wrong": WithoutSlope}


def learn(w: float, b: float, eta: float, *, cost: str, epochs: int = EPOCHS) -> Path:
    """The way of a network of one neuron by one of `COSTS`."""
    net, x, y = Network([1, 1], COSTS[cost]), np.ones((1, 1)), np.zeros((1, 1))
    net.weights, net.biases = [np.array([[w]])], [np.array([[b]])]
    rows = []
    for _ in range(epochs + 1):
        a, slope = net.feedforward(x), net.backprop(x, y)[1][0]
        numbers = (net.weights[0], net.biases[0], a, np.array(net.cost.fn(a, y)), np.abs(slope))
        rows.append([value.item() for value in numbers])
        net.update_mini_batch([(x, y)], eta)
    return Path(*map(np.array, zip(*rows, strict=True)))


def run(bench: Bench) -> None:
    """Both starts, both costs, at one rate."""
    quick, slow = (learn(w, b, RATE, cost="quadratic") for w, b in STARTS)
    better = [learn(w, b, RATE, cost="cross-entropy") for w, b in STARTS]
    _quadratic(bench, quick, slow)
    _cross_entropy(bench, better)
    early = [path.slope[:10].mean() / path.slope.max() for path in (slow, better[1])]
    bench.holds(
        "from 2, 2 the quadratic cost accelerates, cross-entropy slows down, each by its own measure",
        early[0] < 0.2 < 0.9 < early[1],
        Message(
            "early slope over the largest: quadratic {early:.2f}, cross-entropy {early_2:.2f}",
            early=early[0],
            early_2=early[1],
        ),
    )
    figure = empty_figure("epoch", "cost over its first value")
    for paths, cost, dash in (((quick, slow), "quadratic", "solid"), (better, "cross-entropy", "dot")):
        for path, (w, b), colour in zip(paths, STARTS, (BLUE, ORANGE), strict=True):
            line = {"color": colour, "dash": dash}
            name = f"{cost}, from {w:g} and {b:g}"
            figure.add_scatter(x=list(range(EPOCHS + 1)), y=path.cost / path.cost[0], name=name, line=line)
    bench.draw(
        Message("At a rate of {RATE}, only with the quadratic cost does a badly wrong neuron learn slowly", RATE=RATE),
        figure,
    )


def _quadratic(bench: Bench, quick: Path, slow: Path) -> None:
    bench.number("output at the start from w = 0.6, b = 0.9", 0.82, quick.a[0], 0.005, of=DOCUMENT)
    bench.number("after 300 epochs", 0.09, quick.a[-1], 0.005, of=DOCUMENT)
    bench.number("its weight", -1.283, quick.w[-1], 5e-4)
    bench.number("its bias", -0.983, quick.b[-1], 5e-4)
    bench.number("output at the start from w = b = 2", 0.98, slow.a[0], 0.005, of=DOCUMENT)
    for epoch, value in ((50, 0.976), (100, 0.964), (150, 0.933), (200, 0.789), (300, 0.203)):
        bench.number(Message("output after {epoch} epochs", epoch=epoch), value, slow.a[epoch], 5e-4)
    bench.number("epoch of the steepest gradient", 215, int(slow.slope.argmax()), 1)
    bench.number("epoch at which the output falls fastest", 221, int(np.argmin(np.diff(slow.a))), 1)
    for path, value, start in zip((quick, slow), (0.1219, 0.0173), STARTS, strict=True):
        bench.number(Message("gradient at the start from {start}", start=start), value, path.slope[0], 5e-5)


def _cross_entropy(bench: Bench, better: list[Path]) -> None:
    for path, value, end, start in zip(better, (0.8176, 0.9820), (0.0116, 0.0120), STARTS, strict=True):
        bench.number(
            Message("cross-entropy's gradient at the start from {start}", start=start), value, path.slope[0], 5e-5
        )
        bench.number(
            Message("output after 300 epochs at the quadratic cost's rate, from {start}", start=start),
            end,
            path.a[-1],
            5e-5,
        )
        falls = np.diff(path.cost)
        bench.holds(
            Message("its cost falls fastest at once from {start}", start=start),
            int(np.argmin(falls)) == 0,
            Message("fastest in epoch {np}", np=int(np.argmin(falls))),
        )
    for start, printed, right in zip(STARTS, (0.040, 0.048), (0.418, 0.780), strict=True):
        wrong, mended = (learn(*start, SMALL_RATE, cost=cost).a[-1] for cost in ("wrong", "cross-entropy"))
        bench.number(
            Message("output after 300 epochs at the printed rate 0.005, sigma' left out, from {start}", start=start),
            printed,
            wrong,
            5e-4,
            of=ORIGINAL,
        )
        bench.number(Message("with the formula's gradient, from {start}", start=start), right, mended, 5e-4)
    bench.note(
        "the page's program takes the derivative by the output, dC/da, for that by the weighted input: it leaves "
        "sigma' out, and its rate of 0.005 goes with that mistake. At 0.15 both costs are compared at one rate"
    )


LABS = (
    Lab(
        "neuron",
        "One neuron",
        "A badly wrong neuron learns slowly with the quadratic cost, and fast with cross-entropy",
        ("S1-39", "S1-40", "S1-41", "S1-43", "S1-45", "S1-46", "S1-49"),
        run,
    ),
)
