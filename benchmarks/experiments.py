"""What the designed experiments of `luthier fit` come to on real tables: answers, losses, time used.

Needs `LUTHIER_DATA`. `python -m benchmarks.experiments [BUDGET] [SPLITS]` continues where it was stopped: each run is a
line of `benchmarks/results/experiments-BUDGET.jsonl`. A split is a seed: other rows are sealed, and other folds.
`python -m benchmarks.experiments show BUDGET` sums them up.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import luthier
from benchmarks.ranks import TARGETS
from luthier.runs.screen import SilentScreen

RESULTS = Path(__file__).parent / "results"
LOSSES = ("log loss", "rmse")  # the test set's loss, by task


def one_run(table: str, seed: int, budget: str) -> dict[str, Any]:
    """A fit of one table: its test loss, how its questions were answered, what was adopted, and the seconds it took."""
    path = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv"
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        options: dict[str, Any] = {"budget": budget, "seed": seed, "run": Path(folder) / table, "registered": False}
        result = luthier.fit(path, target=TARGETS[table], screen=SilentScreen(), **options)
        seconds = time.monotonic() - began
        assert result is not None
        ledger, scores = result.ledger, result.scores
    decisions = [record for record in ledger if record["kind"] == "decision"]
    answers = [record for record in decisions if record["code"] == "answer"]
    experiments = [record["evidence"] for record in decisions if record["code"] == "experiment"]
    metrics = {one["name"]: one["value"] for one in scores["metrics"]}
    return {
        "table": table,
        "seed": seed,
        "loss": next(metrics[name] for name in LOSSES if name in metrics),
        "metric": scores["metric"],
        "value": scores["headline"]["value"],
        "answers": Counter(record["choice"] for record in answers),
        "intervals": {record["of"]: [record["evidence"]["low"], record["evidence"]["high"]] for record in answers},
        "first": experiments[0]["first"] if experiments else None,
        "reference": experiments[0]["reference_loss"] if experiments else None,
        "adopted": [one["tried"][0]["measured"] for one in experiments],
        "networks": sum(one["networks"] for one in experiments),
        "bags": next((record["choice"] for record in decisions if record["code"] == "bags"), None),
        "converged": any("converged" in str(record.get("sentence")) for record in ledger if record["kind"] == "note"),
        "seconds": round(seconds, 1),
    }


def run(budget: str, splits: int) -> None:
    """All tables and splits that have no line yet."""
    path = RESULTS / f"experiments-{budget}.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(one["table"], one["seed"]) for one in known}
    for seed in range(splits):
        for table in TARGETS:
            if (table, seed) not in done:
                line = json.dumps(one_run(table, seed, budget))
                with path.open("a") as file:
                    file.write(line + "\n")
                print(line, flush=True)


def show(budget: str) -> None:
    """Answers by table: how many of sixteen questions, and the rest of each line."""
    for line in (RESULTS / f"experiments-{budget}.jsonl").read_text().splitlines():
        one = json.loads(line)
        answered = sum(count for kind, count in one["answers"].items() if kind != "unknown")
        print(
            f"{one['table']:>14} {one['seed']}  {answered:>2} of 16 answered, {sum(one['answers'].values())} asked; "
            f"{one['networks']} networks, {one['bags']} bags; {one['metric']} {one['value']:.4g}, "
            f"loss {one['loss']:.4g}; "
            f"{one['seconds']:.0f} s{', converged' if one['converged'] else ''}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["show"]:
        show(sys.argv[2])
    else:
        run(sys.argv[1] if len(sys.argv) > 1 else "5m", int(sys.argv[2]) if len(sys.argv) > 2 else 1)
