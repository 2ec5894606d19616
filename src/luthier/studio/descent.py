"""Pages of descent: paths of update rules over a landscape, and the range test of a learning rate."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch

from luthier.classic.cs231n import RULES, UpdateRule
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, empty_figure
from luthier.engine import Settings, range_test
from luthier.labs.depth import digits_part
from luthier.labs.landscapes import height, saddle, valley
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.studio.widgets import Page, SelectBox, Shown, Slider, Values, soft

COLOURS = (GREY, BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00")
FARTHEST = 50.0  # where a path is cut off


def _bumps(x: np.ndarray) -> np.ndarray:
    """The gradient of (x^2 + y^2) / 10 + sin 2x sin 2y: a bowl with hollows."""
    a, b = x[..., 0], x[..., 1]
    result: np.ndarray = np.stack(
        [a / 5 + 2 * np.cos(2 * a) * np.sin(2 * b), b / 5 + 2 * np.sin(2 * a) * np.cos(2 * b)], -1
    )
    return result


LANDSCAPES = {
    "valley": (valley, height, (-7.0, 2.0), 8, 3),
    "saddle": (saddle, lambda x: x[..., 0] ** 2 - x[..., 1] ** 2, (1.0, 1e-3), 2, 2),
    "hollows": (
        _bumps,
        lambda x: (x**2).sum(-1) / 10 + np.sin(2 * x[..., 0]) * np.sin(2 * x[..., 1]),
        (-3.5, 3.0),
        4,
        4,
    ),
}


def paths(values: Values) -> Shown:
    """The ways of all rules from one start."""
    slope, level, start, wide, tall = LANDSCAPES[values["landscape"]]
    steps, noise = int(values["steps"]), values["noise"]
    figure, numbers = empty_figure("x", "y"), []
    x, y = np.linspace(-wide, wide, 70), np.linspace(-tall, tall, 70)
    z = level(np.stack(np.meshgrid(x, y), -1))
    figure.add_trace(
        go.Contour(
            x=x,
            y=y,
            z=z,
            showscale=False,
            colorscale="Greys",
            opacity=0.4,
            ncontours=25,
            contours={"coloring": "lines"},
            hoverinfo="skip",
        )
    )
    for name, colour in zip(RULES, COLOURS, strict=False):
        rng = np.random.default_rng(0)
        scale = values["rate"] * (1.0 if name in ("sgd", "momentum", "nesterov") else 10.0)
        rule, at = UpdateRule(name, learning_rate=scale, rho=values["momentum"], decay_rate=0.9), np.array(start)
        way = [at]
        for _ in range(steps):
            at = rule.step(at, slope(at) + noise * rng.standard_normal(2))
            if not np.abs(at).max() < FARTHEST:
                break
            way.append(at)
        drawn = np.array(way)
        figure.add_scatter(
            x=drawn[:, 0], y=drawn[:, 1], name=name, mode="lines+markers", line={"color": colour}, marker={"size": 3}
        )
        numbers.append(
            (
                name,
                f"{float(level(drawn[-1])):.3g}"
                if len(way) > steps
                else Message("diverged after {count} steps", count=len(way)),
            )
        )
    figure.update_xaxes(range=[-wide, wide]).update_yaxes(range=[-tall, tall])
    return Shown(
        (("Paths of every rule; adaptive rules use ten times the learning rate", soft(figure, 440)),),
        tuple(numbers),
    )


def finder(values: Values) -> Shown:
    """The range test on the 8 x 8 digits, run now."""
    training, _ = digits_part()
    part = training.rows(torch.arange(600))
    spec = DenseSpec(inputs=64, hidden=(int(values["units"]),), outputs=10)
    settings = Settings("softmax", values["rule"], int(values["batch"]), 40, 40)
    test = range_test(spec, part, settings, seeds=[int(values["seed"])])
    figure = empty_figure("learning rate", "training loss").update_xaxes(type="log")
    figure.add_scatter(x=test.rates, y=test.losses, name="loss", line={"color": BLUE})
    figure.add_vline(x=test.pick, line={"color": ORANGE, "dash": "dot"})
    numbers = (("picked", f"{test.pick:.2g}"), *((name, f"{rate:.2g}") for name, rate in test.rules.items()))
    return Shown((("Loss while the learning rate is raised", soft(figure)),), numbers)


PAGES = (
    Page(
        "paths",
        "Paths of optimisers",
        "Gradient descent zigzags in a valley where momentum is fast; noise and momentum escape a saddle",
        (
            SelectBox("landscape", "landscape", tuple(LANDSCAPES), "valley"),
            Slider("rate", "learning rate", -4, -0.5, 0.1, -1.7, log=True),
            Slider("momentum", "momentum", 0, 0.99, 0.01, 0.9),
            Slider("steps", "steps", 1, 200, 1, 60),
            Slider("noise", "gradient noise", 0, 3, 0.1, 0),
        ),
        paths,
        play="steps",
    ),
    Page(
        "range",
        "Learning-rate range",
        "The learning rate is raised step by step; the best is where the loss still falls",
        (
            SelectBox("rule", "rule", ("adam", "sgd", "rmsprop", "nesterov"), "adam"),
            Slider("units", "hidden units", 8, 128, 8, 32),
            Slider("batch", "batch", 16, 128, 16, 32),
            Slider("seed", "seed", 0, 20, 1, 0),
        ),
        finder,
    ),
)
