"""The files of a run, each read whole and of the types that it must have; None, or nothing, where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from luthier.assess import PastCheck, RunCheck, Scores, StoredCheck, StoredScores
from luthier.errors import InputError
from luthier.messages import Message, in_words, restored
from luthier.saved.run_folder import RunFolder
from luthier.saved.search_schemas import StudyFacts
from luthier.untrusted import REMEDY, content_of, parse_json, read_frame, read_json, read_records, validated

HISTORY = {
    **dict.fromkeys(("member", "step"), "integer"),
    **dict.fromkeys(("epoch", "learning_rate", "train_loss", "validation_loss"), "number"),
    "label": "text",
}
JUDGED = {"row": "integer", "true": "number", "told_0": "number"}
TRIALS = {
    **dict.fromkeys(("number", "steps", "best_step"), "integer"),
    **dict.fromkeys(("value", "score"), "number"),
    **dict.fromkeys(("stage", "status", "reason"), "text"),
}


def read_scores(folder: RunFolder, *, spoken: bool = False) -> Scores | None:
    """The final judgement; its sentences are messages, or in the language that is `spoken`."""
    scores: Scores | None = _read(folder.scores, StoredScores, spoken)
    return scores


def read_drift(folder: RunFolder, *, spoken: bool = False) -> RunCheck | None:
    """What the last check against new data found, likewise."""
    drift: RunCheck | None = _read(folder.drift, StoredCheck, spoken)
    return drift


def read_checks(folder: RunFolder) -> list[PastCheck]:
    """All checks against new data, in their order."""
    return read_records(folder.checks, PastCheck, "list of checks")[0]


def read_histories(folder: RunFolder) -> dict[str, pl.DataFrame]:
    """Learning curves by population."""
    return {file.stem: read_frame(file, HISTORY) for file in sorted(folder.history.glob("*.parquet"))}


def read_judged(folder: RunFolder) -> pl.DataFrame | None:
    """The stored predictions of the test rows, each row once."""
    try:
        frame = read_frame(folder.judged, JUDGED)
    except FileNotFoundError:
        return None
    told = [name for name in frame.columns if name == "weight" or name.startswith("told_")]
    if frame["row"].is_duplicated().any() or not all(frame[name].dtype.is_float() for name in told):
        raise InputError(
            Message("'{judged}' does not hold predictions, one of each row", judged=folder.judged), remedy=REMEDY
        )
    return frame.with_columns(pl.col(told).fill_null(float("nan")), pl.col("true").fill_null(float("nan")))


def read_study(path: Path) -> tuple[StudyFacts, pl.DataFrame]:
    """What a search found, and its trials. InputError where it was stopped before it could say."""
    try:
        result: StudyFacts = read_json(path / "search.json", StudyFacts)
        return result, read_frame(path / "trials.parquet", TRIALS)
    except FileNotFoundError:
        remedy = Message("luthier resume {path}", path=path)
        raise InputError(Message("the search in '{path}' has not finished yet", path=path), remedy=remedy) from None


def _read(path: Path, schema: Any, spoken: bool) -> Any:
    try:
        content = parse_json(content_of(path), f"'{path}'")
    except FileNotFoundError:
        return None
    return validated(schema, (in_words if spoken else restored)(content), f"'{path}'")
