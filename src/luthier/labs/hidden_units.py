"""How many hidden units: two rules of thumb beside what networks of those widths come to."""

from __future__ import annotations

import numpy as np

from luthier.drawing import BLUE, GREY, empty_figure
from luthier.engine import Member, Settings, train
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.recipe.decisions.starting_network import midpoint_width, sample_width

FACTORS = (2, 3, 5, 10)


def units(bench: Bench) -> None:
    """Widths by the number of rows, for each factor a, and half-way between inputs and outputs."""
    for a, printed in ((2, 31.5), (10, 6.3)):
        bench.number(
            Message("units for 50,000 digits with a = {a}", a=a), printed, sample_width(50_000, 784, 10, a), 0.05
        )
    bench.number("half-way between 784 inputs and 10 outputs", 397, midpoint_width(784, 10), 0)
    training, held_out = digits_part()
    widths = {f"a = {a}": max(1, round(sample_width(len(training), 64, 10, a))) for a in FACTORS}
    widths["half-way"] = midpoint_width(64, 10)
    steps, losses = 40 * 20, {}
    for name, width in widths.items():
        members = [Member(DenseSpec(inputs=64, hidden=(width,), outputs=10), s, 3e-3) for s in bench.seeds(10, 4)]
        result = train(members, training, held_out, Settings("softmax", "adam", 32, steps, 40))
        losses[name] = result.best_validation_loss
    means = {name: float(row.mean()) for name, row in losses.items()}
    message = ", ".join(f"{name} ({widths[name]} units) {loss:.3f}" for name, loss in means.items())
    by_rows = min(FACTORS, key=lambda a: means[f"a = {a}"])
    bench.holds(
        "of the factors from 2 to 10 the smallest, which gives most units, has the lowest validation loss",
        by_rows == 2,
        Message("validation loss: {message}", message=message),
    )
    bench.holds(
        "more units than the rule of rows allows do better: early stopping makes the rule too careful",
        means["half-way"] < means["a = 2"],
        Message("{means:.3f} against {means_2:.3f}", means=means["half-way"], means_2=means["a = 2"]),
    )
    order = sorted(widths, key=lambda name: widths[name])
    figure = empty_figure("hidden units", "validation loss").update_xaxes(type="log").update_yaxes(type="log")
    for seed in range(len(losses["half-way"])):
        y = [float(losses[name][seed]) for name in order]
        figure.add_scatter(x=[widths[n] for n in order], y=y, line={"color": GREY, "width": 1}, showlegend=False)
    mean = [float(np.mean(losses[name])) for name in order]
    figure.add_scatter(x=[widths[n] for n in order], y=mean, name="mean over seeds", line={"color": BLUE})
    bench.draw("Validation loss by hidden units", figure)


LABS = (
    Lab(
        "hidden-units",
        "How many hidden units",
        "Two rules of thumb for the hidden layer contradict each other; validation chooses",
        ("S4-05", "S4-06"),
        units,
        seconds=4,
    ),
)
