"""The predictions of a run for its sealed rows, kept so that nobody has to read them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from luthier import storage
from luthier.data import Task
from luthier.parquet_pages import parquet_bytes
from luthier.recipe.running.run_baselines import own_scale
from luthier.rows import Rows


def write_stored_predictions(path: Path, test: Rows, rows: np.ndarray, predicted: np.ndarray, task: Task) -> None:
    """Columns `row`, `true` (a class's number, or a value), `told_0`, ... (probabilities, or the value), `weight`.

    Of labels `true` is how many a row has, and `true_0`, ... are 1 for those."""
    predictions, true = predicted.reshape(len(predicted), -1), own_scale(task, test)
    truths = {"true": true}
    if task.traits.is_labels:
        truths = {"true": true.sum(1), **{f"true_{k}": one for k, one in enumerate(true.T)}}
    told = {f"told_{k}": one for k, one in enumerate(predictions.T)}
    columns = {"row": rows, **truths, **told}
    if test.weights is not None:
        columns["weight"] = test.weights.numpy()
    storage.write_bytes(path, parquet_bytes(pl.DataFrame(columns)))
