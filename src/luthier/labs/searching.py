"""Random search against a grid, scales that are searched evenly, and coarse to fine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.labs.lab import DOCUMENT, FORMULA, Bench, Lab
from luthier.messages import Message
from luthier.search import Number, Sampler, Space, Trial
from luthier.search.spaces.samplers import CoarseToFine, Grid, Random, Request
from luthier.search.spaces.scales import LOG, UNIFORM, WINDOW, Scale

Merit = Callable[[np.ndarray], float | np.ndarray]

TRIALS = 25
PLANE = Space({"first": Number(0.0, 1.0), "second": Number(0.0, 1.0)})


def tried(
    sampler: Sampler, merit: Merit, trials: int, seed: int, space: Space = PLANE, at_once: int = 0
) -> list[Trial]:
    """What a sampler tries, told after each round what came of it; the larger merit is the better."""
    told: list[Trial] = []
    while len(told) < trials:
        count = min(at_once or trials, trials - len(told))
        proposal = sampler.ask(Request(space, count, len(told), trials, told, seed))
        for values in proposal.settings:
            row = np.array([float(value) for value in values.values()])
            told.append(Trial(len(told), values, 0, "", "complete", -float(merit(row))))
    return told


def places(trials: Sequence[Trial]) -> np.ndarray:
    """Their numbers [trials, D]."""
    return np.array([[float(value) for value in trial.values.values()] for trial in trials])


def one_axis(x: np.ndarray) -> np.ndarray:
    """A figure of merit that depends on the first number alone, best at 0.37."""
    result: np.ndarray = np.exp(-((x[..., 0] - 0.37) ** 2) / 0.002)
    return result


def grid_or_random(bench: Bench) -> None:
    """Twenty-five trials each, by the search's own samplers."""
    grid = places(tried(Grid(), one_axis, TRIALS, 0))
    bench.number("values of each number that a grid of 25 tries", 5, len(np.unique(grid[:, 0])), 0, of=DOCUMENT)
    wins, best = 0, []
    for seed in bench.seeds(500, 200):
        drawn = places(tried(Random(), one_axis, TRIALS, seed))
        wins += one_axis(drawn).max() > one_axis(grid).max()
        best.append(float(one_axis(drawn).max()))
    bench.number("values that 25 random trials try", 25, len(np.unique(drawn[:, 0])), 0, of=DOCUMENT)
    total = len(best)
    bench.holds(
        "where one of two numbers matters, random search finds a better setting in most seeds",
        wins > 0.6 * total,
        Message(
            "{wins} of {total} seeds; {np:.2f} on average, the grid {value:.2f}",
            wins=wins,
            total=total,
            np=np.mean(best),
            value=one_axis(grid).max(),
        ),
    )
    figure = empty_figure("what matters", "what does not")
    figure.add_scatter(x=grid[:, 0], y=grid[:, 1], mode="markers", name="grid", marker={"color": ORANGE})
    figure.add_scatter(x=drawn[:, 0], y=drawn[:, 1], mode="markers", name="random", marker={"color": BLUE})
    bench.draw("Five values of the important number, or twenty-five", figure)


def drawn(dimension: Number, count: int) -> np.ndarray:
    """Values of a dimension at shares drawn uniformly."""
    return np.array([float(dimension.at(share)) for share in np.random.default_rng(0).random(count)])


def scales(bench: Bench) -> None:
    """Rates, memories of averages, and whole numbers, as the search draws them."""
    rates = drawn(Number(1e-4, 1.0, scale="log"), 20_000)
    for k in range(-4, 0):
        share = float(((rates >= 10.0**k) & (rates < 10.0 ** (k + 1))).mean())
        what = Message("share of rates from 10^{k} to 10^{k_2}, sampled by 10^r", k=k, k_2=k + 1)
        bench.number(what, 0.25, share, 0.012)  # four standard errors
    plain = drawn(Number(1e-4, 1.0), 20_000)
    bench.number("share above 0.1, sampled evenly", 0.90, float((plain > 0.1).mean()), 0.009)
    beta = drawn(Number(0.9, 0.999, scale="window"), 20_000)
    bench.holds(
        "momenta lie between 0.9 and 0.999",
        bool((beta >= 0.9).all() and (beta <= 0.999).all()),
        Message("{beta:.4f} to {beta_2:.4f}", beta=beta.min(), beta_2=beta.max()),
    )
    p = float(stats.kstest((np.log10(1 - beta) + 3) / 2, "uniform").pvalue)
    bench.holds("log10(1 - beta) is even, by Kolmogorov and Smirnov", p > 0.001, f"p = {p:.2f}")
    for value, printed, of in ((0.9, 10.0, DOCUMENT), (0.99, 100.0, DOCUMENT), (0.999, 1000.0, FORMULA)):
        terms = 10.0 ** WINDOW.forward(value)
        bench.number(
            Message("length of an average with beta = {value}, in terms", value=value),
            printed,
            terms,
            1e-6 * printed,
            of=of,
        )
    layers, units = drawn(Number(2, 4, integer=True), 3000), drawn(Number(50, 100, integer=True), 20_000)
    p = float(stats.chisquare([(layers == n).sum() for n in (2, 3, 4)]).pvalue)
    bench.holds("layers are drawn evenly from 2, 3, 4", p > 0.001, f"p = {p:.2f}")
    p = float(stats.chisquare([(units == n).sum() for n in range(50, 101)]).pvalue)
    whole = bool((units % 1 == 0).all())
    bench.holds("units are whole numbers, each as likely", whole and p > 0.001, f"p = {p:.2f}")


def refined(bench: Bench) -> None:
    """A second round in the neighbourhood of the best."""
    better, contained = 0, True
    reached: dict[str, list[float]] = {"coarse to fine": [], "one round": []}
    for seed in bench.seeds(300, 60):
        sampler = CoarseToFine(generations=2, few=0.25)
        trials = tried(sampler, _hill, 30, seed, at_once=15)
        box, _ = sampler.box(Request(PLANE, 15, 15, 30, trials[:15], seed), 1, 15)
        second, both = places(trials[15:]), places(trials)
        low, high = np.array(list(box.values())).T
        inside = ((second >= low - 1e-9) & (second <= high + 1e-9)).all()
        contained &= bool(inside and (low >= 0).all() and (high <= 1).all() and (high - low < 0.75).all())
        better += bool(_hill(second).max() >= _hill(both).max())
        reached["coarse to fine"].append(float(_hill(both).max()))
        reached["one round"].append(float(_hill(places(tried(Random(), _hill, 30, seed))).max()))
    count = len(reached["one round"])
    bench.holds(
        "the second box lies within the first and is smaller, on both axes",
        contained,
        Message("in all {count} seeds", count=count),
    )
    share = better / count
    bench.holds("in most seeds the second round holds the best", share > 0.7, Message("in {share:.0%}", share=share))
    means = {name: float(np.mean(values)) for name, values in reached.items()}
    bench.holds(
        "two rounds find more than one of as many trials", means["coarse to fine"] > means["one round"], f"{means}"
    )
    _wrong_scale(bench)


def _wrong_scale(bench: Bench) -> None:
    """A rate that matters by its power of ten, best at 0.001, searched on its own scale and on the plain one."""
    ends = {}
    for scale in (UNIFORM, LOG):
        space = Space({"rate": Number(1e-4, 1.0, scale=scale)})
        rows = [places(tried(CoarseToFine(12), _near, 240, seed, space, at_once=20))[:, 0] for seed in range(10)]
        found = [np.abs(np.log10(row) + 3) < 0.1 for row in rows]
        ends[scale.name] = [int(np.argmax(row)) // 20 + 1 if row.any() else 13 for row in found]
    plain, log = (float(np.mean(ends[scale.name])) for scale in (UNIFORM, LOG))
    bench.holds(
        "searched on the wrong scale, refining still finds it, in more rounds",
        max(ends["uniform"]) < 13 and plain > log,
        Message("{plain:.1f} rounds on average, on the log scale {log:.1f}", plain=plain, log=log),
    )
    cube = Scale("cube root", lambda x: x ** (1 / 3), lambda u: u**3)
    middle = float(Number(0.0, 8.0, scale=cube).at(0.5))
    bench.number(
        "a scale of one's own is a transform and its inverse: half-way from 0 to 8 by cube roots", 1.0, middle, 1e-9
    )


def _near(x: np.ndarray) -> float:
    return -abs(float(np.log10(x[0])) + 3)


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
