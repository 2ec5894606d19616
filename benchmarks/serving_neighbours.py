"""What honest requests to `luthier serve` suffer from a neighbour that asks for too much, or for nonsense.

    python -m benchmarks.serving_neighbours [NEIGHBOUR ...]

Honest clients send small requests without pause, by themselves and beside each neighbour in turns. Counted are requests
that are not answered as they should be, and how much later the slowest of a hundred are answered.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving import models
from tests.serving.neighbours import Address, Outcome, honest, kinds

from benchmarks.serving import served

TURNS, REQUESTS, CLIENTS = 3, 2000, 16
RESULTS = Path(__file__).parent / "results" / "serving_neighbours.json"


def main() -> None:
    """Print and keep a table: for each neighbour the harmed requests, and the ratio of 99th percentiles."""
    result: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for kind, requests, neighbours in kinds():
            asked = [name for name in neighbours if not sys.argv[1:] or name in sys.argv[1:]]
            if not asked:
                continue
            path = models.saved(getattr(models, kind)(), Path(place))
            with served(path, "torch") as (address, process):
                host, port = address.removeprefix("http://").split(":")
                for name in asked:
                    result[f"{kind}: {name}"] = row = measured(kind, name, (host, int(port)), requests(REQUESTS))
                    row["peak MB"] = peak(process)
                    print(f"{kind + ': ' + name:50}", *(f"{key} {value:g}" for key, value in row.items()), flush=True)
    if not sys.argv[1:]:
        RESULTS.write_text(json.dumps({"requests": REQUESTS, "clients": CLIENTS, "rows": result}, indent=2) + "\n")


def measured(kind: str, name: str, address: Address, requests: list[bytes]) -> dict[str, float]:
    """Harmed requests, and milliseconds without and with the neighbour, medians of turns."""
    alone, along = list[Outcome](), list[Outcome]()
    for _ in range(TURNS):
        alone.append(asyncio.run(honest(address, requests, CLIENTS)))
        with neighbour(kind, name, address):
            along.append(asyncio.run(honest(address, requests, CLIENTS)))
    ratios = [two.percentile(0.99) / one.percentile(0.99) for one, two in zip(alone, along, strict=True)]
    return {
        "harmed": sum(one.harmed for one in along),
        "p50 alone": round(statistics.median(one.percentile(0.5) for one in alone), 1),
        "p50": round(statistics.median(one.percentile(0.5) for one in along), 1),
        "p99 alone": round(statistics.median(one.percentile(0.99) for one in alone), 1),
        "p99": round(statistics.median(one.percentile(0.99) for one in along), 1),
        "p99 ratio": round(statistics.median(ratios), 2),
    }


@contextmanager
def neighbour(kind: str, name: str, address: Address) -> Iterator[None]:
    """A neighbour in a process of its own, so that what it does costs the honest clients nothing."""
    command = [sys.executable, "-m", "tests.serving.neighbours", kind, name, address[0], str(address[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        try:
            yield
        finally:
            process.kill()


def peak(process: int) -> int:
    """The most memory that a process has had, in megabytes."""
    result = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(result[1]) // 1024 if result else 0


if __name__ == "__main__":
    main()
