"""Softmax: its numbers, its derivatives, its inverse, its temperature."""

from __future__ import annotations

import numpy as np

from luthier.classic.network import sigmoid
from luthier.classic.ng import hardmax, softmax
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure
from luthier.labs.lab import DOCUMENT, ORIGINAL, Bench, Lab
from luthier.messages import Message

EXAMPLE = (5.0, 2.0, -1.0, 3.0)
START = (2.5, -1.0, 3.2, 0.5)


def jacobian(z: np.ndarray) -> np.ndarray:
    """da_j / dz_k by central differences [C, C]."""
    h, eye = 1e-6, np.eye(len(z))
    return np.stack([(softmax(z + h * e) - softmax(z - h * e)) / (2 * h) for e in eye], 1)


def values(bench: Bench) -> None:
    """The example of the lecture, step by step."""
    z = np.array(EXAMPLE)
    a = softmax(z)
    t = np.exp(5.0) * a / a[0]  # what stands over the sum: the first score's is e^5
    for score, printed, result in zip(z, (148.4, 7.4, 0.4, 20.1), t, strict=True):
        bench.number(Message("e to the score {score:g}", score=score), printed, float(result), 0.05, of=DOCUMENT)
    bench.number("their sum", 176.3, float(t.sum()), 0.05, of=DOCUMENT)
    for score, printed, result in zip(z, (0.842, 0.042, 0.002, 0.114), a, strict=True):
        bench.number(
            Message("probability of the class with score {score:g}", score=score),
            printed,
            float(result),
            5e-4,
            of=DOCUMENT,
        )
    Z = np.stack([z, 2 * z, -z], 1)
    gap = np.abs(softmax(Z) - np.stack([softmax(column) for column in Z.T], 1)).max()
    bench.number("classes by samples (C, m): each column is a softmax by itself, largest gap", 0.0, float(gap), 1e-15)
    for scores, right in (((1.0, 2.0), 0.731059), ((10.0, 20.0), 0.9999546)):
        bench.number(
            Message("softmax of {scores} expresses confidence", scores=scores),
            right,
            float(softmax(np.array(scores))[1]),
            5e-7,
        )
        bench.number(Message("proportions of {scores} do not", scores=scores), 2 / 3, scores[1] / sum(scores), 1e-12)
    two, rng = 0.0, np.random.default_rng(0)
    for z1, z2 in rng.normal(0, 5, (200, 2)):
        two = max(two, abs(float(softmax(np.array([z1, z2]))[0] - sigmoid(z1 - z2))))
    bench.number("of two classes it is the sigmoid of the difference: largest gap", 0.0, two, 1e-12)
    bench.holds(
        "the limit is hardmax, a one at the largest",
        bool(np.array_equal(np.round(softmax(z, 50.0), 9), hardmax(z)) and hardmax(z).tolist() == [1, 0, 0, 0]),
        f"{softmax(z, 50.0).round(6)}",
    )


def sliders(bench: Bench) -> None:
    """Four scores, the fourth moved."""
    z = np.array(START)
    for score, printed, a in zip(z, (0.315, 0.009, 0.633, 0.043), softmax(z), strict=True):
        bench.number(
            Message("the bar of score {score:g} at the page's start", score=score), printed, float(a), 5e-4, of=ORIGINAL
        )
    fourth = np.linspace(-5, 5, 101)
    bars = np.stack([softmax(np.array([*START[:3], value])) for value in fourth])
    bench.number("the bars add up to 1 for every position of the slider", 1.0, float(bars.sum(1).max()), 1e-12)
    moves = np.diff(bars, axis=0)
    bench.holds(
        "raising the fourth score raises its bar and lowers all others by as much in all",
        bool((moves[:, 3] > 0).all() and (moves[:, :3] < 0).all() and np.abs(moves.sum(1)).max() < 1e-12),
        Message("largest sum of moves {np:.1g}", np=np.abs(moves.sum(1)).max()),
    )
    bench.number("ten sigmoid outputs at 0 add up to", 5.0, float(sigmoid(np.zeros(10)).sum()), 1e-12)
    figure = empty_figure("the fourth score", "share")
    for k, colour in enumerate((BLUE, ORANGE, GREEN, GREY)):
        figure.add_scatter(x=fourth, y=bars[:, k], name=f"a{k + 1}", line={"color": colour})
    bench.draw("All bars move when one score does", figure)


def derivatives(bench: Bench) -> None:
    """Monotone, non-local, and invertible up to a constant."""
    z = np.array(EXAMPLE)
    a, J = softmax(z), jacobian(z)
    bench.number(
        "the Jacobian is diag(a) - a a': largest gap", 0.0, float(np.abs(J - (np.diag(a) - np.outer(a, a))).max()), 1e-9
    )
    for score, printed, result in zip(z, (0.133, 0.040, 0.002, 0.101), np.diag(J), strict=True):
        bench.number(
            Message("slope of a probability by its own score of {score:g}", score=score), printed, float(result), 5e-4
        )
    off = J[~np.eye(4, dtype=bool)]
    bench.holds(
        "own slopes are positive, all others negative",
        bool((np.diag(J) > 0).all() and (off < 0).all()),
        Message("others between {off:.2g} and {off_2:.2g}", off=off.min(), off_2=off.max()),
    )
    bench.holds(
        "every probability depends on every score, a sigmoid's on its own alone",
        bool((np.abs(off) > 1e-6).all()),
        Message("smallest slope by another's score {np:.2g}", np=np.abs(off).min()),
    )
    shift = np.log(a) - z
    bench.number("ln a - z is the same for all: spread", 0.0, float(np.ptp(shift)), 1e-12)
    bench.number("softmax of ln a is a", 0.0, float(np.abs(softmax(np.log(a)) - a).max()), 1e-12)
    bench.number("a shift of all scores changes nothing", 0.0, float(np.abs(softmax(z + 100) - a).max()), 1e-12)
    with np.errstate(all="ignore"):
        big = softmax(np.array([1e4, 0.0]))
    bench.holds("no score is too large", big.tolist() == [1, 0], Message("softmax(10000, 0) = {big}", big=big.tolist()))


def temperature(bench: Bench) -> None:
    """A constant before the scores."""
    z = np.array(EXAMPLE)
    for score, printed, result in zip(z, (0.32, 0.24, 0.18, 0.26), softmax(z, 0.1), strict=True):
        bench.number(
            Message("the probability of score {score:g} at c = 0.1", score=score), printed, float(result), 0.005
        )
    for factor, printed, within in ((2.0, 0.980, 5e-4), (5.0, 0.99995, 5e-6), (50.0, 1.0, 1e-12)):
        bench.number(
            Message("the largest probability at c = {factor:g}", factor=factor),
            printed,
            float(softmax(z, factor)[0]),
            within,
        )
    bench.number(
        "two equal largest scores have equal probabilities",
        0.5,
        float(softmax(np.array([3.0, 3.0, 1.0]), 50.0)[0]),
        1e-12,
    )
    c = np.geomspace(0.02, 20, 80)
    figure = empty_figure("c", "share").update_xaxes(type="log")
    for k, colour in enumerate((BLUE, ORANGE, GREEN, GREY)):
        figure.add_scatter(x=c, y=[softmax(z, x)[k] for x in c], name=f"z = {z[k]:g}", line={"color": colour})
    bench.draw("From uniform to one-hot", figure)


LABS = (
    Lab(
        "softmax",
        "Softmax in two steps",
        "Softmax turns scores into probabilities that express confidence",
        ("S0-26", "S0-27", "S0-28", "S0-29"),
        values,
    ),
    Lab(
        "softmax-sliders",
        "Four sliders",
        "Raising one score raises its probability and lowers all others by the same total",
        ("S1-64", "S1-65", "S1-66"),
        sliders,
    ),
    Lab(
        "softmax-slopes",
        "Softmax's slopes",
        "Softmax is monotone, not local, and can be undone up to a constant",
        ("S1-63", "S1-67", "S1-68", "S1-69"),
        derivatives,
    ),
    Lab(
        "temperature",
        "A constant before the scores",
        "With a growing constant softmax converges to the maximum",
        ("S1-73",),
        temperature,
    ),
)
