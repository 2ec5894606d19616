"""`python -m benchmarks.gpu [--quick] [--device cuda] [--out FILE]`: all figures, in at most six minutes."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.gpu.figures import FULL, QUICK, TINY, everything
from benchmarks.gpu.table import Table, device_name
from luthier.engine.members.devices import resolve
from luthier.errors import InputError

SECONDS, QUICK_SECONDS = 350.0, 115.0  # until the last figure begins; each says what it needs


def main(arguments: list[str] | None = None) -> int:
    """Measure, and return how many figures failed or missed their target."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="two minutes")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "gpu.json")
    asked = parser.parse_args(arguments)
    try:
        device = resolve(asked.device)
    except InputError as error:
        parser.error(str(error))
    size = TINY if asked.tiny else QUICK if asked.quick else FULL
    table = Table(asked.out, device, QUICK_SECONDS if asked.quick or asked.tiny else SECONDS, quick=size is not FULL)
    print(f"{device_name(device)}; figures go to {asked.out}", flush=True)
    everything(table, device, size)
    missed = table.missed
    print(f"{len(table.rows)} figures, {len(missed)} failed or missed their target")
    print("".join(f"- {name}\n" for name in missed), end="", flush=True)
    return len(missed)


if __name__ == "__main__":
    raise SystemExit(min(1, main()))
