"""Kill a fit or a search at random moments, resume it until it is done, and compare it with one that nobody killed.

    python -m tests.reliability.soak --kills 200

Whatever is in the folder between two lives must be whole: every JSON file parses, every line of a log but perhaps the
last, every Parquet and safetensors file opens, every model loads.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from safetensors import safe_open
from tests import warm

import luthier

COMMANDS = {
    "fit": ["fit", "wine", "--budget", "600steps"],
    "tune": ["tune", "wine", "--trials", "24", "--epochs", "6"],
}
RESUME = {"fit": ["resume"], "tune": ["resume"]}
PATIENCE = 300  # seconds that one life may take


def start(arguments: list[str], folder: Path) -> warm.Popen:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "luthier", *arguments]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return warm.Popen(command, stdout=log, stderr=log, cwd=folder.parent)


def broken_files(folder: Path) -> list[str]:
    """What is not whole in a run's folder; temporary names of writes that were cut are not read by anybody."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".jsonl":
                for line in path.read_bytes().split(b"\n")[:-1]:
                    json.loads(line)
            elif path.suffix == ".parquet":
                pl.read_parquet(path)
            elif path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    file.keys()
            elif path.suffix == ".luthier":
                luthier.load(path)
        except Exception as error:  # any way of being broken is what is looked for
            found.append(f"{path.relative_to(folder)}: {error}")
    return found


def facts_of(kind: str, folder: Path) -> list[object]:
    """What must be the same, however often a run was killed."""
    if kind == "fit":
        scores = json.loads((folder / "scores.json").read_text())
        return [(folder / "model.luthier").read_bytes(), scores["headline"], scores["seeds"], scores["trials"]]
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    contents = [line["content"] for line in lines if isinstance(line.get("content"), dict)]
    trials = [one for content in contents for one in content.get("trials", [])]
    return sorted({json.dumps({k: v for k, v in one.items() if k != "seconds"}, sort_keys=True) for one in trials})


def soak(kind: str, kills: int, folder: Path, *, seed: int = 0, command: list[str] | None = None) -> list[str]:
    """Kill until so many kills are done, over as many runs as that takes; returns every difference and broken file."""
    command = command or COMMANDS[kind]
    draw = random.Random(seed)
    whole = folder / f"{kind}-whole"
    began = time.monotonic()
    if start([*command, "--run", str(whole)], whole).wait(PATIENCE):
        return [f"the run itself failed: {(folder / f'{whole.name}.log').read_text()[-800:]}"]
    length, wanted, wrong, done, number = time.monotonic() - began, facts_of(kind, whole), [], 0, 0
    while done < kills:
        number += 1
        run = folder / f"{kind}-{number}"
        arguments = [*command, "--run", str(run)]
        while True:
            process = start(arguments, run)
            last = done >= kills
            try:
                code = process.wait(PATIENCE if last else draw.uniform(0.1, 1.1 * length))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                wrong += [f"{kind} {number}, kill {done}: {message}" for message in broken_files(run)]
                if (run / "run.json").exists():
                    arguments = [*RESUME[kind], str(run)]
                elif run.exists():
                    arguments = [*command, "--run", str(run)]
                continue
            if code:
                wrong.append(f"{kind} {number}: exit {code}: {(folder / f'{run.name}.log').read_text()[-800:]}")
            break
        if not wrong and facts_of(kind, run) != wanted:
            wrong.append(f"{kind} {number}: other numbers than without a kill")
        if wrong:
            break
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--of", choices=COMMANDS, nargs="+", default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    failures = []
    for kind in asked.of:
        with tempfile.TemporaryDirectory() as place:
            began = time.monotonic()
            kills = asked.kills // len(asked.of)
            found = soak(kind, kills, Path(place), seed=asked.seed)
            print(f"{kind}: {kills} kills in {time.monotonic() - began:.0f} s, {len(found)} faults", *found, sep="\n  ")
            failures += found
    sys.exit(bool(failures))
