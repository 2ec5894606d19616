"""Update rules on a valley, a saddle and a bowl with noise; how common saddles are; how schedules end."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from luthier.classic.cs231n import RULES, UpdateRule
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.optimise import Schedule
from luthier.statistics.paired import of_mean

START = (-7.0, 2.0)
COLOURS = (BLUE, ORANGE, GREEN, GREY, "#CC79A7", "#56B4E9", "#E69F00")


def valley(x: np.ndarray) -> np.ndarray:
    """The gradient of (x^2 + 50 y^2) / 2."""
    result: np.ndarray = x * np.array([1.0, 50.0])
    return result


def height(x: np.ndarray) -> np.ndarray:
    """The valley's height at points [..., 2]."""
    result: np.ndarray = 0.5 * (x[..., 0] ** 2 + 50 * x[..., 1] ** 2)
    return result


def saddle(x: np.ndarray) -> np.ndarray:
    """The gradient of x^2 - y^2."""
    result: np.ndarray = x * np.array([2.0, -2.0])
    return result


def in_the_valley(bench: Bench) -> None:
    """A long valley, walked by every rule."""
    sgd = UpdateRule("sgd", learning_rate=0.035).run(valley, START, 100)
    signs = np.sign(sgd[:40, 1])
    bench.holds(
        "descent at 0.035 crosses the valley at every step",
        bool((signs[1:] == -signs[:-1]).all()),
        Message("{value} of 39 steps", value=int((signs[1:] == -signs[:-1]).sum())),
    )
    away = UpdateRule("sgd", learning_rate=0.041).run(valley, START, 300)
    bench.holds(
        "at 0.041 it leaves it",
        bool(height(away[-1]) > height(away[0])),
        Message("height {value:.3g}", value=height(away[-1])),
    )
    bench.number("height after 100 steps of descent", 0.0197, float(height(sgd[-1])), 1e-4)
    momentum = UpdateRule("momentum", learning_rate=0.01).run(valley, START, 100)
    bench.number("of momentum 0.9 at 0.01", 0.0010, float(height(momentum[-1])), 5e-5)
    nesterov = UpdateRule("nesterov", learning_rate=0.01).run(valley, START, 100)
    bench.number("of Nesterov's", 1.2e-5, float(height(nesterov[-1])), 5e-7)
    x, v = np.array(START), np.zeros(2)
    for _ in range(100):  # the printed sign
        v = 0.9 * v + valley(x)
        x = x + 0.01 * v
    bench.number("powers of ten that the printed sign climbs to", 59, round(float(np.log10(height(x)))), 1)
    figure = empty_figure("x", "y")
    grid = np.linspace(-8, 8, 60), np.linspace(-3, 3, 60)
    ground = height(np.stack(np.meshgrid(*grid), -1))
    heights: dict[str, float] = {}
    figure.add_trace(
        go.Contour(
            x=grid[0],
            y=grid[1],
            z=np.log10(ground + 1e-3),
            showscale=False,
            opacity=0.35,
            colorscale="Greys",
            contours={"coloring": "lines"},
        )
    )
    rates = {"sgd": 0.035, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.8, "rmsprop": 0.1, "adam": 0.3}
    for (name, rate), colour in zip(rates.items(), COLOURS, strict=False):
        path = UpdateRule(name, learning_rate=rate, decay_rate=0.9).run(valley, START, 60)
        figure.add_scatter(
            x=path[:, 0],
            y=path[:, 1],
            name=f"{name}, {rate:g}",
            mode="lines+markers",
            line={"color": colour},
            marker={"size": 3},
        )
        heights[name] = float(height(path[-1]))
    bench.draw("Ways down a long valley, 60 steps", figure)
    start = float(height(np.array(START)))
    bench.holds(
        "every rule ends below a fiftieth of where it began",
        max(heights.values()) < start / 50,
        ", ".join(f"{name} {value:.3g}" for name, value in heights.items()),
    )


def off_the_saddle(bench: Bench) -> None:
    """x^2 - y^2 from just beside its ridge."""
    for name, printed in (("sgd", 582), ("momentum", 117), ("nesterov", 110), ("adam", 77)):
        path = UpdateRule(name, learning_rate=0.01).run(saddle, (1.0, 1e-5), 700)
        bench.number(
            Message("steps of {name} at 0.01 until |y| > 1", name=name),
            printed,
            int(np.argmax(np.abs(path[:, 1]) > 1)),
            1,
        )
    steps = {}
    for decay in (0.9, 0.99):
        path = UpdateRule("rmsprop", learning_rate=0.01, decay_rate=decay).run(saddle, (1.0, 1e-5), 700)
        steps[decay] = int(np.argmax(np.abs(path[:, 1]) > 1))
    bench.number("steps of RMSProp with decay 0.9", 72, steps[0.9], 1)
    bench.number(
        "steps of RMSProp with decay 0.99, for which 72 is often given",
        72,
        steps[0.99],
        1,
        refuted=True,
        between=(16, 18),
        why="72 is the number for a decay of 0.9; with 0.99 the first steps are ten times the rate",
    )
    still = UpdateRule("sgd", learning_rate=0.01).run(saddle, (1.0, 0.0), 2000)
    bench.number("on the ridge itself descent never leaves: |y| after 2000 steps", 0.0, float(abs(still[-1, 1])), 0.0)
    escaped = []
    for seed in bench.seeds(20, 8):
        rng = np.random.default_rng(seed)

        def noisy(x: np.ndarray, rng: np.random.Generator = rng) -> np.ndarray:
            return saddle(x) + rng.normal(0, 0.01, 2)

        path = UpdateRule("sgd", learning_rate=0.01).run(noisy, (1.0, 0.0), 1000)
        escaped.append(bool((np.abs(path[:, 1]) > 1).any()))
    bench.holds(
        "noise in the gradient leaves it",
        all(escaped),
        Message("{value} of {count} seeds", value=sum(escaped), count=len(escaped)),
    )
    _out_of_a_hollow(bench)


def two_hollows(x: np.ndarray) -> np.ndarray:
    """The gradient of x^4 / 4 - x^2 / 2 + x / 5: a local minimum near 0.88, the lowest point near -1.09."""
    result: np.ndarray = x**3 - x + 0.2
    return result


def _out_of_a_hollow(bench: Bench) -> None:
    """A local minimum that is not the lowest: descent stays in it, noise leaves it."""
    still = UpdateRule("sgd", learning_rate=0.05).run(two_hollows, (1.5,), 3000)
    bench.number("from 1.5 descent ends in the local minimum, at x", 0.8789, float(still[-1, 0]), 1e-4)
    left = {}
    for noise in (0.2, 2.0):
        ends = []
        for seed in bench.seeds(40, 12):
            rng = np.random.default_rng(seed)

            def noisy(x: np.ndarray, rng: np.random.Generator = rng, noise: float = noise) -> np.ndarray:
                return two_hollows(x) + rng.normal(0, noise, 1)

            path = UpdateRule("sgd", learning_rate=0.05).run(noisy, (1.5,), 3000)
            ends.append(bool((path[:, 0] < -0.8).any()))
        left[noise] = float(np.mean(ends))
    bench.holds(
        "with enough noise in the gradient it leaves the local minimum for the lower one, with little it stays",
        left[2.0] > 0.9 and left[0.2] < 0.1,
        Message(
            "left by {left:.0%} of seeds with noise of deviation 2, by {left_2:.0%} with 0.2",
            left=left[2.0],
            left_2=left[0.2],
        ),
    )


def how_common(bench: Bench) -> None:
    """Random symmetric matrices: how often all directions go up."""
    rng, draws = np.random.default_rng(0), 20_000 if bench.quick else 400_000
    shares = {}
    for d, printed in ((1, 0.50), (2, 0.147), (3, 0.025), (5, 0.00014)):
        A = rng.standard_normal((draws, d, d))
        A = (A + A.transpose(0, 2, 1)) / 2
        shares[d] = float((np.linalg.eigvalsh(A).min(1) > 0).mean())
        error = np.sqrt(printed * (1 - printed) / draws)
        bench.number(
            Message("share with all curvatures upwards, {d} dimensions", d=d), printed, shares[d], 4 * error + 5e-4
        )
    bench.holds(
        "more dimensions have fewer minima and more saddles: the text states the opposite",
        shares[1] > shares[2] > shares[3] > shares[5],
        f"{shares}",
    )
    figure = empty_figure("dimensions", "share of minima")
    figure.add_scatter(x=list(shares), y=list(shares.values()), mode="lines+markers", line={"color": BLUE})
    bench.draw("Minima become rare", figure.update_yaxes(type="log"))


def step_sizes(bench: Bench) -> None:
    """What each rule makes of a gradient that stays the same."""

    def moves(name: str, steps: int, **options: float) -> np.ndarray:
        rule = UpdateRule(name, learning_rate=1.0, epsilon=0.0, **options)
        return np.asarray(-np.diff(rule.run(np.ones_like, [0.0], steps)[:, 0]))

    for rho, printed in ((0.5, 2.0), (0.9, 10.0), (0.99, 100.0)):
        bench.number(
            Message("terminal speed with momentum {rho:g}, in rates", rho=rho),
            printed,
            float(moves("momentum", 3000, rho=rho)[-1]),
            0.001 * printed,
        )
    t = np.arange(1, 51)
    bench.number(
        "AdaGrad's steps are the rate over the root of t: largest gap",
        0.0,
        float(np.abs(moves("adagrad", 50) - 1 / np.sqrt(t)).max()),
        1e-12,
    )
    for decay, printed in ((0.9, 3.16), (0.99, 10.0)):
        result = moves("rmsprop", 2000, decay_rate=decay)
        bench.number(Message("RMSProp's first step, decay {decay:g}", decay=decay), printed, float(result[0]), 0.005)
        bench.number(Message("its last, decay {decay:g}", decay=decay), 1.0, float(result[-1]), 1e-6)
    bare = moves("adam-uncorrected", 40)
    bench.number("Adam's first step without correction", 3.16, float(bare[0]), 0.005)
    bench.number("its largest", 6.57, float(bare.max()), 0.005)
    bench.number("at step", 12, int(bare.argmax()) + 1, 0)
    bench.number(
        "with correction every step is the rate: largest gap", 0.0, float(np.abs(moves("adam", 100) - 1).max()), 1e-9
    )
    still = float(
        np.max([abs(UpdateRule(name, learning_rate=1.0).run(np.zeros_like, [3.0], 9)[-1, 0] - 3) for name in RULES])
    )
    bench.number("no gradient, no step, for every rule", 0.0, still, 0.0)
    figure = empty_figure("step", "length over the rate").update_yaxes(type="log")
    for (name, options), colour in zip(
        {"momentum": {}, "adagrad": {}, "rmsprop": {"decay_rate": 0.9}, "adam-uncorrected": {}, "adam": {}}.items(),
        COLOURS,
        strict=False,
    ):
        figure.add_scatter(x=t, y=moves(name, 50, **options), name=name, line={"color": colour})
    bench.draw("Steps under a constant gradient", figure)


def decay(bench: Bench) -> None:
    """A noisy bowl: a rate that falls ends nearer."""
    ends: dict[str, list[float]] = {"constant": [], "decayed": []}
    for seed in bench.seeds(40, 12):
        for name, row in ends.items():
            rng, x, heights, rule = (
                np.random.default_rng(seed),
                np.array([5.0]),
                [],
                UpdateRule("sgd", learning_rate=0.1),
            )
            schedule = Schedule("inverse", decay=0.01) if name == "decayed" else Schedule()
            for t in range(2000):
                rule.learning_rate = 0.1 * schedule.factor(t, 2000)
                x = rule.step(x, x + rng.standard_normal(1))
                heights.append(float(x[0] ** 2 / 2))
            row.append(float(np.mean(heights[-200:])))
    gain = np.array(ends["constant"]) - np.array(ends["decayed"])
    half = of_mean(gain).half_width()
    bench.holds(
        "near the minimum a decaying rate ends lower",
        bool(gain.mean() > half),
        Message(
            "{np:.4f} with a constant one, {np_2:.4f}; gain {gain:.4f} ± {half:.4f}",
            np=np.mean(ends["constant"]),
            np_2=np.mean(ends["decayed"]),
            gain=gain.mean(),
            half=half,
        ),
    )


def look_ahead(bench: Bench) -> None:
    """Nesterov's step drawn: the gradient is taken where momentum is about to lead."""
    x, v, rate, memory = np.array([-2.0, 1.0]), np.array([0.8, -0.5]), 0.02, 0.9
    seen: list[np.ndarray] = []

    def watched(point: np.ndarray) -> np.ndarray:
        seen.append(point.copy())
        return valley(point)

    ahead = x + memory * v
    momentum = x + memory * v - rate * valley(x)
    nesterov = x + memory * v - rate * watched(ahead)
    bench.number("the gradient is taken at x + rho v: gap", 0.0, float(np.abs(seen[0] - ahead).max()), 0.0)
    rule, point, speed, kept, worst = UpdateRule("nesterov", learning_rate=rate, rho=memory), x, np.zeros(2), x, 0.0
    for _ in range(50):
        speed = memory * speed - rate * valley(point + memory * speed)
        point = point + speed
        kept = rule.step(kept, valley(kept))  # the printed form keeps x + rho v in place of x
        worst = max(worst, float(np.abs(point + memory * speed - kept).max()))
    bench.number("it is the printed form after a change of variables: largest gap over 50 steps", 0.0, worst, 1e-10)
    figure = empty_figure("x", "y")
    arrows = (
        ("momentum alone", x, ahead, COLOURS[0]),
        ("gradient at x", ahead, momentum, COLOURS[1]),
        ("gradient ahead", ahead, nesterov, COLOURS[2]),
    )
    for name, begin, end, colour in arrows:
        figure.add_scatter(
            x=[begin[0], end[0]],
            y=[begin[1], end[1]],
            name=name,
            line={"color": colour},
            mode="lines+markers",
            marker={"symbol": "arrow", "size": [0, 12], "angleref": "previous"},
        )
    bench.draw("Momentum takes the gradient at the current point, Nesterov ahead of it", figure)


LABS = (
    Lab(
        "valley",
        "A long valley",
        "Gradient descent zigzags where momentum is fast",
        ("S2-14", "S2-15", "S2-17", "S2-28"),
        in_the_valley,
    ),
    Lab(
        "saddle",
        "Off a saddle",
        "Zero gradient stalls descent; momentum, scaling and noise leave a saddle, noise a local minimum",
        ("S2-11", "S2-12"),
        off_the_saddle,
    ),
    Lab(
        "saddles-grow",
        "Minima become rare",
        "In many dimensions nearly every flat point is a saddle",
        ("S2-13",),
        how_common,
    ),
    Lab(
        "step-sizes",
        "Steps of every rule",
        "Under a constant gradient the steps of the rules have closed forms",
        ("S2-16", "S2-20", "S2-21", "S2-22", "S2-23", "S2-24", "S2-26"),
        step_sizes,
    ),
    Lab(
        "look-ahead",
        "A look ahead",
        "Nesterov's momentum takes the gradient at the point to which momentum leads",
        ("S2-17", "S2-18", "S2-19"),
        look_ahead,
    ),
    Lab("noisy-bowl", "A rate that falls", "With noise, a decaying rate ends nearer to the minimum", ("S2-29",), decay),
)
