"""Intervals of regressions on sealed rows: coverage, in each third of their widths too, and width beside one for all.

    python -m benchmarks.intervals [ames | diamonds | stackoverflow] [splits] [budget]

Needs `LUTHIER_DATA`. Each split is a run of its own with another seed. Of the same model intervals of one width on its
scale are measured too, as wide as it takes for the same coverage. A line for each run is added to
`results/intervals.jsonl`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import luthier
from luthier.assess.row_intervals import interval_figures
from luthier.data import read_source

RESULTS = Path(__file__).parent / "results" / "intervals.jsonl"
TARGETS = {"ames": "Sale_Price", "diamonds": "price", "stackoverflow": "Salary"}


def measured(name: str, seed: int, budget: str) -> dict[str, Any]:
    """One run's intervals on its sealed rows, and those of one width."""
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{name}.csv"
    result = luthier.fit(path, target=TARGETS[name], budget=budget, seed=seed)
    facts = result.scores["calibration"]
    stored = pl.read_parquet(result.path / "judged.parquet")
    y, predicted = (stored[column].to_numpy() for column in ("true", "told_0"))
    transform = result.model.transform
    distance = np.abs((np.log(y) if transform.log else y) - transform.centre(predicted))
    half = float(np.quantile(distance, facts["coverage"]))
    one = interval_figures(y, *transform.around(predicted, -half, half))
    sealed = read_source(path).frame[stored["row"].to_list()]
    ends = result.model.predict_interval(sealed).to_numpy()
    modelled = float(np.ptp(np.log(ends) if transform.log else ends, axis=1).mean())
    return {
        "table": name,
        "seed": seed,
        "budget": budget,
        **facts,
        "modelled": modelled,
        "one": asdict(one),
        "one modelled": 2 * half,
    }


def main(name: str = "ames", splits: str = "5", budget: str = "60s") -> None:
    """Run, and print the means."""
    runs = [measured(name, seed, budget) for seed in range(int(splits))]
    with RESULTS.open("a") as file:
        file.writelines(json.dumps(run) + "\n" for run in runs)
    thirds = np.array([[one["coverage"] for one in run["thirds"]] for run in runs if run["thirds"]])
    one = np.array([[third["coverage"] for third in run["one"]["thirds"]] for run in runs if run["one"]["thirds"]])
    widths = [run["mean_width"] / run["one"]["mean_width"] for run in runs]
    modelled = [run["modelled"] / run["one modelled"] for run in runs]
    print(f"{name}: coverage {np.mean([run['coverage'] for run in runs]):.3f}, by thirds {thirds.mean(0).round(3)}")
    by_row = f"by row in {len(thirds)} of {len(runs)}"
    shares = f"{np.mean(widths):.3f} of that of one width at equal coverage, {np.mean(modelled):.3f} as modelled"
    print(f"mean width {shares}; that one covers, by thirds of its widths, {one.mean(0).round(3)}; {by_row}")


if __name__ == "__main__":
    main(*sys.argv[1:])
