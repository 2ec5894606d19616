"""Step 6, `luthier check`: a finished run against rows from the real world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from luthier import storage
from luthier.assess import METRICS, PRIMARY, drift, measure, seen_by, told_apart
from luthier.data import PictureEncoder, encode_target, read_source, target_values
from luthier.errors import InputError
from luthier.recipe import columns_of, reread
from luthier.recipe.prepare import parts_of
from luthier.saved import SEARCH, Model, RunFolder, open_one

APART, FAR_APART = 0.6, 0.9  # areas under the curve of trees that tell new rows from training rows


def check_run(run: str | Path, source: Any) -> dict[str, Any]:
    """Drift of every column and of the prediction, and the score where the target is among the columns.

    Where the run's own data can still be read, boosted trees also try to separate new from training rows by all
    columns at once. Returns plain values, also written to the run's `drift.json`; `lines` are sentences.
    """
    folder = open_one(run)
    model = Model.load(folder.bundle)
    if model.profile is None:
        raise InputError(f"the model of '{run}' has no profile of the training rows", remedy="fit it again")
    found = read_source(source)
    numbers, codes = model.encode(found.frame)
    by_name, coded, _ = columns_of(model, numbers, codes)
    rows = drift(model.profile, by_name, coded)
    columns = [row for row in rows if row.column != "(prediction)"]
    prediction = next((row for row in rows if row.column == "(prediction)"), None)
    stored = json.loads(folder.scores.read_text()) if folder.scores.exists() else {}
    score = _score(model, found.frame, numbers, codes, stored.get("metric") or PRIMARY[model.task.kind])
    change = _change(score, stored.get("headline"))
    apart = _told_apart(folder, model, numbers, codes)
    level, verdict = judge_population([row.to_json() for row in columns], apart, change)
    result: dict[str, Any] = {
        "source": found.name,
        "rows": found.frame.height,
        "columns": [row.to_json() for row in columns],
        "prediction": prediction.to_json() if prediction else None,
        "told_apart": apart,
        "unlike": float(model.unlike_encoded(numbers, codes).to_numpy().mean()),
        "score": score,
        "change": change,
        "level": level,
        "verdict": verdict,
    }
    storage.write_json(folder.drift, result)
    return {**result, "lines": _lines(result)}


def judge_population(
    columns: list[dict[str, Any]], apart: dict[str, Any] | None, change: dict[str, Any] | None
) -> tuple[str, str]:
    """ "fine", "watch" or "act", and the verdict in words: a score that fell counts more than any drift.

    >>> judge_population([], None, {"value": -0.1, "low": -0.15, "high": -0.05})[0]
    'act'
    """
    drifted = list(dict.fromkeys(row["column"] for row in columns if row["drifted"]))
    count = len({row["column"] for row in columns})
    moved = f"{len(drifted)} of {count} columns have drifted: {', '.join(drifted)}"
    if change is not None and change["high"] < 0:
        tail = moved if drifted else "no single column has drifted: check how the target was measured"
        return "act", f"the score is clearly worse than on the test set; {tail}"
    if apart is not None and apart["low"] > FAR_APART:
        return "act", f"new and training rows are almost fully separable (AUC {apart['auc']:.2f}); {moved}"
    if drifted:
        return "watch", moved
    if apart is not None and apart["low"] > APART:
        return (
            "watch",
            "no single column has drifted, but all columns together separate new from training rows (AUC "
            f"{apart['auc']:.2f})",
        )
    return "fine", "the new rows look like the training rows"


def _told_apart(folder: RunFolder, model: Model, numbers: Tensor, codes: Tensor) -> dict[str, Any] | None:
    """What trees make of training rows and new rows; None where the run's data is gone or has changed."""
    if folder.kind == SEARCH:
        return None
    try:
        asked, read = reread(folder)
        training = parts_of(read, asked).training
    except InputError:
        return None
    pairs = (training.numbers, training.codes), (numbers, codes)
    if model.encoder.words or isinstance(model.encoder, PictureEncoder):
        before, now = (np.concatenate([model.features(n), c.numpy()], 1) for n, c in pairs)
    else:
        before, now = (np.concatenate([n.numpy(), c.numpy()], 1) for n, c in pairs)
    return told_apart(before, now, seed=asked.seed)


def _score(model: Model, frame: Any, numbers: Any, codes: Any, metric: str) -> dict[str, Any] | None:
    task = model.task
    if task.target not in frame.columns:
        return None
    wanted = target_values(frame[task.target], task)
    known = wanted.is_not_null()
    if not known.any():
        return None
    index = np.flatnonzero(known.to_numpy())
    targets = encode_target(wanted.filter(known), task).numpy()
    if task.kind == "regression":
        values = np.exp(targets.astype(float)) if task.log_scale else targets
        return measure(metric, values, model.values(numbers[index], codes[index])).to_json()
    probabilities = seen_by(metric, model.probabilities(numbers[index], codes[index]), model.threshold)
    return measure(metric, targets, probabilities).to_json()


def _change(score: dict[str, Any] | None, headline: dict[str, Any] | None) -> dict[str, Any] | None:
    """New score minus test score, turned so that more is better; both parts' intervals make its own."""
    if score is None or headline is None:
        return None
    sign = 1.0 if METRICS[score["name"]].larger_is_better else -1.0
    value = sign * (score["value"] - headline["value"])
    half = float(np.hypot(*((one["high"] - one["low"]) / 2 for one in (score, headline))))
    return {"value": value, "low": value - half, "high": value + half, "before": headline["value"]}


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['rows']} rows of {result['source']}: {result['verdict']}"]
    lines += [
        f"  {row['sentence']} (stability index {row['index']:.2f})" for row in result["columns"] if row["drifted"]
    ]
    if result["prediction"]:
        lines.append(f"  {result['prediction']['sentence']}")
    if result["told_apart"]:
        apart = result["told_apart"]
        lines.append(
            f"  a tree classifier separates new from training rows with an AUC of {apart['auc']:.3f} "
            f"[{apart['low']:.3f}, {apart['high']:.3f}]; 0.5 means not at all"
        )
    if result["unlike"] > 0.02:
        lines.append(f"  {result['unlike']:.1%} of the rows are unlike the training rows")
    score, change = result["score"], result["change"]
    if score:
        lines.append(f"  {score['name']} {score['value']:.4g} [{score['low']:.4g}, {score['high']:.4g}] on these rows")
    else:
        lines.append("  no score: the target is not among the columns")
    if change:
        word = "worse" if change["high"] < 0 else "better" if change["low"] > 0 else "no different beyond the noise"
        lines.append(f"  on the test set it was {change['before']:.4g}; the new score is {word}")
    if result["level"] == "act":
        lines.append(
            "  try: luthier fit --resume RUN --from 4 --new-test FILE with rows like these, or start a new fit that "
            "includes them"
        )
    return lines
