"""Pages that are a formula: a neuron, softmax, schedules, and the scales that settings are drawn on."""

from __future__ import annotations

import numpy as np

from luthier.classic.ng import softmax
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure
from luthier.labs.neuron import learn
from luthier.labs.softmax import START
from luthier.messages import Message
from luthier.optimise import Schedule
from luthier.search.spaces.scales import scale_named
from luthier.studio.widgets import Page, SelectBox, Shown, Slider, Values, soft

COLOURS = (BLUE, ORANGE, GREEN, GREY)


def neuron(values: Values) -> Shown:
    """One sigmoid neuron with an input of 1 that is to say 0."""
    epoch = int(values["epoch"])
    path = learn(values["w"], values["b"], values["eta"], cost=values["cost"], epochs=300)
    curve = empty_figure("epoch", "cost")
    curve.add_scatter(x=list(range(epoch + 1)), y=path.cost[: epoch + 1], name="cost", line={"color": BLUE})
    curve.update_xaxes(range=[0, 300]).update_yaxes(range=[0, max(0.01, 1.05 * float(path.cost.max()))])
    slope = empty_figure("epoch", "size of the gradient")
    slope.add_scatter(x=list(range(epoch + 1)), y=path.slope[: epoch + 1], name="gradient", line={"color": ORANGE})
    slope.update_xaxes(range=[0, 300]).update_yaxes(range=[0, max(0.01, 1.05 * float(path.slope.max()))])
    numbers = tuple(
        (name, f"{float(row[epoch]):.4f}")
        for name, row in (("weight", path.w), ("bias", path.b), ("output", path.a), ("cost", path.cost))
    )
    return Shown(
        (("The cost, epoch by epoch", soft(curve, 260)), ("Its slope", soft(slope, 260))),
        (("epoch", str(epoch)), *numbers),
    )


def four_scores(values: Values) -> Shown:
    """Four scores and their shares."""
    z = np.array([values[f"z{k}"] for k in range(1, 5)])
    a = softmax(z, values["c"])
    bars = empty_figure("", "share").update_yaxes(range=[0, 1])
    bars.add_bar(x=[f"a{k}" for k in range(1, 5)], y=a, marker={"color": list(COLOURS)}, showlegend=False)
    fourth = np.linspace(-5, 5, 101)
    moved = np.stack([softmax(np.array([*z[:3], one]), values["c"]) for one in fourth])
    lines = empty_figure("z4", "share").update_yaxes(range=[0, 1])
    for k, colour in enumerate(COLOURS):
        lines.add_scatter(x=fourth, y=moved[:, k], name=f"a{k + 1}", line={"color": colour})
    lines.add_vline(x=z[3], line={"color": GREY, "dash": "dot"})
    numbers = tuple((f"a{k + 1}", f"{share:.3f}") for k, share in enumerate(a))
    return Shown(
        (("Shares", soft(bars, 260)), ("Probabilities by the fourth score", soft(lines, 300))),
        (*numbers, ("sum", f"{a.sum():.3f}")),
    )


def schedule(values: Values) -> Shown:
    """A rate over a hundred epochs."""
    steps, kind = 1000, values["kind"]
    made = Schedule(
        kind,
        warmup=int(values["warmup"] * steps),
        period=max(1, int(values["period"] * steps)),
        multiplier=values["multiplier"],
        decay=values["decay"],
    )
    rates = made.curve(steps, values["rate"])
    figure = empty_figure("step", "rate")
    figure.add_scatter(x=list(range(steps)), y=rates, name=kind, line={"color": BLUE})
    numbers = (
        ("first", f"{rates[0]:.4g}"),
        ("highest", f"{max(rates):.4g}"),
        ("middle", f"{rates[steps // 2]:.4g}"),
        ("last", f"{rates[-1]:.4g}"),
        ("mean", f"{np.mean(rates):.4g}"),
    )
    return Shown((("Learning rate by step", soft(figure)),), numbers)


def scales(values: Values) -> Shown:
    """Trials drawn on a scale, by decade."""
    low, high = min(values["low"], values["high"]), max(values["low"], values["high"])
    high = high if high > low else low * 10
    scale, count = scale_named(values["scale"]), int(values["trials"])
    if scale.name == "window":
        low, high = max(0.0, min(1 - high, 0.99)), 1 - min(low, 0.5)
    shares = np.random.default_rng(int(values["seed"])).random(count)
    drawn = np.array([scale.between(low, high, float(share)) for share in shares])
    shown = 1 - drawn if scale.name == "window" else drawn
    decades = np.floor(np.log10(np.maximum(shown, 1e-12)))
    kinds, counts = np.unique(decades, return_counts=True)
    figure = empty_figure("1 - value" if scale.name == "window" else "value", "").update_xaxes(type="log")
    figure.add_scatter(
        x=shown, y=np.random.default_rng(1).random(count), mode="markers", marker={"color": BLUE}, showlegend=False
    )
    figure.update_yaxes(visible=False)
    bars = empty_figure("power of ten", "share of trials")
    bars.add_bar(x=[f"10^{int(k)}" for k in kinds], y=counts / count, marker={"color": ORANGE}, showlegend=False)
    numbers = tuple(
        (Message("10^{low} to 10^{high}", low=int(k), high=int(k) + 1), f"{n / count:.0%}")
        for k, n in zip(kinds, counts, strict=True)
    )
    return Shown((("Where trials fall", soft(figure, 220)), ("By power of ten", soft(bars, 260))), numbers)


PAGES = (
    Page(
        "neuron",
        "One neuron",
        "With the quadratic cost a badly wrong neuron learns slowly, with cross-entropy fast",
        (
            Slider("w", "weight", -3, 3, 0.1, 0.6),
            Slider("b", "bias", -3, 3, 0.1, 0.9),
            Slider("eta", "learning rate", 0.005, 1, 0.005, 0.15),
            SelectBox("cost", "cost", ("quadratic", "cross-entropy"), "quadratic"),
            Slider("epoch", "epoch", 0, 300, 5, 300),
        ),
        neuron,
        play="epoch",
    ),
    Page(
        "softmax",
        "Softmax",
        "Raising one score raises its probability and lowers all others by the same total",
        (
            *(Slider(f"z{k + 1}", f"score z{k + 1}", -5, 5, 0.1, value) for k, value in enumerate(START)),
            Slider("c", "constant before the scores", 0.1, 10, 0.1, 1.0),
        ),
        four_scores,
    ),
    Page(
        "schedules",
        "Schedules",
        "A decaying learning rate ends lower; restarts raise it again",
        (
            SelectBox(
                "kind",
                "schedule",
                ("constant", "cosine", "restarts", "exponential", "staircase", "inverse", "linear", "one-cycle"),
                "restarts",
            ),
            Slider("rate", "base rate", -4, 0, 0.1, -1, log=True),
            Slider("period", "period, share of training", 0.02, 1, 0.02, 0.2),
            Slider("decay", "decay", 0.01, 1, 0.01, 0.5),
            Slider("multiplier", "growth of cycles", 1, 3, 0.25, 1),
            Slider("warmup", "warm-up, share of training", 0, 0.3, 0.01, 0),
        ),
        schedule,
    ),
    Page(
        "scales",
        "Scales",
        "On a uniform scale nearly all trials lie in the last power of ten",
        (
            SelectBox("scale", "scale", ("log", "uniform", "window"), "uniform"),
            Slider("low", "lowest", -6, -1, 0.5, -4, log=True),
            Slider("high", "highest", -1, 1, 0.5, 0, log=True),
            Slider("trials", "trials", 10, 500, 10, 200),
            Slider("seed", "seed", 0, 20, 1, 0),
        ),
        scales,
    ),
)
