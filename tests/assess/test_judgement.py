"""Scores and checks as records: what is written is read as it was, earlier files too, and newer ones are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from luthier import storage
from luthier.assess import (
    ConfidenceBin,
    Confusion,
    DriftRow,
    Headline,
    PastCheck,
    Reliability,
    RunCheck,
    Scores,
    SeedScore,
    SetFigures,
    ThresholdCost,
)
from luthier.errors import InputError
from luthier.messages import Message, speaking
from luthier.records import Finding, Measure
from luthier.saved import RunFolder, read_checks, read_drift, read_scores

SCORES = Scores(
    metric="accuracy",
    headline=Headline("accuracy", 0.9, 0.8, 0.95, 40, validation=Measure("accuracy", 0.91)),
    difference_to_validation=Measure("accuracy", -0.01, -0.1, 0.1),
    metrics=[Measure("accuracy", 0.9, 0.8, 0.95, 40), Measure("f1", 0.7, n=40, note="no interval")],
    seeds=[SeedScore("seed 0", 0.9, 0.91)],
    baselines=[],
    sentence=Message("{score} {where}", score="accuracy 0.9", where=Message("on the sealed test set")),
    next_step="check it",
    calibration=Reliability([ConfidenceBin(0.9, 0.8, 40)], 0.1, 0.2, 1.5),
    confusion=Confusion(["a", "b"], [[20, 1], [2, 17]]),
    sets=SetFigures(0.9, 0.92, 1.2, 0.8, [0, 32, 8]),
    cost=ThresholdCost(0.2, 0.5, 0.7, 3, 4, "b"),
    openings=1,
)
CHECK = RunCheck(
    source="new.csv",
    rows=40,
    verdict=Message("{count} rows", count=40),
    columns=[
        DriftRow("a", "distance", 0.3, 0.1, True, Message("`{column}` has drifted: {detail}", column="a", detail=""))
    ],
    score=Measure("accuracy", 0.8, 0.7, 0.9, 40),
    finding=Finding("poor-in-use", "warning", Message("{count} rows", count=2), {"change": -0.1}),
    level="act",
)


def test_what_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    storage.write_json(folder.scores, SCORES.to_json())
    storage.write_json(folder.drift, CHECK.to_json())
    assert (read_scores(folder), read_drift(folder)) == (SCORES, CHECK)
    with speaking("zh"):
        scores, check = read_scores(folder, spoken=True), read_drift(folder, spoken=True)
    assert scores is not None
    assert check is not None
    with speaking("zh"):
        assert scores.sentence == SCORES.sentence.spoken()  # type: ignore[attr-defined]
        assert check.columns[0].sentence == CHECK.columns[0].sentence.spoken()  # type: ignore[attr-defined]


def test_an_undefined_score_is_null_in_the_file(tmp_path: Path) -> None:
    folder, nan = RunFolder(tmp_path), float("nan")
    undefined = Headline("r2", nan, n=1, note="one row", validation=Measure("r2", 0.5))
    storage.write_json(folder.scores, replace(SCORES, headline=undefined).to_json())
    assert json.loads(folder.scores.read_text())["headline"]["value"] is None
    scores = read_scores(folder)
    assert scores is not None
    assert (scores.headline.figures, scores.headline.validation.value) == ("one row", 0.5)


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They have no version, sets and costs by other names, and null or nothing where there was nothing to say."""
    folder = RunFolder(tmp_path)
    content: dict[str, Any] = json.loads(storage.json_text(SCORES.to_json()))
    for name in ("version", "messages", "openings", "seal", "readings", "estimate", "trials", "positive"):
        content.pop(name, None)
    content["sets"] = {"nominal": 0.9, "coverage": 0.92, "mean size": 1.2, "sure": 0.8}
    content["cost"] = {"threshold": 0.2, "cost": 0.5, "at one half": 0.7, "false positives": 3, "false negatives": 4}
    content |= {"importance": None, "sheets": {}, "inside": None}
    storage.write_json(folder.scores, content)
    scores = read_scores(folder)
    assert scores is not None
    assert (scores.sets, scores.cost) == (SetFigures(0.9, 0.92, 1.2, 0.8), ThresholdCost(0.2, 0.5, 0.7, 3, 4))
    assert (scores.importance, scores.estimate, scores.openings) == ([], False, None)
    assert scores.history.readings == 1
    folder.checks.write_text(
        '{"at":"2026-01-01","source":"a","rows":3,"until":"","level":"fine","drifted":[],"farthest":0.1,"score":null}\n'
    )
    assert read_checks(folder) == [PastCheck("2026-01-01", "a", 3, "", "fine", [], 0.1, None)]


@pytest.mark.parametrize("change", [{"version": 2}, {"next_step": ""}, {"calibration": None}, {"seeds": [{"seed": 1}]}])
def test_other_files_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    storage.write_json(folder.scores, {**SCORES.to_json(), **change})
    with pytest.raises(InputError, match=r"scores\.json' does not hold what it should"):
        read_scores(folder)
