"""Ordered levels: the cut of `diamonds` by quadratic kappa, from cumulative logits and from networks of plain classes.

    python -m benchmarks.ordered [splits] [budget]

Needs `LUTHIER_DATA`. Each split is a run of its own with another seed. Both ways answer with cuts on the expected
level, fitted out of fold; beside them stands the likeliest class of the same networks, on the same sealed rows. A line
for each run is added to `results/ordered.jsonl`.
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
from luthier.assess import score

RESULTS = Path(__file__).parent / "results" / "ordered.jsonl"
LEVELS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
METRIC = "quadratic kappa"
WAYS: dict[str, dict[str, str]] = {
    "cumulative logits": {"order": ",".join(f"{place} {level}" for place, level in enumerate(LEVELS))},
    "classes": {"task": "multiclass"},
}


def measured(way: str, seed: int, budget: str) -> dict[str, Any]:
    """The metric of one run's answer and of its likeliest class, on its sealed rows."""
    table = pl.read_csv(Path(os.environ["LUTHIER_DATA"]) / "tables" / "diamonds.csv")
    numbered = {level: f"{place} {level}" for place, level in enumerate(LEVELS)}  # so that classes are in their order
    table = table.with_columns(pl.col("cut").replace_strict(numbered))
    result = luthier.fit(table, target="cut", metric=METRIC, budget=budget, seed=seed, **WAYS[way])
    stored = pl.read_parquet(result.path / "judged.parquet")
    shown = stored.select(pl.col("^told_.*$")).to_numpy()
    y, model = stored["true"].to_numpy(), result.model
    values = [score(METRIC, y, one) for one in (model.seen_by(METRIC, shown), shown)]
    return {"way": way, "seed": seed, "budget": budget, "answer": values[0], "likeliest": values[1]}


def main(splits: str = "5", budget: str = "60s") -> None:
    """Run, and print the means with their standard errors."""
    runs = []
    for seed in range(int(splits)):
        for way in WAYS:
            runs.append(measured(way, seed, budget))
            with RESULTS.open("a") as file:
                file.write(json.dumps(runs[-1]) + "\n")
    answers = {way: np.array([run["answer"] for run in runs if run["way"] == way]) for way in WAYS}
    for way, ours in answers.items():
        gained = ours - np.array([run["likeliest"] for run in runs if run["way"] == way])
        print(f"{way}: {METRIC} {ours.mean():.4f}, {_gain(gained)} beyond the likeliest class")
    print(f"cumulative logits less classes: {_gain(answers['cumulative logits'] - answers['classes'])}")


def _gain(differences: np.ndarray) -> str:
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else float("nan")
    return f"{differences.mean():+.4f} (standard error {error:.4f})"


if __name__ == "__main__":
    main(*sys.argv[1:])
