"""Random search against a grid, scales that are searched evenly, and coarse to fine."""

from __future__ import annotations

import numpy as np
from scipy import stats

from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import Bench, Lab

TRIALS = 25


def one_axis(x: np.ndarray) -> np.ndarray:
    """A figure of merit that depends on the first number alone, best at 0.37."""
    result: np.ndarray = np.exp(-((x[..., 0] - 0.37) ** 2) / 0.002)
    return result


def grid_or_random(bench: Bench) -> None:
    """Twenty-five trials each."""
    axis = (np.arange(5) + 0.5) / 5
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    bench.number("values of each number that a grid of 25 tries", 5, len(np.unique(grid[:, 0])), 0)
    wins, best = 0, []
    for seed in bench.seeds(500, 200):
        drawn = np.random.default_rng(seed).random((TRIALS, 2))
        wins += one_axis(drawn).max() > one_axis(grid).max()
        best.append(float(one_axis(drawn).max()))
    bench.number("values that 25 random trials try", 25, len(np.unique(drawn[:, 0])), 0)
    total = len(best)
    bench.holds(
        "where one of two numbers matters, random search finds a better setting in most seeds",
        wins > 0.6 * total,
        f"{wins} of {total} seeds; {np.mean(best):.2f} on average, the grid {one_axis(grid).max():.2f}",
    )
    figure = empty_figure("what matters", "what does not")
    figure.add_scatter(x=grid[:, 0], y=grid[:, 1], mode="markers", name="grid", marker={"color": ORANGE})
    figure.add_scatter(x=drawn[:, 0], y=drawn[:, 1], mode="markers", name="random", marker={"color": BLUE})
    bench.draw("Five values of the important number, or twenty-five", figure)


def scales(bench: Bench) -> None:
    """Rates, and memories of averages."""
    rng = np.random.default_rng(0)
    r = rng.uniform(-4, 0, 100_000)
    rates = 10**r
    shares = [float(((rates >= 10.0**k) & (rates < 10.0 ** (k + 1))).mean()) for k in range(-4, 0)]
    for share in shares:
        bench.number("share of rates in a decade, sampled by 10^r", 0.25, share, 0.006)
    plain = rng.uniform(1e-4, 1, 100_000)
    bench.number("share above 0.1, sampled evenly", 0.90, float((plain > 0.1).mean()), 0.005)
    beta = 1 - 10 ** rng.uniform(-3, -1, 20_000)
    bench.holds(
        "momenta lie between 0.9 and 0.999",
        bool((beta >= 0.9).all() and (beta <= 0.999).all()),
        f"{beta.min():.4f} to {beta.max():.4f}",
    )
    p = float(stats.kstest((np.log10(1 - beta) + 3) / 2, "uniform").pvalue)
    bench.holds("log10(1 - beta) is even, by Kolmogorov and Smirnov", p > 0.001, f"p = {p:.2f}")
    for value, printed in ((0.9, 10.0), (0.99, 100.0), (0.999, 1000.0)):
        bench.number(f"length of an average with beta = {value}, in terms", printed, 1 / (1 - value), 1e-6 * printed)
    layers = np.random.default_rng(1).choice([2, 3, 4], 3000)
    p = float(stats.chisquare(np.bincount(layers)[2:]).pvalue)
    bench.holds("layers are drawn evenly from 2, 3, 4", p > 0.001, f"p = {p:.2f}")


def refined(bench: Bench) -> None:
    """A second round in the neighbourhood of the best."""
    better, contained = 0, True
    reached: dict[str, list[float]] = {"coarse to fine": [], "one round": []}
    for seed in bench.seeds(300, 100):
        rng = np.random.default_rng(seed)
        first = rng.random((15, 2))
        top = first[np.argsort(-_hill(first))[:4]]
        low, high = top.min(0), top.max(0)
        contained &= bool((low >= 0).all() and (high <= 1).all())
        second = np.concatenate([top[:1], low + (high - low) * rng.random((15, 2))])
        better += bool(_hill(second).max() >= _hill(first).max())
        reached["coarse to fine"].append(float(_hill(second).max()))
        reached["one round"].append(float(_hill(rng.random((30, 2))).max()))
    count = len(reached["one round"])
    bench.holds("the second box lies within the first", contained, f"in all {count} seeds")
    bench.number("share of seeds in which the best never gets worse", 1.0, better / count, 0.0)
    means = {name: float(np.mean(values)) for name, values in reached.items()}
    bench.holds(
        "two rounds find more than one of as many trials", means["coarse to fine"] > means["one round"], f"{means}"
    )
    wrong = []
    for seed in range(40):  # a rate that matters by its power of ten, searched evenly and then refined
        rng, low_, high_ = np.random.default_rng(seed), 1e-4, 1.0
        rounds = 0
        while rounds < 12:
            rates = rng.uniform(low_, high_, 25)
            best = float(rates[np.argmin(np.abs(np.log10(rates) + 3))])
            rounds += 1
            if abs(np.log10(best) + 3) < 0.1:
                break
            low_, high_ = max(1e-4, best / 5), min(1.0, best * 2)
        wrong.append(rounds)
    bench.holds(
        "searched on the wrong scale, refining still finds it, in more rounds",
        max(wrong) < 12 and np.mean(wrong) > 1.5,
        f"{np.mean(wrong):.1f} rounds on average",
    )


def _hill(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = np.exp(-(((x - np.array([0.3, 0.7])) / 0.15) ** 2).sum(-1))
    return result


LABS = (
    Lab(
        "grid-or-random",
        "Random search",
        "Where few numbers matter, random search tries more values of them than a grid",
        ("S0-03",),
        grid_or_random,
    ),
    Lab(
        "scales",
        "Scales",
        "Rates are sampled by their powers of ten, momenta by the length of their average",
        ("S0-05", "S0-06", "S0-07"),
        scales,
    ),
    Lab(
        "coarse-to-fine",
        "Coarse to fine",
        "A second round near the best of the first finds more",
        ("S0-04", "S0-08"),
        refined,
    ),
)
