"""Rows fed from the disk against rows in memory, interleaved: `python -m benchmarks.feeding [tables|pictures] [TURNS]`.

Tables: 20 million rows in Parquet files, made here, encoded once; five networks of two hidden layers learn from them.
Each side runs in a process of its own in turns, so that its peak memory is its own. Pictures: MNIST's, from the cache
of decoded pictures and from tensors, through the same ConvNet.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

from luthier.data import TableEncoder, infer_columns
from luthier.data.encoded import encoded
from luthier.data.large import scan_parquet, table_files
from luthier.data.pieces import Pieces
from luthier.engine import Member, Settings, Stream
from luthier.engine.feed import batches_for
from luthier.engine.populations.population import Population
from luthier.nets import ConvSpec, DenseSpec
from luthier.recipe.rows.full_training_rows import StreamedInputs
from luthier.rows import Inputs, Rows

ROWS, EACH, STEPS = 20_000_000, 1_000_000, 1500
TABLE = Path(tempfile.gettempdir()) / "luthier-feeding"


def make(folder: Path) -> None:
    """Eight numbers, two categories and a class, in files of a million rows."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, names = np.random.default_rng(0), [f"x{i}" for i in range(8)]
    for k in range(ROWS // EACH):
        X = rng.normal(size=(EACH, 8)).astype(np.float32)
        shop, day = rng.integers(0, 20, EACH), rng.integers(0, 5, EACH)
        bought = X[:, 0] + np.sin(3 * X[:, 1]) + (shop % 3) - 1 + rng.logistic(size=EACH) > 0
        frame = pl.DataFrame(X, schema=names).with_columns(
            shop=pl.Series(shop), day=pl.Series(day), bought=pl.Series(bought)
        )
        frame.write_parquet(folder / f"part-{k:02}.parquet")


def from_disk() -> Stream:
    """The table as the recipe's last networks see it."""
    lazy = scan_parquet(TABLE / "rows")
    sample = lazy.head(20_000).collect()
    kinds = {"shop": "category", "day": "category"}
    encoder = TableEncoder.fit(sample, infer_columns(sample, target="bought", overrides=kinds))

    def dataset(frame: pl.DataFrame) -> Rows:
        targets = torch.from_numpy(frame["bought"].to_numpy().astype(np.int64))
        return Rows(encoder.encode(frame), targets)

    pieces = Pieces(tuple(table_files(TABLE / "rows")), np.zeros(0, dtype=np.int64))
    rows = encoded(TABLE / "encoded", lambda: map(dataset, pieces.frames()), classes=True, weighted=False)
    return Stream(StreamedInputs(rows, lambda some: some))  # type: ignore[arg-type]


def in_memory() -> Rows:
    """All of it as tensors."""
    stream = from_disk()
    return stream.rows.read(0, len(stream))


def tables(side: str) -> None:
    """Rows a second and the peak memory of this process, as one line of JSON."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    part = from_disk() if side == "disk" else in_memory()
    spec = DenseSpec(inputs=8, hidden=(64, 64), outputs=1, embeddings=((22, 9), (7, 5)))
    settings = Settings("binary", "adam", 256, 10**6, 10**6)
    population = Population.of([Member(spec, seed, 1e-3) for seed in range(5)], settings, len(part))
    batches, rates = batches_for(population, part), population.rates.at(0)
    seconds = []
    for number in range(3):
        began = time.perf_counter()
        for step in range(number * STEPS, (number + 1) * STEPS):
            population.step([batches.at(step)], step + 1, rates)
        population.restart_losses()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": 256 * STEPS / statistics.median(seconds[1:]), "peak": peak}))


def compare_tables(turns: int) -> None:
    """Both sides in turns."""
    if not (TABLE / "rows").exists():
        make(TABLE / "rows")
    from_disk()
    result: dict[str, list[dict[str, float]]] = {"disk": [], "memory": []}
    for _ in range(turns):
        for side, results in result.items():
            done = subprocess.run([sys.executable, "-m", "benchmarks.feeding", side], capture_output=True, check=True)
            results.append(json.loads(done.stdout))
    speeds = {side: statistics.median(one["rows"] for one in results) for side, results in result.items()}
    for side, results in result.items():
        print(f"{side:<8} {speeds[side]:12,.0f} rows a second, peak {max(one['peak'] for one in results):6,.0f} MiB")
    print(f"from the disk / in memory: {speeds['disk'] / speeds['memory']:.2f}")


def compare_pictures(turns: int) -> None:
    """A ConvNet over decoded pictures in a mapped file, and over tensors."""
    torch.set_num_threads(os.cpu_count() or 1)
    generator = torch.Generator().manual_seed(0)
    rows = 60_000
    bytes_ = torch.randint(0, 256, (rows, 1, 28, 28), generator=generator, dtype=torch.uint8)
    path = TABLE / "pictures.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, bytes_.numpy())
    mapped = torch.from_numpy(np.load(path, mmap_mode="c"))
    y = torch.randint(0, 10, (rows,), generator=generator)
    sides = {}
    for name, X in (("mapped", mapped), ("memory", bytes_)):
        population = Population.of(
            [Member(ConvSpec((1, 28, 28), (16, 32, 64), 10), 0, 1e-3)],
            Settings("softmax", "adam", 128, 10**6, 10**6),
            rows,
        )
        sides[name] = (population, batches_for(population, Rows(Inputs(numbers=X), y)))
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, (population, batches) in sides.items():
            began = time.perf_counter()
            for step in range(turn * 100, turn * 100 + 100):
                population.step([batches.at(step)], step + 1, population.rates.at(0))
            if turn:
                taken[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    print(f"pictures: mapped / memory, speed: {medians['memory'] / medians['mapped']:.3f}")


def main(what: str = "tables", turns: str = "5") -> None:
    """Run what was asked for."""
    if what in ("disk", "memory"):
        tables(what)
    elif what == "tables":
        compare_tables(int(turns))
    else:
        compare_pictures(int(turns))


if __name__ == "__main__":
    main(*sys.argv[1:3])
