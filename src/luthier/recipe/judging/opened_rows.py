"""What was known of the test rows before a run reads them, and what is kept of its predictions for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from luthier import storage
from luthier.assess import SealHistory
from luthier.data import Task
from luthier.parquet_pages import parquet_bytes
from luthier.recipe.rows.known_rows import keep_reading
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner
from luthier.records import JsonObject
from luthier.rows import Rows


def history_at_opening(runner: Runner) -> SealHistory:
    """What earlier runs have done with the test rows, asked once and kept for a resumed run; the register learns of
    this reading."""
    record, before = runner.problem.data.record, runner.folder.fit_facts().get("opened_before", 0)

    def counted() -> JsonObject:
        history = runner.register.history(record, own=1)
        return replace(history, readings=max(history.readings, 1 + before)).to_json()

    history = SealHistory.from_json(runner.memo.json("history", counted))
    keep_reading(runner.folder, runner.register, record, times=1)
    return history


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
