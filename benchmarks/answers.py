"""What an answer that fits the metric is worth, given the true law: no training, so that nothing else is measured.

Rows are drawn from written laws. The answer that Luthier gives for the metric, the usual one (the mean, the likeliest
class) and the best there is are scored on the same draws; regret is how far a score lies behind the best one's. Of
several classes, whose best decision has no closed form, the best is the one that is fitted on the very draws.

    python benchmarks/answers.py [--draws 200000]

With `--trained 20000` networks learn such laws from so many rows instead, within `--budget`, and their answers are
judged on as many draws; the usual answer is that of the same networks, and the best that of the true law.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from scipy import optimize, stats

import luthier
from luthier.assess import best_threshold, score, seen_by
from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.seeds import numpy_generator
from luthier.task import (
    answer_for,
    answer_named,
    costs_as_text,
    fitted_classes,
    law_around,
    of_costs,
    residual_atoms,
)

POISSON = "Poisson, rate 0.2 to 0.6"
ATOMS = (np.arange(400) + 0.5) / 400
LEVELS = ["a", "b", "c", "d", "e"]
SEALED = 0.05  # of the rows that networks are given: they are judged on others
COSTS = np.array([[0.0, 1.0, 1.0], [4.0, 0.0, 1.0], [20.0, 5.0, 0.0]])


class Regret(NamedTuple):
    """How far two answers lie behind the best: relative, or where larger is better absolute."""

    law: str
    metric: str
    ours: float
    usual: float


def _numbers() -> Iterator[tuple[str, str, Any]]:
    """Laws of one row's value, from SciPy, with metrics whose best answer is not the mean."""
    for metric in ("mae", "mape", "smape", "rmsle", "median absolute error", "pinball 0.9", "pinball 0.1"):
        yield "log-normal, deviation 0.8", metric, stats.lognorm(0.8, scale=5.0)
    for rate in (0.2, 0.4, 0.6):
        yield f"Poisson, rate {rate}", "mae", stats.poisson(rate)
    for metric in ("mae", "pinball 0.9", "median absolute error"):
        yield "beta(0.6, 4)", metric, stats.beta(0.6, 4)


def _of_numbers(draws: int) -> Iterator[Regret]:
    rng = numpy_generator(0, "answers")
    for name, metric, law in _numbers():
        atoms, y = law.ppf(ATOMS), law.rvs(draws, random_state=rng).astype(float)
        kept = residual_atoms(atoms - atoms.mean())
        whole = law_around(TargetTransform(), np.array([atoms.mean()]), kept)
        ours, usual = float(answer_named(answer_for(metric))(whole)[0]), float(y.mean())

        def at(value: float, metric: str = metric, y: np.ndarray = y) -> float:
            return score(metric, y, np.full(len(y), value))

        grid = np.quantile(y, np.linspace(0.005, 0.995, 60))
        start = min(grid, key=at)
        span = (max(0.0, start - 0.2 * y.std()), start + 0.2 * y.std())
        best = min(at(float(start)), at(float(optimize.minimize_scalar(at, bounds=span, method="bounded").x)), at(ours))
        yield Regret(name, metric, at(ours) / best - 1, at(usual) / best - 1)


def _chances(name: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Rows' true probabilities [N, C]."""
    return _chances_at(name, rng.normal(size=(rows, 2)))


def _chances_at(name: str, numbers: np.ndarray) -> np.ndarray:
    """The same where rows' numbers [N, 2] are these."""
    x, rows = numbers[:, 0], len(numbers)
    if name == "two classes, one of them rare":
        p = 1 / (1 + np.exp(3.2 - 1.2 * x))
        return np.stack([1 - p, p], 1)
    if name == "ordered levels":
        cuts = np.array([-1.5, 0.9, 2.2, 2.8])
        below = 1 / (1 + np.exp(-(cuts - 1.3 * x[:, None])))
        return np.diff(np.concatenate([np.zeros((rows, 1)), below, np.ones((rows, 1))], 1), axis=1)
    logits = np.stack([np.full(rows, 2.0), 0.5 + x, -1.2 + 1.5 * numbers[:, 1]], 1)
    return np.asarray(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))


CLASSES = (
    *(("two classes, one of them rare", metric) for metric in ("f1", "mcc", "kappa", "balanced accuracy")),
    ("ordered levels", "quadratic kappa"),
    *(("three classes, one of them rare", metric) for metric in ("f1 macro", "balanced accuracy", "mcc")),
)


def drawn(name: str, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes [N] and their true probabilities [N, C]."""
    rng = numpy_generator(seed, "answers", name)
    P = _chances(name, rows, rng)
    return (rng.random((rows, 1)) > P.cumsum(1)).sum(1), P


def _of_classes(draws: int) -> Iterator[Regret]:
    for name, metric in CLASSES:
        (y, P), (known, shares) = drawn(name, draws, 1), drawn(name, draws // 10, 2)
        if P.shape[1] == 2:
            ours = score(metric, y, seen_by(metric, P, best_threshold(metric, known, shares)))
            best = max(score(metric, y, seen_by(metric, P, at)) for at in np.quantile(P[:, 1], np.linspace(0, 1, 400)))
        else:
            ours = score(metric, y, seen_by(metric, P, 0.5, fitted_classes(metric, known, shares)))
            best = score(metric, y, seen_by(metric, P, 0.5, fitted_classes(metric, y, P)))
        yield Regret(name, metric, max(best, ours) - ours, max(best, ours) - score(metric, y, P))
    y, P = drawn("three classes, one of them rare", draws, 1)
    paid = [float(COSTS[y, taken].mean()) for taken in (of_costs(COSTS).classes(P), P.argmax(1))]
    least = min(*paid, *(float(COSTS[y, c].mean()) for c in range(3)))
    yield Regret("three classes, one of them rare", "cost", paid[0] / least - 1, paid[1] / least - 1)


def _trained() -> Iterator[tuple[str, str]]:
    """The same pairs; the rate of Poisson's law follows from the row."""
    yield from dict.fromkeys(
        (POISSON if name.startswith("Poisson") else name, metric) for name, metric, _ in _numbers()
    )
    yield from CLASSES
    yield "three classes, one of them rare", "cost"


def _by_row(name: str, rows: int, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Rows of a law that depends on two numbers, and what is to be known of it: values of equal chance [N, 400], or
    probabilities [N, C]."""
    rng = numpy_generator(seed, "answers", "trained", name)
    x = rng.normal(size=(rows, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    if name.startswith("log-normal"):
        laws = np.exp(1.6 + 0.5 * x[:, :1] - 0.3 * x[:, 1:] ** 2 + 0.8 * stats.norm.ppf(ATOMS))
        y = np.exp(1.6 + 0.5 * x[:, 0] - 0.3 * x[:, 1] ** 2 + 0.8 * rng.normal(size=rows))
    elif name.startswith("beta"):
        shapes = 0.6 * np.exp(0.4 * x[:, :1]), 4.0 * np.exp(0.3 * x[:, 1:])
        laws = stats.beta.ppf(ATOMS, *shapes)
        y = rng.beta(shapes[0][:, 0], shapes[1][:, 0])
    elif name == POISSON:
        rate = 0.2 + 0.4 / (1 + np.exp(-2 * x[:, :1] - x[:, 1:]))
        laws, y = stats.poisson.ppf(ATOMS, rate), rng.poisson(rate[:, 0]).astype(float)
    else:
        laws = _chances_at(name, x)
        y = np.array(LEVELS)[(rng.random((rows, 1)) > laws.cumsum(1)).sum(1)]
    return frame.with_columns(y=pl.Series(y)), laws


def _paid(y: np.ndarray, decided: Any) -> float:
    """The mean cost of decisions, by their names."""
    return float(COSTS[np.searchsorted(LEVELS, y), np.searchsorted(LEVELS, np.asarray(decided))].mean())


def _as_text(costs: np.ndarray) -> str:
    """A matrix as requests keep it."""
    names = LEVELS[: len(costs)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "costs.csv"
        pl.DataFrame({"true": names} | dict(zip(names, costs.T.tolist(), strict=True))).write_csv(path)
        return costs_as_text(str(path))


def _by_networks(rows: int, draws: int, budget: str) -> Iterator[Regret]:
    for name, metric in _trained():
        (table, _), (new, laws) = _by_row(name, round(rows / (1 - SEALED)), 1), _by_row(name, draws, 2)
        asked: dict[str, Any] = {"order": ",".join(LEVELS[: laws.shape[1]])} if name == "ordered levels" else {}
        asked |= {"task": "count"} if name == POISSON else {}
        asked |= {"costs": _as_text(COSTS)} if metric == "cost" else {"metric": metric}
        model = luthier.fit(table, target="y", budget=budget, test_share=SEALED, **asked).model
        if not model.task.is_classes:
            y = new["y"].to_numpy()
            answers = [model.predict(new).to_numpy(), model.answering("mean").predict(new).to_numpy()]
            ours, usual, best = (score(metric, y, some) for some in (*answers, answer_named(answer_for(metric))(laws)))
            yield Regret(name, metric, ours / best - 1, usual / best - 1)
            continue
        names = np.array(model.task.classes)
        if metric == "cost":
            likeliest = names[model.predict_proba(new).to_numpy().argmax(1)]
            decided = np.array(LEVELS)[of_costs(COSTS).classes(laws)]
            ours, usual, best = (_paid(new["y"].to_numpy(), some) for some in (model.predict(new), likeliest, decided))
            yield Regret(name, metric, ours / best - 1, usual / best - 1)
            continue
        places = np.array([LEVELS.index(level) for level in names])
        y, P = np.searchsorted(np.sort(names), new["y"].to_numpy()), laws[:, places]
        y = np.argsort(names)[y]
        shown = model.predict_proba(new).to_numpy()
        ours, usual = (score(metric, y, some) for some in (model.seen_by(metric, shown), shown))
        if P.shape[1] == 2:
            best = score(metric, y, seen_by(metric, P, best_threshold(metric, y, P)))
        else:
            best = score(metric, y, seen_by(metric, P, 0.5, fitted_classes(metric, y, P)))
        yield Regret(name, metric, best - ours, best - usual)


def measured(draws: int) -> list[Regret]:
    """All pairs of a law and a metric."""
    torch.set_num_threads(1)
    return [*_of_numbers(draws), *_of_classes(draws)]


def main() -> None:
    """Measure, and print a line for each pair."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=200_000)
    parser.add_argument("--trained", type=int, default=0)
    parser.add_argument("--budget", default="60s")
    asked = parser.parse_args()
    found = _by_networks(asked.trained, asked.trained, asked.budget) if asked.trained else measured(asked.draws)
    print(f"{'law':34} {'metric':24} {'ours':>8} {'usual':>8}")
    for one in found:
        unit = "" if one.metric != "cost" and metric_named(one.metric).larger_is_better else " %"
        ours, usual = (100 * value if unit else value for value in (one.ours, one.usual))
        print(f"{one.law:34} {one.metric:24} {ours:8.3f} {usual:8.3f}{unit}", flush=True)


if __name__ == "__main__":
    main()
