"""Speed of training: `luthier.train`, history and checkpoints on, beside everyone who trains the same network.

`python -m benchmarks.engine [--quick]` prints a Markdown table and writes `benchmarks/results/engine.json`.
All contenders of a work take turns in one process; the figure is the median over turns. Each may use one
thread or both cores, whichever is faster for it; stacked networks are shared out over two processes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import luthier
from benchmarks.peers import Run, contenders
from benchmarks.works import BARE, WORKS, Runner, data
from luthier.machine import processor

STACKED = 32
RESULTS = Path(__file__).parent / "results"


def ours(work: Runner, members: int) -> Run:
    """Seconds a step and network of the public `luthier.train`, with history, best weights and a checkpoint."""
    X, y = data(work)
    momentum = {"momentum": 0.0} if work.rule == "sgd" else {}
    check = (X[: len(X) // 25], y[: len(X) // 25])

    def run(steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            luthier.train(
                work.network,
                (X, y),
                validation=check,
                rule=work.rule,
                steps=steps,
                batch_size=work.batch,
                seeds=members,
                processes=min(members, 2),
                checkpoint=Path(folder) / "training",
                **momentum,
            )
            return (time.perf_counter() - began) / steps / members

    return run


def _both(run: Run, steps: int) -> tuple[float, float]:
    """With one thread, and with as many as there are cores."""
    result = []
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        result.append(run(steps))
    return result[0], result[1]


def measure(work: Runner, turns: int, share: float) -> list[dict[str, object]]:
    """Interleaved turns of everyone; a row for each comparison."""
    runs = {"one network": ours(work, 1), **contenders(work)}
    if work.stacked:
        runs["stacked"] = ours(work, STACKED)
    steps = {name: max(10, round(work.steps * share / (2 if name == "stacked" else 1))) for name in runs}
    for name, run in runs.items():
        run(max(5, steps[name] // 10))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(turns):
        for name, run in runs.items():
            times[name].append((run(steps[name]),) * 2 if name == "stacked" else _both(run, steps[name]))
    median = {
        name: 1e6 * min(statistics.median(pair[k] for pair in pairs) for k in range(2)) for name, pairs in times.items()
    }
    rows: list[dict[str, object]] = []
    for mine, targets in (("one network", work.alone), ("stacked", work.stacked)):
        for peer in [name for name in runs if name not in ("one network", "stacked")] if mine in runs else []:
            words = "one network, us a step" if mine == "one network" else "32 networks, us a step and network"
            figures = {"ours": round(median[mine], 1), "theirs": round(median[peer], 1)}
            ratio = {"ratio": round(median[peer] / median[mine], 2), "target": targets.get(peer)}
            rows.append({"figure": words, "work": work.words, "peer": peer, **figures, **ratio})
    return rows


def machine() -> str:
    """The line that figures are read with."""
    return f"{processor()}, Python {platform.python_version()}, torch {torch.__version__}"


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Keep the figures of a benchmark."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")


def main(*, quick: bool = False) -> None:
    """Print the table and write the results."""
    turns, share = (3, 0.5) if quick else (5, 1.0)
    print(f"{machine()}; median of {turns} turns\n")
    print("| work | ours | us | peer | us | ratio | target |\n|---|---|---|---|---|---|---|")
    rows = []
    for work in WORKS:
        for row in measure(work, turns, share):
            rows.append(row)
            cells = (row[name] for name in ("work", "figure", "ours", "peer", "theirs", "ratio"))
            print(f"| {' | '.join(str(cell) for cell in cells)} | {row['target'] or ''} |", flush=True)
    if any(row["peer"] == BARE for row in rows):
        print(f"\n{BARE}: theirs over ours is the share of the step that PyTorch's own products would take")
    write("engine", rows)


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
