"""Seven real tables with no option but the target: the network beside the best baseline.

Needs `LUTHIER_DATA`. `python -m benchmarks.tables [BUDGET]` prints a Markdown table and writes
`benchmarks/results/tables.json`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import luthier
from luthier.runs.screen import SilentScreen

TARGETS = {
    "diamonds": "price",
    "ames": "Sale_Price",
    "churn": "churn",
    "default": "default",
    "titanic": "survived",
    "penguins": "species",
    "stackoverflow": "Remote",
}


def measure(name: str, budget: str | None) -> dict[str, object]:
    """Fit one table and compare with the baseline that is best on the test part."""
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{name}.csv"
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        result = luthier.fit(path, target=TARGETS[name], budget=budget, run=Path(folder) / name, screen=SilentScreen())
        seconds = time.monotonic() - began
        assert result is not None
        scores = result.scores
    best = min(scores["baselines"], key=lambda row: row["difference"]["value"])
    headline, gained = scores["headline"], best["difference"]
    return {
        "figure": "test score beside the best baseline",
        "work": name,
        "peer": best["name"],
        "metric": scores["metric"],
        "ours": headline["value"],
        "ours_interval": [headline["low"], headline["high"]],
        "theirs": best["test"]["value"],
        "gain": gained["value"],
        "gain_interval": [gained["low"], gained["high"]],
        "verdict": best["verdict"],
        "seconds": round(seconds, 1),
        "target": "no worse beyond the noise on at least five of seven",
    }


def main(budget: str | None = None) -> None:
    """Print the table and write the results."""
    rows = []
    print(f"{platform.machine()}, {os.cpu_count()} cores, budget {budget or 'default (5m)'}\n")
    print("| table | metric | network | best baseline | gain, 95 % | verdict | s |\n|---|---|---|---|---|---|---|")
    for name in TARGETS:
        row = measure(name, budget)
        rows.append(row)
        low, high = row["gain_interval"]
        print(
            f"| {name} | {row['metric']} | {row['ours']:.4g} | {row['peer']} {row['theirs']:.4g} "
            f"| {row['gain']:+.4g} [{low:+.4g}, {high:+.4g}] | {row['verdict']} | {row['seconds']} |",
            flush=True,
        )
    path = Path(__file__).parent / "results" / "tables.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
