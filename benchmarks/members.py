"""How time and memory grow with the number of networks, and what keeping records costs.

`python -m benchmarks.members` prints tables, writes `benchmarks/results/members.json` and the plot
`docs/members.svg`. Work (a): 784-30-10 sigmoid, batch 10, SGD with momentum; one thread.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.engine import machine, write
from benchmarks.works import WORKS, data
from luthier.engine import FileCheckpoint, Member, Population, Settings, train
from luthier.engine.feed import batches_for
from luthier.rows import Inputs, Rows

COUNTS = tuple(2**k for k in range(11))
MEASURED_STEPS = 120_000  # networks' steps of one turn
WORK = WORKS[0]


def part() -> Rows:
    """The rows of the work."""
    X, y = data(WORK)
    return Rows(Inputs(numbers=X), y)


def population(count: int, steps: int, momentum: float = 0.9) -> tuple[list[Member], Settings]:
    """Networks that differ in their seeds, and what they share."""
    members = [Member(WORK.spec, seed=k, learning_rate=0.01, momentum=momentum) for k in range(count)]
    epoch = len(data(WORK)[1]) // WORK.batch
    return members, Settings("softmax", WORK.rule, WORK.batch, steps, min(steps, epoch))


def seconds(count: int, turns: int = 2) -> float:
    """Median seconds a step and network of a training loop that keeps its records."""
    steps = max(40, MEASURED_STEPS // count)
    rows = part()
    members, settings = population(count, steps)
    taken = []
    for _ in range(turns):
        began = time.perf_counter()
        train(members, rows, None, settings)
        taken.append((time.perf_counter() - began) / steps / count)
    return statistics.median(taken)


def peak(count: int) -> int:
    """Bytes that a process grows by, at its highest point, while it trains so many networks (Linux)."""
    rows = part()
    train(*_arguments(1, rows))  # what the libraries need once
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest point so far
    before = _resident("VmRSS")
    train(*_arguments(count, rows))
    return _resident("VmHWM") - before


def _arguments(count: int, rows: Rows) -> tuple[list[Member], Rows, None, Settings]:
    members, settings = population(count, 60)
    return members, rows, None, settings


def _resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def expected_bytes(count: int) -> float:
    """Parameters, gradients, the rule's state and the best weights, and one batch's activations."""
    numbers = 4 * WORK.spec.parameter_count() + 3 * WORK.batch * sum(WORK.spec.hidden)
    return 4.0 * numbers * count


def bookkeeping(count: int, steps: int, turns: int) -> float:
    """What history, validation each epoch and checkpoints cost over the bare steps, as a share of them."""
    rows = part()
    check = rows.span(0, 500)
    members, settings = population(count, steps, momentum=0.0)
    kept, bare = [], []
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            train(members, rows, check, settings, checkpoint=FileCheckpoint(Path(folder) / "training"))
            kept.append(time.perf_counter() - began)
        began = time.perf_counter()
        alone = Population.of(members, settings, len(rows))
        batches = batches_for(alone, rows)
        for step in range(steps):
            alone.step([batches.at(step)], step + 1, alone.rates.at(step))
        bare.append(time.perf_counter() - began)
    return statistics.median(kept) / statistics.median(bare) - 1


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Time a step and network against the number of networks, as a small SVG on doubling axes."""
    width, height, left, top = 640, 300, 60, 30
    from math import log2

    highest = max(row["us"] for row in rows)
    points = [
        (left + log2(row["members"]) / 10 * (width - left - 20), top + (1 - row["us"] / highest) * (height - top - 50))
        for row in rows
    ]
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#0072B2"/>'
        f'<text x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle">{row["us"]:.0f}</text>'
        f'<text x="{x:.0f}" y="{height - 28}" text-anchor="middle">{row["members"]:.0f}</text>'
        for (x, y), row in zip(points, rows, strict=True)
    )
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="#444">'
        f"<title>Microseconds a step and network, by how many train together</title>"
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="{left - 40}" y="16">us a step and network: {WORK.words}, one thread</text>'
        f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">networks trained together</text>'
        f'<polyline points="{line}" fill="none" stroke="#0072B2" stroke-width="2"/>{marks}</svg>\n'
    )


def main() -> None:
    """Print the tables, write figures and plot."""
    torch.set_num_threads(1)
    print(f"{machine()}\n\n| networks | us a step and network | MiB grown | MiB held | ratio |\n|---|---|---|---|---|")
    rows: list[dict[str, float]] = []
    for count in COUNTS:
        command = [sys.executable, "-m", "benchmarks.members", "--peak", str(count)]
        used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        row = {"members": count, "us": seconds(count) * 1e6, "peak": used}
        rows.append(row)
        row["ratio"] = used / expected_bytes(count)
        mib = [f"{value / 2**20:.1f}" for value in (used, expected_bytes(count))]
        print(f"| {count} | {row['us']:.1f} | {mib[0]} | {mib[1]} | {row['ratio']:.2f} |", flush=True)
    best = min(rows, key=lambda row: row["us"])
    worst = max(row["us"] for row in rows if row["members"] >= best["members"]) / best["us"]
    costs = {"alone": bookkeeping(1, 8000, 5), "stacked": bookkeeping(32, 2000, 3)}
    print(f"\nfrom the best number of networks upward ({best['members']}), time rises at most {worst:.2f} times")
    print(f"history, validation and checkpoints: {costs['alone']:.0%} of one network, {costs['stacked']:.0%} of 32")
    plot(rows, Path(__file__).parents[1] / "docs" / "members.svg")
    figure = {"work": WORK.words, "peer": "", "theirs": None}
    grown = {"figure": "time from the best number of networks upward", "ours": round(best["us"], 1)}
    write(
        "members",
        [
            {**figure, **grown, "ratio": round(worst, 2), "target": 1.5},
            {**figure, "figure": "peak memory of 1,024 over what it holds", "ours": rows[-1]["peak"]}
            | {"ratio": round(rows[-1]["ratio"], 2), "target": 1.3},
            {**figure, "figure": "records over the bare step, alone", "ours": None, "target": 0.25}
            | {"ratio": round(costs["alone"], 3)},
            {**figure, "figure": "records over the bare step, 32 stacked", "ours": None, "target": 0.05}
            | {"ratio": round(costs["stacked"], 3)},
            *(
                {**figure, "figure": f"{row['members']} networks, us a step and network", "ours": round(row["us"], 1)}
                | {"ratio": round(rows[0]["us"] / row["us"], 2), "target": None}
                for row in rows
            ),
        ],
    )


if __name__ == "__main__":
    if "--peak" in sys.argv:
        torch.set_num_threads(1)
        print(peak(int(sys.argv[-1])))
    else:
        main()
