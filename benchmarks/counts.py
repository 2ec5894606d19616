"""Counts: Poisson deviance of visits to a doctor beside baselines that learn by it, and what 90 % intervals hold.

    python -m benchmarks.counts [splits] [budget]

Needs `LUTHIER_DATA`. Each split is a run of its own with another seed; a budget of steps gives the same figures on any
machine. Intervals of whole numbers hold more than they say. Whether their law is right shows in the part of it between
5 and 95 %, with ends held by lot: 90 % of new counts lie there. A line for each run is added to `results/counts.jsonl`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luthier
from luthier.kinds.count_law import at_most

RESULTS = Path(__file__).parent / "results" / "counts.jsonl"
METRIC = "poisson deviance"


def measured(seed: int, budget: str) -> dict[str, Any]:
    """One run on its sealed rows."""
    table = pl.read_csv(Path(os.environ["LUTHIER_DATA"]) / "tables" / "visits.csv")
    result = luthier.fit(table, target="visits", metric=METRIC, budget=budget, seed=seed)
    stored = pl.read_parquet(result.path / "judged.parquet")
    sealed, y = table[stored["row"].to_list()], stored["true"].to_numpy()
    ends, mean = result.model.predict_interval(sealed), result.model.predict(sealed).to_numpy()
    low, high = (ends[name].to_numpy() for name in ("low", "high"))
    return {
        "seed": seed,
        "budget": budget,
        "kind": result.model.task.kind,
        "network": result.scores["headline"]["value"],
        "baselines": {row["name"]: row["test"]["value"] for row in result.scores["baselines"]},
        "inside": float(((low <= y) & (y <= high)).mean()),
        "law": _by_lot(result.model.transform.dispersion, y, mean),
        "lowest end": float(low.min()),
    }


def _by_lot(dispersion: float | None, y: np.ndarray, mean: np.ndarray, part: float = 0.9) -> float | None:
    """The share of counts between the ends of a part of their law, those at an end by lot; None without a law."""
    if dispersion is None:
        return None
    upto, below, high = at_most(y, mean, dispersion), at_most(y - 1, mean, dispersion), (1 + part) / 2
    inside = np.clip(np.minimum(upto, high) - np.maximum(below, 1 - high), 0, None)
    return float((inside / (upto - below)).mean())


def main(splits: str = "5", budget: str = "1500steps") -> None:
    """Run, and print the means with the standard errors of paired differences."""
    runs = []
    for seed in range(int(splits)):
        runs.append(measured(seed, budget))
        with RESULTS.open("a") as file:
            file.write(json.dumps(runs[-1]) + "\n")
    ours = np.array([run["network"] for run in runs])
    print(f"{METRIC} {ours.mean():.4f}; inside {np.mean([run['inside'] for run in runs]):.3f}", end="; ")
    print(f"by the law {[run['law'] for run in runs]}; lowest end {min(run['lowest end'] for run in runs)}")
    for name in runs[0]["baselines"]:
        gap = ours - np.array([run["baselines"].get(name, np.nan) for run in runs])
        error = gap.std(ddof=1) / len(gap) ** 0.5 if len(gap) > 1 else float("nan")
        print(f"  less that of {name}: {gap.mean():+.4f} +- {error:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
