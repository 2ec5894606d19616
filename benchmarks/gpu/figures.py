"""What is measured on a device, figure by figure. M members."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.gpu.cases import CASES, GRAPHED, difference
from benchmarks.gpu.resuming import interrupted
from benchmarks.gpu.speed import WORKS, Work, one_by_one_steps, population_steps
from benchmarks.gpu.table import Row, SkippedError, Table
from luthier.engine import Member, Population, Settings, train
from luthier.engine.feed import prepared
from luthier.engine.members.devices import CPU, wait
from luthier.optimise import RULES

ROOT = Path(__file__).parents[2]
LAYERS = ("dropout", "batch norm", "layer norm", "embeddings", "folds")
MODULES = ("convolution, vmapped", "batch norm, looped")
FIT_SECONDS = 60
WANTED = 1024  # networks together, of which the speeds have targets
CONTRACT_SECONDS = 120  # the other figures do not wait for a test that hangs
NEEDED = ("narwhals", "plotly", "polars", "pydantic", "rich", "scipy", "sklearn", "tokenizers", "typer")  # by a fit


@dataclass(frozen=True)
class Size:
    """How much is measured. `counts` are the M of the table, `seconds` those of one stretch of timed training."""

    steps: int
    counts: tuple[int, ...]
    repeats: int
    seconds: float
    contracts: str
    rules: tuple[str, ...]
    fit: bool


FULL = Size(200, (1, 16, 128, 1024, 4096), 2, 0.8, "", tuple(RULES), fit=True)
QUICK = Size(200, (1, 32, 1024), 1, 0.5, "adam or dropout or folds or vmapped or masks or back", ("adam",), fit=False)
TINY = Size(4, (1, 3), 1, 0.01, "adam and processors", ("sgd",), fit=False)  # of a test


def everything(table: Table, device: torch.device, size: Size) -> None:
    """Measure all figures, those of most weight first; an error of CUDA's own leaves none after it."""
    table.measure("contract tests", 20, partial(contracts, device, size))
    dense = (*(f"rule {rule}" for rule in size.rules), *LAYERS)
    table.measure("agreement", 20, partial(agreement, device, size, dense))
    table.measure("resuming elsewhere", 10, partial(resuming, device, size))
    table.measure("predictions", 5, partial(predictions, device, size))
    wanted = [count for count in size.counts if count == WANTED]
    for counts in (wanted, [count for count in size.counts if count not in wanted]):
        for work in WORKS:
            if counts is wanted:
                table.measure(f"one by one: {work.words}", 5, partial(against_one_by_one, work, device, size))
            for count in counts:
                name = f"{work.words}, M = {count:,}"
                table.measure(name, 30 if count > WANTED else 6, partial(speed, work, count, device, size, table))
        if size.fit and counts is wanted:
            table.measure("fit diamonds", 2.2 * FIT_SECONDS, partial(fit_diamonds, device))
    table.measure("agreement of modules", 10, partial(agreement, device, size, MODULES))
    table.measure("looped in mixed precision", 5, partial(looped, device, size))


def contracts(device: torch.device, size: Size) -> Iterator[Row]:
    """The contract tests, in a process of their own."""
    chosen = ["-k", size.contracts] if size.contracts else []
    command = [sys.executable, "-m", "pytest", "-c", "benchmarks/gpu/pytest.ini", "--rootdir", ".", "tests/device"]
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "LUTHIER_TEST_DEVICE": str(device), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *chosen],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=CONTRACT_SECONDS,
        check=False,
    )
    print(done.stdout[:5000], "...", done.stdout[-4000:], done.stderr[-1000:], flush=True)  # the first failure, and all
    failed = re.findall(r"^(?:FAILED|ERROR) \S*?(?:::(.*?))?(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}")
    last = done.stdout.strip().splitlines()[-1]
    yield Row("contract tests that fail", len(failed), "", 0, most=True, details={"failed": failed, "pytest": last})


def agreement(device: torch.device, size: Size, names: tuple[str, ...]) -> Iterator[Row]:
    """Histories in float32, here and on the processor; steps that are replayed too."""
    torch.set_num_threads(1)
    for name in names:
        case, how = CASES[name], {"steps": size.steps, "dtype": torch.float32}
        theirs = case.train(CPU, **how)  # type: ignore[arg-type]
        for graphs in (False, True) if name in GRAPHED and device.type == "cuda" else (False,):
            found = difference(theirs, case.train(device, cuda_graphs=graphs, **how))  # type: ignore[arg-type]
            words = f"histories over {size.steps} steps, {'replayed, ' if graphs else ''}{name}"
            yield Row(words, found, "relative", 1e-4, most=True)


def resuming(device: torch.device, size: Size) -> Iterator[Row]:
    """Half of the steps here and half on the processor, against all of them there."""
    for name in ("rule adam", "dropout"):
        case, how = CASES[name], {"steps": size.steps, "dtype": torch.float32}
        whole = case.train(CPU, **how)  # type: ignore[arg-type]
        for words, places in (("to the processor", (device, CPU)), ("from the processor", (CPU, device))):
            found = difference(whole, interrupted(case, places, **how))  # type: ignore[arg-type]
            yield Row(f"resumed {words}, {name}", found, "relative", 1e-4, most=True)


def predictions(device: torch.device, size: Size) -> Iterator[Row]:
    """Outputs of the same weights, here and on the processor."""
    for name in ("rule adam", "batch norm", "embeddings", "convolution, vmapped"):
        case = CASES[name]
        outcome = case.train(device, steps=size.steps, dtype=torch.float32)
        found = []
        for place in (CPU, device):
            members, (part, held_out), settings = case.asked(place, steps=1, dtype=torch.float32)
            states = [outcome.state_dict(m) for m in range(len(members))]
            population = Population.of(members, settings, len(part), states)
            found.append(population.outputs(prepared(population, held_out)).cpu())
        largest = float((found[0] - found[1]).abs().max())
        yield Row(f"predictions, {name}", largest, "absolute", 1e-5, most=True)


def against_one_by_one(work: Work, device: torch.device, size: Size) -> Iterator[Row]:
    """The plain loop on the same device."""
    steps = max(3, round(400 * size.seconds))
    rates = [one_by_one_steps(work, device, networks=3, steps=steps) for _ in range(size.repeats)]
    yield Row(f"one by one: {work.words}", statistics.median(rates), "steps/s", details={"repeats": rates})


def speed(work: Work, count: int, device: torch.device, size: Size, table: Table) -> Iterator[Row]:
    """Steps of so many networks trained together, launched one by one or replayed, and against the plain loop.

    The turns of each, and of the loop, are interleaved.
    """
    ways, steps = {"eager": False, **({"replayed": True} if _graphs(device) else {})}, max(3, round(100 * size.seconds))
    loop, rates = list[float](), dict[str, list[float]]({way: [] for way in ways})
    for _ in range(1 if count > WANTED else size.repeats):
        loop.append(one_by_one_steps(work, device, networks=1, steps=steps))
        for way, graphs in ways.items():
            rates[way].append(population_steps(work, count, device, graphs=graphs, seconds=size.seconds))
    wanted = work.wanted if count == WANTED else None
    for way, found in rates.items():
        name, best = f"{work.words}, M = {count:,}, {way}", statistics.median(found)
        yield Row(name, best, "steps/s", wanted if way == list(ways)[-1] else None, details={"repeats": found})
    best = max(statistics.median(found) for found in rates.values())
    ratio = 100 if count == WANTED and work is WORKS[0] else None
    words = f"{work.words}, M = {count:,}, times the loop"
    yield Row(words, best / statistics.median(loop), "times", ratio, details={"loop": loop, "memory": _memory(device)})


def _graphs(device: torch.device) -> bool:
    return device.type == "cuda"


def _memory(device: torch.device) -> int | None:
    """The most bytes that were taken since this was asked last."""
    if device.type != "cuda":
        return None
    most = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return most


def looped(device: torch.device, size: Size) -> Iterator[Row]:
    """Looped networks in mixed precision and without it."""
    case, seconds = CASES["batch norm, looped"], dict[bool, list[float]]({False: [], True: []})
    for _ in range(size.repeats):
        for chosen in seconds:
            members, (part, _), settings = case.asked(device, steps=size.steps, dtype=torch.float32)
            settings = replace(settings, mixed_precision=chosen)
            seconds[chosen].append(_seconds(members[:1], part, settings, device))
    ratio = statistics.median(seconds[False]) / statistics.median(seconds[True])
    yield Row("looped in mixed precision, a small convolution", ratio, "times as fast")


def _seconds(members: list[Member], part: object, settings: Settings, device: torch.device) -> float:
    train(members, part, None, settings)  # type: ignore[arg-type]
    began = time.perf_counter()
    train(members, part, None, settings)  # type: ignore[arg-type]
    wait(device)
    return time.perf_counter() - began


def fit_diamonds(device: torch.device) -> Iterator[Row]:
    """Networks that `luthier fit` trains in a minute on the processor and here."""
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        raise SkippedError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there")
    folders = [ROOT / ".gpu-data", Path(os.environ.get("LUTHIER_DATA", "")) / "tables"]
    table = next((path for path in (folder / "diamonds.csv" for folder in folders) if path.is_file()), None)
    if table is None:
        raise SkippedError(f"diamonds.csv is neither in {folders[0].name} nor in LUTHIER_DATA/tables")
    networks, steps = {}, {}
    for place in (CPU, device):
        networks[place], steps[place] = _trained(table, place)
        yield Row(f"fit diamonds, {FIT_SECONDS} s, {place}", networks[place], "networks trained")
        yield Row(f"fit diamonds, {FIT_SECONDS} s, {place}, steps", steps[place], "networks' steps")
    yield Row("fit diamonds, times the processor's networks", networks[device] / networks[CPU], "times", 10)
    yield Row("fit diamonds, times the processor's steps", steps[device] / steps[CPU], "times")


def _trained(table: Path, device: torch.device) -> tuple[int, int]:
    """Networks, and the steps of all of them."""
    with tempfile.TemporaryDirectory() as folder:
        run, environment = Path(folder) / "run", {**os.environ, "LUTHIER_HOME": folder, "LUTHIER_CACHE": folder}
        asked = ["--target", "price", "--budget", f"{FIT_SECONDS}s", "--run", str(run), "--device", str(device)]
        command = [sys.executable, "-m", "luthier", "fit", str(table), *asked]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
        )
        if done.returncode:
            raise RuntimeError(f"luthier fit ended with {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
        import polars

        from luthier.runs import Result
        from luthier.saved import RunFolder

        longest = Result(RunFolder(run)).history.group_by("population", "member").agg(polars.col("step").max())
        return longest.height, int(longest["step"].sum())
