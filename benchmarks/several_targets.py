"""Several targets in one set of networks beside a set for each, and beside rows that have every target: `star`.

    python -m benchmarks.several_targets [splits] [budget]

Needs `LUTHIER_DATA`. A fifth of the rows is held out by the split's number, the same for all three ways, which see
the others: `joint` trains one set of networks for the four scores, a quarter of which are missing; `separate` one for
each (`--separate`), of the same budget together; `complete` one for the rows that have all four. Errors are root mean
squares on the held-out rows that have the score, over the best constant's; seconds are the processor's. A line for
each way and split is added to `results/several_targets.jsonl`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luthier
from luthier.seeds import numpy_generator

RESULTS = Path(__file__).parent / "results" / "several_targets.jsonl"
TARGETS = ["readk", "mathk", "read1", "math1"]
WAYS = ("joint", "separate", "complete")


def measured(way: str, split: int, budget: str) -> dict[str, Any]:
    """Each target's error on the rows that were held out."""
    table = pl.read_csv(Path(os.environ["LUTHIER_DATA"]) / "tables" / "star.csv", null_values=["", "NA"])
    order = numpy_generator(split, "held out").permutation(table.height)
    held, rows = table[order[: table.height // 5]], table[order[table.height // 5 :]]
    if way == "complete":
        rows = rows.drop_nulls(TARGETS)
    began = _processor_seconds()
    found = luthier.fit(rows, TARGETS, test=held, budget=budget, seed=split, separate=way == "separate")
    seconds = _processor_seconds() - began
    errors = {}
    for target in TARGETS:
        known = held.drop_nulls(target)
        y = known[target].to_numpy()
        predicted = found[target].model.predict(known).to_numpy()
        constant = rows[target].drop_nulls().mean()
        errors[target] = float(np.sqrt(np.mean((predicted - y) ** 2) / np.mean((y - constant) ** 2)))
    return {"way": way, "split": split, "budget": budget, "errors": errors, "seconds": round(seconds, 1)}


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(splits: str = "3", budget: str = "1000steps") -> None:
    """Measure what is missing, and print how the other ways stand beside `joint`."""
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(one["way"], one["split"], one["budget"]) for one in lines}
    for split in range(int(splits)):
        for way in WAYS:
            if (way, split, budget) not in done:
                lines.append(measured(way, split, budget))
                with RESULTS.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
    mine = {
        (one["way"], one["split"]): np.mean(list(one["errors"].values())) for one in lines if one["budget"] == budget
    }
    for way in WAYS:
        gaps = np.array([mine[way, split] / mine["joint", split] - 1 for split in range(int(splits))])
        error = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else np.nan
        mean = np.mean([mine[way, split] for split in range(int(splits))])
        print(f"{way:10} error {mean:.4f}, {100 * gaps.mean():+.2f} % ± {100 * error:.2f} beside joint")


if __name__ == "__main__":
    main(*sys.argv[1:])
