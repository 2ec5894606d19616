"""Costs: what cross-entropy measures, where its form comes from, and what no cost can change."""

from __future__ import annotations

import math

import numpy as np

from luthier.classic import d2l, nd
from luthier.classic.network import sigmoid, sigmoid_prime
from luthier.classic.network2 import COSTS, CrossEntropyCost, Network
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message


def cross_entropy(y: float, a: np.ndarray | float) -> np.ndarray:
    """The cost of each output [N] for a target, as network2 has it."""
    return np.array([CrossEntropyCost.fn(one, np.array(y)) for one in np.atleast_1d(a)])


def binary_entropy(y: float) -> float:
    """-[y ln y + (1 - y) ln(1 - y)]."""
    return -(y * math.log(y) + (1 - y) * math.log(1 - y))


def surprise(p: float, *, base: float = math.e) -> float:
    """-log p, the cost of an output that ought to be 1: in nats, or with base 2 in bits."""
    return CrossEntropyCost.fn(np.array(p), np.array(1.0)) / math.log(base)


def form(bench: Bench) -> None:
    """Signs, the roles of y and a, minima, and the derivation."""
    a = np.linspace(0.001, 0.999, 999)
    bench.holds(
        "the cost is never negative",
        bool(min(cross_entropy(y, a).min() for y in (0, 1)) >= 0),
        Message("smallest {value:.2g}", value=min(float(cross_entropy(y, a).min()) for y in (0, 1))),
    )
    bench.number("with y = 0 it is -ln(1 - a): at a = 0.25", -math.log(0.75), float(cross_entropy(0, 0.25)[0]), 1e-12)
    with np.errstate(all="ignore"):
        swapped = [-(0.3 * np.log(np.float64(y)) + 0.7 * np.log(np.float64(1 - y))) for y in (0.0, 1.0)]
    bench.holds(
        "with the roles of y and a swapped it is not finite at y = 0 and 1",
        not np.isfinite(swapped).any(),
        f"{swapped[0]}, {swapped[1]}",
    )
    grid = np.linspace(0.001, 0.999, 9_981)
    place = grid[int(cross_entropy(0.3, grid).argmin())]
    bench.number("for y = 0.3 the minimum lies at a", 0.3, float(place), 1e-4)
    bench.number("its value is the entropy of y", 0.6109, float(cross_entropy(0.3, grid).min()), 5e-5)
    bench.number("which is, by its formula", binary_entropy(0.3), float(cross_entropy(0.3, grid).min()), 1e-7)
    # dC/da = (a - y) / (a (1 - a)), which is what asking for x_j (a - y) demands, integrated from 1/2
    y, fine = 0.3, np.linspace(0.5, 0.95, 20_001)
    slope = (fine - y) / (fine * (1 - fine))
    integral = np.concatenate([[0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(fine))])
    gap = integral - (cross_entropy(y, fine) - float(cross_entropy(y, 0.5)[0]))
    bench.number(
        "the integral of the required slope is cross-entropy, up to a constant",
        0.0,
        float(np.abs(gap).max()),
        1e-7,  # of the trapezoids: their steps squared
    )
    figure = empty_figure("a", "cost")
    figure.add_scatter(x=a, y=cross_entropy(0.3, a), name="y = 0.3", line={"color": BLUE})
    figure.add_scatter(x=a, y=cross_entropy(1.0, a), name="y = 1", line={"color": ORANGE})
    bench.draw("Cross-entropy is smallest at a = y", figure)


def information(bench: Bench) -> None:
    """Surprise, likelihood, and divergence."""
    bench.number("surprise at a right answer of 0.99, in nats", 0.01005, surprise(0.99), 5e-6)
    bench.number("surprise at a right answer of 0.01, in nats", 4.60517, surprise(0.01), 5e-6)
    bench.number("surprise at 1/2, in bits", 1.0, surprise(0.5, base=2), 1e-12)
    bench.number("-ln 1/2", 0.693, surprise(0.5), 5e-4)
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.95, 12)
    bench.number(
        "e to minus the summed cross-entropy is the joint likelihood",
        float(p.prod()),
        math.exp(-sum(map(surprise, p))),
        1e-15,
    )
    one, two = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5))
    H, entropy = (float(one @ [surprise(p) for p in whose]) for whose in (two, one))
    kl = float((one * np.log(one / two)).sum())
    bench.number("H(p, q) - H(p) is the divergence of q from p", kl, H - entropy, 1e-12)
    back = float((two * np.log(two / one)).sum())
    bench.holds(
        "the divergence is not a distance: it differs in the other direction",
        abs(kl - back) > 1e-3,
        Message("{kl:.4f} and {back:.4f}", kl=kl, back=back),
    )
    hot = np.eye(5)[2]
    bench.number(
        "for a one-hot label the cross-entropy is the divergence",
        float(np.log(1 / two[2])),
        float(hot @ [surprise(p) for p in two]),
        1e-12,
    )


def classes(bench: Bench) -> None:
    """Scores as probabilities, the predicted class, and why squared error is the wrong measure."""
    nd.random.seed(0)
    Z = nd.random.normal(scale=4.0, shape=(5000, 7))
    P = d2l.softmax(Z)
    same = int((Z.asnumpy().argmax(1) == P.asnumpy().argmax(1)).sum())
    bench.number("softmax keeps the predicted class, rows of 5000", 5000, same, 0)
    sums, lowest = P.sum(axis=1).asnumpy(), float(P.asnumpy().min())
    bench.number("rows add up to 1: largest gap", 0.0, float(np.abs(sums - 1).max()), 1e-6)
    bench.holds("and no probability is negative", lowest >= 0, Message("smallest {lowest:.1g}", lowest=lowest))
    ten = d2l.softmax(nd.array([[10.0, 9.0, 0.0], [10.0, -5.0, -5.0]])).asnumpy()[:, 0]
    bench.holds(
        "an output of 10 has no meaning by itself: its probability depends on the other outputs",
        abs(ten[0] - ten[1]) > 0.2,
        Message("probability {ten:.3f} beside 9, {ten_2:.5f} beside -5", ten=ten[0], ten_2=ten[1]),
    )
    pair, label = nd.array([[0.1, 0.3, 0.6], [0.2, 0.2, 0.6]]), nd.array([2, 2])
    squares = ((pair.asnumpy() - [0, 0, 1]) ** 2).sum(1)
    logs = d2l.cross_entropy(pair, label).asnumpy()
    bench.holds(
        "squared error depends on the probabilities of the wrong classes, cross-entropy does not",
        squares[0] > squares[1] and logs[0] == logs[1],
        Message(
            "squares {squares:.2f} and {squares_2:.2f}, cross-entropy {logs:.4f} twice",
            squares=squares[0],
            squares_2=squares[1],
            logs=logs[0],
        ),
    )
    y = np.random.default_rng(0).integers(0, 7, 5000)
    picked = d2l.cross_entropy(P, nd.array(y)).asnumpy()
    whole = -(np.eye(7)[y] * np.log(np.maximum(P.asnumpy(), 1e-300))).sum(1)
    bench.number("picking by the label is the sum with one-hot rows", 0.0, float(np.abs(picked - whole).max()), 1e-5)
    with np.errstate(all="ignore"):
        e = np.exp(np.array([1000.0, 0.0]))
        plain = e / e.sum()
    stable = d2l.softmax(nd.array([[1000.0, 0.0]])).asnumpy()[0]
    bench.holds(
        "as printed it is NaN at 1000; with the largest score subtracted first it is finite",
        bool(np.isnan(plain[0])) and stable.tolist() == [1, 0],
        Message("{plain} and {stable:.1f}", plain=plain[0], stable=stable[0]),
    )
    value = d2l.binary_cross_entropy(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.5]))
    bench.number("binary cross-entropy at probabilities of 0 and 1, clipped", math.log(2) / 3, value, 1e-9)


class CubicCost:
    """|a - y|^3."""

    @staticmethod
    def fn(a: np.ndarray, y: np.ndarray) -> float:
        return float((np.abs(a - y) ** 3).sum())

    @staticmethod
    def delta(z: np.ndarray, a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray(3 * (a - y) * np.abs(a - y) * sigmoid_prime(z))


def inputs(bench: Bench) -> None:
    """The factor x_j stays, whatever the cost."""
    x, y = np.array([[0.0], [1.5]]), np.zeros((1, 1))
    result = np.array([Network([2, 1], cost).backprop(x, y)[1][0][0] for cost in (*COSTS.values(), CubicCost)])
    bench.number(
        "where x_j is 0 no cost changes w_j: the largest slope of three costs",
        0.0,
        float(np.abs(result[:, 0]).max()),
        0.0,
    )
    bench.holds(
        "the other weight has a slope under all of them",
        bool((np.abs(result[:, 1]) > 1e-3).all()),
        Message("slopes {result}", result=result[:, 1].round(4).tolist()),
    )
    z, h = np.linspace(-6, 6, 25), 1e-6
    slope = (sigmoid(z + h) - sigmoid(z - h)) / (2 * h)
    bench.number(
        "sigma' is sigma (1 - sigma): differences against the formula", 0.0, _largest(slope - sigmoid_prime(z)), 1e-9
    )
    bench.number("and against the product", 0.0, _largest(sigmoid_prime(z) - sigmoid(z) * (1 - sigmoid(z))), 1e-15)


def _largest(gaps: np.ndarray) -> float:
    return float(np.abs(gaps).max())


LABS = (
    Lab(
        "cross-entropy",
        "Cross-entropy's form",
        "Cross-entropy follows from the slope x (a - y), and is smallest at a = y",
        ("S1-42", "S1-50", "S1-51", "S1-60"),
        form,
    ),
    Lab(
        "surprise",
        "Surprise and likelihood",
        "Cross-entropy is mean surprise; minimising it maximises the joint likelihood",
        ("S1-61", "S3-29", "S3-30", "S3-34"),
        information,
    ),
    Lab(
        "classes",
        "Scores of classes",
        "Softmax turns scores into probabilities without changing the prediction, and cross-entropy depends on the "
        "right class alone",
        ("S3-25", "S3-26", "S3-27", "S3-28", "S3-31", "S3-32"),
        classes,
    ),
    Lab(
        "input-factor",
        "What no cost can change",
        "A weight whose input is 0 does not learn, whatever the cost",
        ("S1-44", "S1-62"),
        inputs,
    ),
)
