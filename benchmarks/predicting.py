"""Rows a second of `luthier predict`, ten networks on the table `diamonds`, repeated to so many rows.

    LUTHIER_DATA=... python -m benchmarks.predicting [rows]

Another checkout is measured by its own `PYTHONPATH`; take turns, since a machine that others use changes by the minute.
The time of the processor says more than the clock there.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import polars as pl

import luthier
from luthier.nets import build
from luthier.runs.screen import SilentScreen
from luthier.saved.predict import predict_file

NETWORKS, HIDDEN = 10, (128, 128)


def main(rows: int = 1_000_000) -> None:
    """Fit for a few steps, take ten fresh networks of the usual size for its own, and predict."""
    table = Path(os.environ["LUTHIER_DATA"]) / "tables" / "diamonds.csv"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = luthier.fit(table, target="price", budget="60steps", run=folder / "run", screen=SilentScreen())
        assert run is not None
        spec = replace(run.model.nets[0].spec, hidden=HIDDEN)
        nets = tuple(build(spec, seed=k) for k in range(NETWORKS))
        replace(run.model, nets=nets, weights=(1 / NETWORKS,) * NETWORKS).save(folder / "ten.luthier")
        frame = pl.read_csv(table).drop("price")
        pl.concat([frame] * -(-rows // frame.height))[:rows].write_csv(folder / "rows.csv")
        began, busy = time.perf_counter(), time.process_time()
        count = predict_file(folder / "ten.luthier", str(folder / "rows.csv"), folder / "out.csv")
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        print(f"{count} rows: {seconds:.1f} s, {count / seconds:.0f} rows a second; {busy:.1f} s of the processor")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
