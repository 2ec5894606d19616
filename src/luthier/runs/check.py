"""Step 6, `luthier check`: a finished run against rows from the real world (S4-48)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from luthier import storage
from luthier.assess import PRIMARY, drift, measure
from luthier.data import encode_target, read_source
from luthier.errors import InputError
from luthier.recipe import columns_of, open_run
from luthier.saved import Model


def check_run(run: str | Path, source: Any) -> dict[str, Any]:
    """Drift of every column and of the prediction, and the score where the target came along.

    Returns plain values, also written to the run's `drift.json`; `lines` say them in words.
    """
    folder = open_run(run)
    model = Model.load(folder.bundle)
    if model.profile is None:
        raise InputError(f"the model of '{run}' has no training profile", remedy="fit it again")
    found = read_source(source)
    numbers, codes = model.encode(found.frame)
    by_name, coded, _ = columns_of(model, numbers, codes)
    rows = drift(model.profile, by_name, coded)
    columns = [row for row in rows if row.column != "(prediction)"]
    prediction = next((row for row in rows if row.column == "(prediction)"), None)
    score = _score(model, found.frame, numbers, codes)
    drifted = [row.column for row in columns if row.drifted]
    verdict = (
        f"{len(drifted)} of {len({row.column for row in columns})} columns have drifted: {', '.join(drifted)}"
        if drifted
        else "the new rows look like the training rows"
    )
    result: dict[str, Any] = {
        "source": found.name,
        "rows": found.frame.height,
        "columns": [row.to_json() for row in columns],
        "prediction": prediction.to_json() if prediction else None,
        "score": score,
        "verdict": verdict,
    }
    storage.write_json(folder.drift, result)
    return {**result, "lines": _lines(result)}


def _score(model: Model, frame: Any, numbers: Any, codes: Any) -> dict[str, Any] | None:
    task = model.task
    if task.target not in frame.columns or frame[task.target].null_count() == frame.height:
        return None
    known = frame[task.target].is_not_null()
    index = np.flatnonzero(known.to_numpy())
    targets = encode_target(frame.filter(known)[task.target], task).numpy()
    if task.kind == "regression":
        values = np.exp(targets.astype(float)) if task.log_scale else targets
        return measure(PRIMARY[task.kind], values, model.values(numbers[index], codes[index])).to_json()
    return measure(PRIMARY[task.kind], targets, model.probabilities(numbers[index], codes[index])).to_json()


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['rows']} rows of {result['source']}: {result['verdict']}"]
    lines += [f"  {row['sentence']}" for row in result["columns"] if row["drifted"]]
    if result["prediction"]:
        lines.append(f"  {result['prediction']['sentence']}")
    score = result["score"]
    if score:
        lines.append(f"  {score['name']} {score['value']:.4g} [{score['low']:.4g}, {score['high']:.4g}] on these rows")
    else:
        lines.append("  no score: the target is not among the columns")
    return lines
