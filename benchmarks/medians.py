"""The median learnt or measured, by `--metric mae`: errors on sealed rows beside those of the mean and of trees.

    python -m benchmarks.medians [stackoverflow | ames | diamonds] [splits] [budget]

Needs `LUTHIER_DATA`. Each split is a run of its own with another seed. `asked` is the run's answer; `mean` is the same
networks' mean; `trees` are scikit-learn's, boosted by the absolute error (a baseline of each run). The first argument
may be followed by a table's first rows: `diamonds:6000`. A line for each run is added to `results/medians.jsonl`.
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
from luthier.data import read_source

RESULTS = Path(__file__).parent / "results" / "medians.jsonl"
TARGETS = {"ames": "Sale_Price", "diamonds": "price", "stackoverflow": "Salary"}


def measured(name: str, seed: int, budget: str) -> dict[str, Any]:
    """One run's errors on its sealed rows."""
    table, _, rows = name.partition(":")
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv"
    frame = read_source(path).frame
    if rows:
        frame = frame.sample(int(rows), seed=seed)
    result = luthier.fit(frame, target=TARGETS[table], metric="mae", budget=budget, seed=seed)
    stored = pl.read_parquet(result.path / "judged.parquet")
    sealed, y = frame[stored["row"].to_list()], stored["true"].to_numpy()
    errors = {
        answer: np.abs(result.model.answering(answer).predict(sealed).to_numpy() - y) for answer in ("median", "mean")
    }
    trees = next(row for row in result.scores["baselines"] if row["name"] == "gradient-boosted trees")
    losses = [
        record["chosen"] for record in result.ledger if record["kind"] == "decision" and record["code"] == "experiment"
    ]
    return {
        "table": name,
        "seed": seed,
        "budget": budget,
        "rows": len(y),
        "asked": float(errors["median"].mean()),
        "mean": float(errors["mean"].mean()),
        "trees": trees["test"]["value"],
        "adopted": losses,
    }


def main(name: str = "ames", splits: str = "3", budget: str = "30s") -> None:
    """Run, and print the means with the standard errors of paired differences."""
    runs = []
    for seed in range(int(splits)):
        runs.append(measured(name, seed, budget))
        with RESULTS.open("a") as file:
            file.write(json.dumps(runs[-1]) + "\n")
    asked = np.array([run["asked"] for run in runs])
    print(f"{name}: mean absolute error {asked.mean():.6g}")
    for other in ("mean", "trees"):
        gap = asked - np.array([run[other] for run in runs])
        error = gap.std(ddof=1) / len(gap) ** 0.5 if len(gap) > 1 else float("nan")
        print(f"  less that of {other}: {gap.mean():.4g} +- {error:.2g} ({gap.mean() / asked.mean():+.1%})")


if __name__ == "__main__":
    main(*sys.argv[1:])
