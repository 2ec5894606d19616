"""The process that fits the baselines: it stops when nobody waits for more."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch

from luthier.assess import BaselineRun
from luthier.data import Dataset, infer_task


def test_baselines_that_come_too_late_are_not_begun(tmp_path: Path) -> None:
    values = torch.arange(60.0, dtype=torch.float64) + 0.5
    rows = Dataset(values[:, None], torch.zeros(60, 0, dtype=torch.int64), values)
    run = BaselineRun(rows, rows, infer_task(pl.Series("y", values.numpy())), (), place=tmp_path)
    try:
        assert not run.wait(lambda: True)  # it has only just begun to import
        assert not run.predict_test(rows, lambda: False)
        assert not list(run.folder.glob("*.npz"))
    finally:
        run.close()
