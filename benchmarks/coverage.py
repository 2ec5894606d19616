"""How often 95 % intervals hold the truth: those of scores of drawn predictions, and those of the recipe's claims.

    python -m benchmarks.coverage [scores] [--redraws 2000] [--law NAME ...]
    python -m benchmarks.coverage claims [--table diamonds default] [--draws 60] [--rows 1000] [--seconds 3600]

The truth is the same score on a million rows of the law. Each law is drawn anew so many times; of every metric the
share of intervals that hold the truth is said, the shares of truths below and above, the median width, and how often
there was no interval. "gain" is the paired difference of two predictions. The section `claims` trains networks
(`benchmarks/claims.py`), `scores` none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import claims
from luthier.assess import Scoring, Units, measure, paired_difference, score

RESULTS = Path(__file__).parent / "results" / "coverage.jsonl"
TRUTH_ROWS = 1_000_000
VALUES, CLASSES = ("rmse", "mae", "r2"), ("accuracy", "balanced accuracy", "f1", "log loss", "auc")
TARGET = (0.93, 0.97)


class Drawn(NamedTuple):
    """Targets, two predictions of them, and what new data would bring anew."""

    y: np.ndarray
    one: np.ndarray
    other: np.ndarray
    units: Units = Units()


class Law(NamedTuple):
    """How test rows come about: `draw(generator, rows)`."""

    name: str
    metrics: tuple[str, ...]
    rows: int
    draw: Callable[[np.random.Generator, int], Drawn]


def values(noise: Callable[[np.random.Generator, int], np.ndarray]) -> Callable[[np.random.Generator, int], Drawn]:
    """A value that one prediction knows up to noise; the other misses more."""

    def draw(g: np.random.Generator, rows: int) -> Drawn:
        f = g.normal(size=rows)
        return Drawn(f + noise(g, rows), f, f + 0.3 * g.normal(size=rows))

    return draw


def classes(rarity: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Two classes with calibrated probabilities; the other prediction is noisier."""

    def draw(g: np.random.Generator, rows: int) -> Drawn:
        x = 1.5 * g.normal(size=rows)
        y = (g.random(rows) < _sigmoid(x + rarity)).astype(np.int64)
        return Drawn(y, _both(x + rarity), _both(0.7 * x + rarity + 0.7 * g.normal(size=rows)))

    return draw


def grouped_values(each: int, heavy: bool = False) -> Callable[[np.random.Generator, int], Drawn]:
    """Groups whose members share a deviation that no prediction knows, of geometric sizes."""

    def draw(g: np.random.Generator, groups: int) -> Drawn:
        who = np.repeat(np.arange(groups), g.geometric(1 / each, groups))
        shared = g.standard_t(5, groups) if heavy else g.normal(size=groups)
        f = g.normal(size=len(who))
        y = f + shared[who] + 0.5 * g.normal(size=len(who))
        return Drawn(y, f, f + 0.3 * g.normal(size=len(who)), Units("groups", who))

    return draw


def grouped_classes(each: int) -> Callable[[np.random.Generator, int], Drawn]:
    """Groups that are likelier to be positive, or less, than any prediction knows."""

    def draw(g: np.random.Generator, groups: int) -> Drawn:
        who = np.repeat(np.arange(groups), g.geometric(1 / each, groups))
        x = 1.5 * g.normal(size=len(who))
        y = (g.random(len(who)) < _sigmoid(x - 1 + g.normal(size=groups)[who])).astype(np.int64)
        return Drawn(y, _both(x - 1), _both(0.7 * x - 1 + 0.7 * g.normal(size=len(who))), Units("groups", who))

    return draw


def series(memory: float) -> Callable[[np.random.Generator, int], Drawn]:
    """A stationary series whose errors remember the one before."""

    def draw(g: np.random.Generator, rows: int) -> Drawn:
        from scipy.signal import lfilter

        noise = (1 - memory**2) ** 0.5 * g.normal(size=rows)
        noise[0] /= (1 - memory**2) ** 0.5
        error, f = lfilter([1.0], [1.0, -memory], noise), g.normal(size=rows)
        return Drawn(f + error, f, f + 0.3 * g.normal(size=rows), Units("blocks", np.arange(rows)))

    return draw


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-z)))


def _both(z: np.ndarray) -> np.ndarray:
    return np.stack([_sigmoid(-z), _sigmoid(z)], 1)


def gaussian(g: np.random.Generator, rows: int) -> np.ndarray:
    """Noise with light tails."""
    return 0.7 * g.normal(size=rows)


def skewed(g: np.random.Generator, rows: int) -> np.ndarray:
    """Noise of a long tail on one side."""
    return g.exponential(size=rows) - 1


def heavy(freedom: int) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Student's noise: with 3 degrees of freedom the squared errors have no variance."""
    return lambda g, rows: 0.7 * g.standard_t(freedom, rows)


LAWS = (
    Law("plain values, 100 rows", VALUES, 100, values(gaussian)),
    Law("plain values, 1,000 rows", VALUES, 1000, values(gaussian)),
    Law("skewed values, 100 rows", VALUES, 100, values(skewed)),
    Law("heavy tails (t5), 100 rows", VALUES, 100, values(heavy(5))),
    Law("heavy tails (t3), 100 rows", VALUES, 100, values(heavy(3))),
    Law("heavy tails (t3), 1,000 rows", VALUES, 1000, values(heavy(3))),
    Law("two classes, 100 rows", CLASSES, 100, classes(0.0)),
    Law("two classes, 1,000 rows", CLASSES, 1000, classes(0.0)),
    Law("rare class (8 %), 200 rows", CLASSES, 200, classes(-3.5)),
    Law("8 groups of values", VALUES, 8, grouped_values(20)),
    Law("12 groups of values", VALUES, 12, grouped_values(20)),
    Law("40 groups of values", VALUES, 40, grouped_values(10)),
    Law("40 groups of values, heavy tails", VALUES, 40, grouped_values(10, heavy=True)),
    Law("200 groups of values", VALUES, 200, grouped_values(5)),
    Law("8 groups of two classes", CLASSES, 8, grouped_classes(20)),
    Law("12 groups of two classes", CLASSES, 12, grouped_classes(20)),
    Law("40 groups of two classes", CLASSES, 40, grouped_classes(10)),
    Law("200 groups of two classes", CLASSES, 200, grouped_classes(5)),
    Law("series, 400 rows", VALUES, 400, series(0.5)),
)


def truths(law: Law) -> dict[str, float]:
    """Scores, and what the first prediction gains over the second, on very many rows."""
    each = 1 if law.rows >= TRUTH_ROWS else max(1, len(law.draw(np.random.default_rng(1), 1000).y) // 1000)
    drawn = law.draw(np.random.default_rng(0), TRUTH_ROWS // each)
    result = {}
    for metric in law.metrics:
        one, other = (score(metric, drawn.y, prediction) for prediction in (drawn.one, drawn.other))
        result[metric] = one
        result[f"gain in {metric}"] = other - one if metric in ("rmse", "mae", "log loss") else one - other
    return result


def redraw(law: Law, seed: int) -> dict[str, tuple[float | None, float | None]]:
    """The intervals of one draw."""
    drawn, result = law.draw(np.random.default_rng(seed + 1), law.rows), {}
    scoring = Scoring(units=drawn.units)
    for metric in law.metrics:
        one = measure(metric, drawn.y, drawn.one, scoring, seed=seed)
        gain = paired_difference(metric, drawn.y, drawn.one, drawn.other, scoring, seed=seed)
        result |= {metric: (one.low, one.high), f"gain in {metric}": (gain.low, gain.high)}
    return result


def rows_of(law: Law, redraws: int) -> list[dict[str, Any]]:
    """A row for each metric of a law."""
    torch.set_num_threads(1)
    true, intervals = truths(law), [redraw(law, seed) for seed in range(redraws)]
    rows = []
    for name, value in true.items():
        ends = np.array([one[name] for one in intervals if one[name][0] is not None], dtype=float).reshape(-1, 2)
        if not len(ends):
            continue
        below, above = float((value < ends[:, 0]).mean()), float((value > ends[:, 1]).mean())
        held = {"coverage": round(1 - below - above, 4), "below": round(below, 4), "above": round(above, 4)}
        width = float(np.median(ends[:, 1] - ends[:, 0]))
        beside = {"truth": round(value, 5), "median width": round(width, 5), "without": redraws - len(ends)}
        rows.append({"law": law.name, "score": name, "redraws": redraws, **held, **beside})
    return rows


def main() -> None:
    """Print and keep a row for each law and score, or a line for each draw of the recipe's claims."""
    parser = argparse.ArgumentParser()
    parser.add_argument("section", nargs="?", choices=("scores", "claims"), default="scores")
    parser.add_argument("--redraws", type=int, default=2000)
    parser.add_argument("--law", nargs="*", default=[law.name for law in LAWS])
    parser.add_argument("--table", nargs="*", choices=tuple(claims.TARGETS), default=list(claims.TARGETS))
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    asked = parser.parse_args()
    if asked.section == "claims":
        claims.run(asked.table, asked.draws, asked.rows, asked.seconds)
        return
    scores(asked)


def scores(asked: argparse.Namespace) -> None:
    """Print and keep a row for each law and score."""
    laws = [law for law in LAWS if law.name in asked.law]
    with ProcessPoolExecutor(2) as pool:
        rows = [
            row for result in pool.map(rows_of_named, [(law.name, asked.redraws) for law in laws]) for row in result
        ]
    for row in rows:
        mark = "" if TARGET[0] <= row["coverage"] <= TARGET[1] else "  <- outside 93 to 97 %"
        print(f"{row['law']:34}{row['score']:28}{row['coverage']:7.1%}  width {row['median width']:.3g}{mark}")
    inside = sum(TARGET[0] <= row["coverage"] <= TARGET[1] for row in rows)
    print(f"{inside} of {len(rows)} lie between 93 and 97 %")
    if len(laws) == len(LAWS):
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))


def rows_of_named(asked: tuple[str, int]) -> list[dict[str, Any]]:
    """`rows_of` by a law's name: laws themselves do not travel to another process."""
    return rows_of(next(law for law in LAWS if law.name == asked[0]), asked[1])


if __name__ == "__main__":
    main()
