"""Why a baseline cannot be fitted to the training rows, in a sentence: template and values, as messages are kept.

It imports nothing else of ours: the process that fits the baselines takes it by its path.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

LONGEST = 200  # letters of what a library says


def write_reason(
    folder: Path, name: str, error: Exception, training: dict[str, np.ndarray], task: dict[str, Any]
) -> None:
    """Into the file by which a baseline is known to have failed; an error with a `template` of ours says it itself."""
    own = getattr(error, "template", None)
    said = reason(error, name, training, task) if own is None else _said(own, classes=str(error))
    temporary = folder / f"{name}.reason"
    temporary.write_text(json.dumps(said), encoding="utf-8")
    temporary.rename(folder / f"{name}.failed")  # the parent polls for the name, so it appears only when whole


def reason(error: Exception, name: str, training: dict[str, np.ndarray], task: dict[str, Any]) -> dict[str, Any]:
    """What was expected of the rows and what came, after a library has refused them; its own words where we have none.

    >>> rows = {"numbers": np.zeros((3, 1)), "codes": np.zeros((3, 0)), "targets": np.zeros(3)}
    >>> task = {"classes": 2, "words": [0, 0, 0]}
    >>> reason(ValueError("only one class"), "logistic regression", rows, task)["template"]
    'it needs training rows of at least two classes, and all {rows} are of one'
    """
    if isinstance(error, ValueError) and (found := _of_rows(name, training, task)) is not None:
        return found
    rows, first = len(training["targets"]), (str(error).splitlines() or [""])[0][:LONGEST]
    return _said("scikit-learn refuses these {rows} training rows ({error})", rows=f"{rows:,}",
                 error=f"{type(error).__name__}: {first}")  # fmt: skip


def _of_rows(name: str, training: dict[str, np.ndarray], task: dict[str, Any]) -> dict[str, Any] | None:
    """What is wrong with the rows; None where that is not known."""
    numbers, targets = training["numbers"], training["targets"]
    rows, tokens = len(targets), training.get("tokens", np.zeros((len(targets), 0)))[:, : task["words"][1]]
    if name.endswith("tf-idf") and (found := _texts(tokens)) is not None:
        return found
    if numbers.shape[1] + tokens.shape[1] + training["codes"].shape[1] == 0:
        return _said("it needs a column, and there is none beside the target")
    if targets.ndim == 1 and task["classes"] and (targets == targets[0]).all():
        return _said("it needs training rows of at least two classes, and all {rows} are of one", rows=f"{rows:,}")
    missing = int(np.isnan(numbers).all(0).sum()) if rows else 0
    if missing:
        return _said(
            "it needs values in every column, and in {count} of them no training row has one", count=str(missing)
        )
    largest = float(np.abs(numbers[~np.isnan(numbers)]).max(initial=0.0))
    if largest > np.sqrt(np.finfo(np.float64).max / max(1, rows)):
        return _said("it squares and adds numbers, and those of the training rows reach {most}", most=f"{largest:.3g}")
    if rows < 2:
        return _said("it needs at least two training rows, and there is {rows}", rows=str(rows))
    return None


def _texts(tokens: np.ndarray) -> dict[str, Any] | None:
    """Why there is no word to count in texts as ids [N, T], 0 for none; None where there are some."""
    rows, empty = len(tokens), int((tokens <= 0).all(1).sum())
    counts = np.unique([piece for row in tokens for piece in np.unique(row[row > 0])], return_counts=True)[1]
    if counts.max(initial=0) >= min(2, rows):
        return None
    return _said("it counts words that at least two training texts have, and there are none: {empty} of {rows} texts "
                 "are empty", empty=f"{empty:,}", rows=f"{rows:,}")  # fmt: skip


def _said(template: str, **values: str) -> dict[str, Any]:
    return {"template": template, "values": values}
