"""The verdict on new rows."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.assess import DriftRow, Headline, ScoreChange, Scores, ToldApart
from luthier.records import Finding, Measure
from luthier.runs.checking import judge_population, poor_in_use
from luthier.runs.screen import SilentScreen


def test_the_verdict_on_new_rows() -> None:
    columns = [DriftRow(name, "distance", 0.2, 0.1, drifted, "") for name, drifted in (("a", True), ("b", False))]
    worse, same = (ScoreChange(v, v - 0.02, v + 0.02, 0.9) for v in (-0.1, 0.0))
    assert judge_population(columns, None, worse)[0] == "act"
    assert judge_population(columns, None, same)[0] == "watch"
    assert judge_population(columns[1:], ToldApart(0.7, 0.65, 0.75), same)[0] == "watch"
    assert judge_population(columns[1:], ToldApart(0.95, 0.93, 0.97), same)[0] == "act"
    assert judge_population(columns[1:], ToldApart(0.5, 0.45, 0.55), same) == (
        "fine",
        "the new rows look like the training rows",
    )


def test_good_on_all_sets_and_poor_in_use_is_a_finding() -> None:
    """Where the rows look alike the loss is suspect, else the rows that it was judged on; not where it never was good,
    where the sets disagreed already, or where it is not clearly worse."""
    worse, same = (ScoreChange(v, v - 0.02, v + 0.02, 0.9) for v in (-0.1, 0.0))
    headline = Headline("accuracy", 0.9, 0.8, 1.0, 100, validation=Measure("accuracy", 0.9))
    good = Scores("accuracy", headline, Measure("accuracy", 0.0, -0.1, 0.1), [], [], [], "good")
    alike, moved = (poor_in_use(good, worse, level_of_rows=level) for level in ("fine", "act"))
    assert alike is not None
    assert "the loss may not measure what counts in use" in alike.sentence
    assert "--step 1 --metric" in alike.remedy
    assert moved is not None
    assert "are not like those in use" in moved.sentence
    assert "luthier fit TABLE --test FILE" in moved.remedy
    apart = replace(good, difference_to_validation=Measure("accuracy", 0.07, 0.05, 0.1))
    poor = replace(good, no_better_than_constant=Finding("no-better-than-constant", "warning", "no better"))
    for stored, change in ((good, same), (good, None), (apart, worse), (poor, worse)):
        assert poor_in_use(stored, change, level_of_rows="fine") is None


@pytest.mark.parametrize("options", [{"time": "when"}, {}], ids=["by time", "with copies"])
def test_the_sealed_rows_have_the_interval_of_the_test(options: dict[str, Any], tmp_path: Path) -> None:
    """What new data would bring anew is the same in `check`: stretches of time, or rows with their copies."""
    g = np.random.default_rng(0)
    x = g.normal(size=(260, 2)).round(3)
    days = [f"{dt.date(2020, 1, 1) + dt.timedelta(days=k):%d.%m.%Y}" for k in range(260)]
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": 2 * x[:, 0] + g.normal(size=260), "when": days})
    if not options:
        frame = pl.concat([frame, frame[:60]]).drop("when")
    luthier.fit(frame, target="y", budget="40steps", run=tmp_path / "run", screen=SilentScreen(), **options)
    sealed = (pl.read_parquet(tmp_path / "run" / "splits.parquet")["part"] == "test").arg_true()
    headline = json.loads((tmp_path / "run" / "scores.json").read_text())["headline"]
    score = luthier.check(tmp_path / "run", frame[sealed])["score"]
    for name in ("value", "low", "high", "n"):
        assert score[name] == pytest.approx(headline[name], rel=1e-9)


def test_rows_whose_target_has_no_logarithm_are_scored(tmp_path: Path) -> None:
    """A target is modelled by its logarithm, and new rows have a 0: their score is that of their own scale."""
    g = np.random.default_rng(0)
    x = g.normal(size=300)
    frame = pl.DataFrame({"x": x, "z": g.normal(size=300), "y": np.exp(2 + 1.5 * x + 0.1 * g.normal(size=300))})
    result = luthier.fit(frame, target="y", budget="40steps", run=tmp_path / "run", screen=SilentScreen())
    assert result.model.task.log_scale
    new = frame.with_columns(y=pl.when(pl.int_range(pl.len()) < 3).then(0.0).otherwise(pl.col("y")))
    score = luthier.check(result.path, new)["score"]
    by_hand = np.sqrt(np.mean((result.predict(new).to_numpy() - new["y"].to_numpy()) ** 2))
    assert (score["n"], score["value"]) == (300, pytest.approx(by_hand, rel=1e-6))


def test_a_score_that_is_not_defined_says_so(tmp_path: Path) -> None:
    """No positive is sealed: an AUC of these rows is not a number, and not 0."""
    g = np.random.default_rng(0)
    frame = pl.DataFrame(
        {"when": range(300), "x": g.normal(size=300), "y": ["ab"[k < 200 and k % 2] for k in range(300)]}
    )
    options: dict[str, Any] = {"time": "when", "metric": "auc", "positive": "b", "budget": "40steps"}
    result = luthier.fit(frame, target="y", run=tmp_path / "run", screen=SilentScreen(), **options)
    headline = result.scores["headline"]
    assert (headline["name"], headline["value"], headline["low"], headline["high"]) == ("auc", None, None, None)
    assert headline["note"] == "undefined: no row of 'b'"
