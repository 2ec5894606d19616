"""Nielsen's experiments on MNIST, many seeds at once: costs, overfitting, regularisation, more data.

Networks of all seeds and settings train in one program, with his settings: sigmoid neurons, batches of 10, weights and
biases from N(0, 1). Where MNIST is missing the digits that scikit-learn brings take its place, and nothing is compared
with what he printed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch

from luthier.classic.mnist_loader import load_data
from luthier.drawing import BLUE, GREY, ORANGE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.errors import InputError
from luthier.labs.lab import DOCUMENT, ORIGINAL, Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows
from luthier.statistics.paired import of_mean

BATCH, FIRST = 10, 1000
MISSING = "MNIST is not here (LUTHIER_DATA), so scikit-learn's digits take its place"


class Digits(NamedTuple):
    """Training, validation and test pictures as rows of numbers between 0 and 1."""

    training: Rows
    validation: Rows
    test: Rows
    is_mnist: bool


class MemberCurves(NamedTuple):
    """Each network's accuracy in % and cost, epoch by epoch [M, E]."""

    accuracy: np.ndarray
    cost: np.ndarray


@cache
def digits() -> Digits:
    """MNIST, or what scikit-learn brings."""
    try:
        parts = load_data(Path(os.environ.get("LUTHIER_DATA", "data")) / "mnist")
    except InputError:
        from sklearn.datasets import load_digits

        result = load_digits()
        X, y = result.data.astype(np.float32) / 16, result.target.astype(np.int64)
        order = np.random.default_rng(0).permutation(len(X))
        first, second, third = (_part(X[cut], y[cut]) for cut in np.split(order, (1200, 1500)))
        return Digits(first, second, third, False)
    first, second, third = (_part(*one) for one in parts)
    return Digits(first, second, third, True)


def _part(X: np.ndarray, y: np.ndarray) -> Rows:
    return Rows(Inputs(numbers=torch.from_numpy(X)), torch.from_numpy(y))


def some(part: Rows, rows: int) -> Rows:
    """The first rows."""
    return part.rows(torch.arange(min(rows, len(part))))


def learn(
    members: Sequence[Member], training: Rows, held_out: Rows, *, epochs: int, loss: str = "binary", every: int = 1
) -> MemberCurves:
    """Train all members together, and measure every so many epochs on other rows."""
    steps = -(-len(training) // BATCH)
    settings = Settings(loss, "sgd", BATCH, epochs * steps, every * steps, metrics=("accuracy",))
    table = train(members, training, held_out, settings).history.to_frame().sort("member", "step")
    shape = len(members), -1
    return MemberCurves(
        100 * table["accuracy"].to_numpy().reshape(shape), table["validation_loss"].to_numpy().reshape(shape)
    )


def members(seeds: Sequence[int], inputs: int, hidden: int, eta: float, lmbda: float = 0.0) -> list[Member]:
    """A network for each seed, as Nielsen begins: every weight and bias from N(0, 1)."""
    spec = DenseSpec(inputs=inputs, hidden=(hidden,), outputs=10, activation="sigmoid", initialiser="large")
    return [Member(spec, seed, eta, momentum=0.0, l2=lmbda) for seed in seeds]


def costs(bench: Bench) -> None:
    """784-30-10 by cross-entropy and by the quadratic cost, at the rates that he used."""
    data, seeds, epochs = digits(), bench.seeds(5, 3), 8 if bench.quick else 30
    training, width = data.training, data.training.numbers.shape[1]
    if bench.quick:
        training = some(training, 10_000)
        bench.note("quick: 8 epochs of 10,000 pictures; the printed figures are of 30 epochs of 50,000")
    result = {
        name: learn(members(seeds, width, 30, eta), training, data.test, epochs=epochs, loss=loss).accuracy.max(1)
        for name, loss, eta in (("cross-entropy", "binary", 0.5), ("quadratic", "quadratic", 3.0))
    }
    if data.is_mnist and not bench.quick:
        bench.number(
            "best epoch's accuracy by cross-entropy", 95.49, result["cross-entropy"], 0.4, unit=" %", of=DOCUMENT
        )
        bench.number(
            "by the quadratic cost",
            95.42,
            result["quadratic"],
            0.4,
            unit=" %",
            why="its rate is not printed; 3.0 is that of the chapter before",
            between=(94.4, 96.4),
            of=DOCUMENT,
        )
    elif not data.is_mnist:
        bench.note(MISSING)
    lowest = min(float(row.min()) for row in result.values())
    bench.holds(
        "every network has learnt, by either cost", lowest > 80, Message("{lowest:.1f} % at least", lowest=lowest)
    )
    gap = result["cross-entropy"] - result["quadratic"]
    error = gap.std(ddof=1) / len(gap) ** 0.5
    bench.holds(
        "the difference between the costs is smaller than the spread over seeds",
        abs(gap.mean()) < max(0.6, 3 * error),
        Message("{gap:+.2f} ± {error:.2f} points", gap=gap.mean(), error=of_mean(gap).half_width()),
    )


def overfitting(bench: Bench) -> None:
    """A thousand pictures, 400 epochs, with and without a penalty on the weights."""
    data, seeds, epochs = digits(), bench.seeds(5, 2), 60 if bench.quick else 400
    training, width = some(data.training, FIRST), data.training.numbers.shape[1]
    test = some(data.test, 2000) if bench.quick else data.test
    if bench.quick:
        bench.note("quick: 60 epochs, judged on 2,000 pictures; the printed figures are of 400 epochs and 10,000")
    plain = members(seeds, width, 30, 0.5)
    together = [*plain, *(replace(one, l2=0.1) for one in plain)]
    result = learn(together, training, test, epochs=epochs)
    shown = learn(plain, training, training, epochs=epochs)
    count = len(plain)
    free, held = result.accuracy[:count], result.accuracy[count:]
    lowest = result.cost[:count].argmin(1) + 1
    perfect = [int(np.argmax(row >= 100)) + 1 for row in shown.accuracy if (row >= 100).any()]
    bench.holds(
        "the cost on new pictures rises again while the training cost falls",
        (lowest < epochs // 2).all() and (shown.cost[:, -1] < shown.cost[:, epochs // 2]).all(),
        Message("lowest after {lowest} of {epochs} epochs", lowest=lowest.tolist(), epochs=epochs),
    )
    bench.holds(
        "in the end all training pictures are predicted right, or all but one in two hundred",
        bool((shown.accuracy[:, -1] >= 99.5).all()),
        f"{shown.accuracy[:, -1].mean():.2f} %",
        printed="100 %",
    )
    stalled = np.ptp(free[:, -epochs // 4 :], 1)
    bench.holds(
        "while accuracy on new pictures stalls: it moves by less than two points in the last quarter",
        bool((stalled < 2).all()),
        Message("by at most {stalled:.2f} points", stalled=stalled.max()),
    )
    bench.holds(
        "a penalty with lambda 0.1 helps every network",
        (held[:, -1] > free[:, -1]).all(),
        Message("{free:.1f} % to {held:.1f} % at the end", free=free[:, -1].mean(), held=held[:, -1].mean()),
    )
    if data.is_mnist and not bench.quick:
        bench.number("best accuracy without a penalty", 82.27, free.max(1), 0.8, unit=" %", of=DOCUMENT)
        bench.number("with it", 87.10, held.max(1), 0.8, unit=" %", of=DOCUMENT)
        bench.number(
            "gap between training and new pictures, in points",
            17.73,
            shown.accuracy[:, -1] - free[:, -1],
            0.9,
            of=DOCUMENT,
        )
        bench.number("epoch of the lowest cost on new pictures", 15, lowest, 4, of=DOCUMENT)
        bench.holds(
            "the printed epoch at which every training picture is right lies within the range over seeds",
            min(perfect) <= 68 <= max(perfect),
            Message("{perfect} to {perfect_2}", perfect=min(perfect), perfect_2=max(perfect)),
            printed="68",
            of=ORIGINAL,
        )
        bench.number("accuracy after 200 epochs", 81.92, free[:, 199], 0.8, unit=" %", of=ORIGINAL)
        bench.number("accuracy after 280 epochs", 82.21, free[:, 279], 0.8, unit=" %", of=ORIGINAL)
        bench.number("training cost after 200 epochs", 0.0097, shown.cost[:, 199], 0.002, of=ORIGINAL)
        bench.number("training cost at the end", 0.0042, shown.cost[:, -1], 0.0006, of=ORIGINAL)
    elif not data.is_mnist:
        bench.note(MISSING)
    x = list(range(1, epochs + 1))
    figure = empty_figure("epoch", "accuracy on new pictures, %")
    for rows, name, colour in ((free, "no penalty", ORANGE), (held, "lambda = 0.1", BLUE)):
        for k, row in enumerate(rows):
            figure.add_scatter(x=x, y=row, name=name, line={"color": colour, "width": 1}, showlegend=k == 0)
    bench.draw("A thousand pictures: what a penalty on weights changes", figure)
    for what, rows, colour in (("accuracy on new pictures, %", free, ORANGE), ("training cost", shown.cost, GREY)):
        title = Message(
            "Epochs {epochs} to {epochs_2}: {what}",
            epochs=epochs // 2 + 1,
            epochs_2=epochs,
            what=what.removesuffix(", %"),
        )
        bench.draw(title, _second_half(what, rows, colour))
    figure = empty_figure("epoch", "accuracy, %")
    for rows, name, colour in ((shown.accuracy, "training", GREY), (free, "new pictures", ORANGE)):
        figure.add_scatter(x=x, y=rows.mean(0), name=name, line={"color": colour})
    bench.draw("Training pictures are memorised, new ones are not", figure)
    figure = empty_figure("epoch", "cost").update_yaxes(type="log")
    figure.add_scatter(x=x, y=shown.cost.mean(0), name="training", line={"color": GREY})
    figure.add_scatter(x=x, y=result.cost[:count].mean(0), name="new pictures", line={"color": ORANGE})
    bench.draw("Overfitting: one cost falls, the other rises", figure)


def _second_half(what: str, rows: np.ndarray, colour: str) -> go.Figure:
    """The later epochs of curves [S, E], one line a seed: what moves there is too small to see in the whole."""
    figure, first = empty_figure("epoch", what), rows.shape[1] // 2
    for row in rows:
        figure.add_scatter(
            x=list(range(first + 1, len(row) + 1)), y=row[first:], line={"color": colour, "width": 1}, showlegend=False
        )
    return figure


def all_of_it(bench: Bench) -> None:
    """All pictures: the gap closes, and the penalty has to grow with their number."""
    data, seeds, epochs = digits(), bench.seeds(5, 2), 10 if bench.quick else 30
    training, width = data.training, data.training.numbers.shape[1]
    if bench.quick:
        training = some(training, 15_000)
        bench.note("quick: 10 epochs of 15,000 pictures; the printed figures are of 30 epochs of 50,000")
    scaled = 1e-4 * len(training)  # lambda / n stays what it was with a thousand pictures
    plain = members(seeds, width, 30, 0.5)
    together = [*plain, *(replace(one, l2=scaled) for one in plain), *(replace(one, l2=0.1) for one in plain)]
    result = learn(together, training, data.test, epochs=epochs).accuracy
    shown = learn(plain, training, some(training, 10_000), epochs=epochs).accuracy
    free, held, weak = (result[k * len(plain) : (k + 1) * len(plain)] for k in range(3))
    gap = shown[:, -1] - free[:, -1]
    bench.holds(
        "with all pictures the gap is a few points", gap.mean() < 8, Message("{gap:.2f} points", gap=gap.mean())
    )
    bench.holds(
        "the penalty scaled with their number helps, the old one does not",
        held.max(1).mean() > free.max(1).mean()
        and abs(weak.max(1).mean() - free.max(1).mean()) < held.max(1).mean() - free.max(1).mean() + 0.3,
        Message(
            "{free:.2f} % without, {weak:.2f} % with 0.1, {held:.2f} % with {scaled:g}",
            free=free.max(1).mean(),
            weak=weak.max(1).mean(),
            held=held.max(1).mean(),
            scaled=scaled,
        ),
    )
    if data.is_mnist and not bench.quick:
        bench.number("best accuracy without a penalty", 95.33, free.max(1), 0.4, unit=" %", of=DOCUMENT)
        bench.number("with lambda 5", 96.49, held.max(1), 0.4, unit=" %", of=DOCUMENT)
        bench.number("gap, in points", 2.53, gap, 0.4, of=DOCUMENT)
    elif not data.is_mnist:
        bench.note(MISSING)


LABS = (
    Lab(
        "costs-on-mnist",
        "Two costs on MNIST",
        "Cross-entropy and the quadratic cost end equal on MNIST, within the spread over seeds",
        ("S1-57", "S1-59"),
        costs,
        seconds=15,
        needs_mnist=True,
    ),
    Lab(
        "overfitting",
        "A thousand pictures",
        "A network memorises a thousand pictures; a penalty on weights helps it with new ones",
        ("S1-75", "S1-76", "S1-77", "S1-78", "S1-79", "S1-90"),
        overfitting,
        seconds=20,
        needs_mnist=True,
    ),
    Lab(
        "more-data",
        "All pictures",
        "With all pictures the gap nearly closes, and the penalty must grow with their number",
        ("S1-84", "S1-91", "S1-92"),
        all_of_it,
        seconds=30,
        needs_mnist=True,
    ),
)
