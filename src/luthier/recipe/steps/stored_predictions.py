"""The predictions of a run for its sealed rows, kept so that nobody has to read them again."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl

from luthier import storage
from luthier.data import Task
from luthier.recipe.steps.run_baselines import own_scale
from luthier.rows import Rows


def write_stored_predictions(path: Path, test: Rows, rows: np.ndarray, predicted: np.ndarray, task: Task) -> None:
    """Columns `row`, `true` (a class's number, or a value), `told_0`, ... (probabilities, or the value), `weight`."""
    predictions = predicted.reshape(len(predicted), -1)
    columns = {"row": rows, "true": own_scale(task, test)} | {
        f"told_{k}": predictions[:, k] for k in range(predictions.shape[1])
    }
    if test.weights is not None:
        columns["weight"] = test.weights.numpy()
    buffer = BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    storage.write_bytes(path, buffer.getvalue())
