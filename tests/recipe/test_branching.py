"""Stopped and judged later, read twice and marked, back to a step with fresh rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.assess import RunCheck
from luthier.data import read_source
from luthier.errors import InputError
from luthier.recipe import checklist, in_lines, read_as_asked
from luthier.recipe.checklist import AFTER_TEST, AFTER_USE, ITEMS
from luthier.recipe.rows.parts import parts_of
from luthier.records import Finding, Measure
from luthier.request import RunRequest
from luthier.runs.screen import SilentScreen
from luthier.saved import open_run

BUDGET = "400steps"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thirds of iris, shuffled; the rest are the new rows."""
    folder = tmp_path_factory.mktemp("tables")
    frame = read_source("iris").frame.sample(fraction=1.0, shuffle=True, seed=0)
    frame[:100].write_csv(folder / "old.csv")
    frame[100:].write_csv(folder / "new.csv")
    return folder / "old.csv"


def fit(table: Path, run: Path, **options: Any) -> luthier.Result:
    result = luthier.fit(table, target="species", budget=BUDGET, run=run, screen=SilentScreen(), **options)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def whole(table: Path, tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return fit(table, tmp_path_factory.mktemp("runs") / "whole")


def without_paths(run: luthier.Result) -> str:
    return (run.path / "ledger.jsonl").read_text().replace(str(run.path), "RUN")


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(
    whole: luthier.Result, table: Path, tmp_path: Path, step: int
) -> None:
    stopped = fit(table, tmp_path / "run", until=step)
    assert open_run(stopped.path).facts()["status"] == "stopped"
    assert not any(record["kind"] == "opening" for record in stopped.ledger)
    assert max(record["step"] for record in stopped.ledger if record["kind"] == "decision") <= max(step, 1)
    judged = luthier.test(stopped.path, screen=SilentScreen())
    assert without_paths(judged) == without_paths(whole)
    assert judged.scores["headline"] == whole.scores["headline"]


def test_the_second_look_is_refused_or_marked(table: Path, tmp_path: Path) -> None:
    run = fit(table, tmp_path / "run")
    first = json.loads((run.path / "scores.json").read_text())
    luthier.test(run.path, screen=SilentScreen())
    assert json.loads((run.path / "scores.json").read_text()) == first
    assert sum(record["kind"] == "opening" for record in run.ledger) == 1
    again = luthier.test(run.path, again=True, screen=SilentScreen())
    assert again.scores["openings"] == 2
    assert again.scores["readings"][0]["headline"]["value"] == pytest.approx(first["headline"]["value"])
    assert sum(record["kind"] == "opening" for record in again.ledger) == 2
    assert "test-read-twice" in {r["code"] for r in again.ledger if r["kind"] == "finding"}
    assert "read 2 times" in repr(again)
    assert "read 2 times" in (run.path / "report.html").read_text()


def test_back_to_a_step_needs_fresh_rows(whole: luthier.Result, table: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has been read"):
        luthier.branch(whole.path, 4, run=tmp_path / "back", screen=SilentScreen())
    back = luthier.branch(
        whole.path, 4, new_test=table.with_name("new.csv"), run=tmp_path / "back", screen=SilentScreen()
    )
    split = next(r for r in back.ledger if r.get("topic") == "split")
    old = next(r for r in whole.ledger if r.get("topic") == "split")["evidence"]
    assert split["evidence"]["test"] == 49  # one of the fifty is a copy of an old row
    assert "1 of its 50 rows are known to the run and left out: " in split["reason"]
    assert "known-test-rows" in {r["code"] for r in back.ledger if r["kind"] == "finding"}
    assert split["evidence"]["validation"] == old["validation"] + old["test"]
    assert "the old test rows join the validation set" in split["reason"]
    taken = [r for r in back.ledger if r.get("taken_over")]
    assert {r["step"] for r in taken} == {1, 2, 3}
    known = [r for r in whole.ledger if r["kind"] == "decision" and r["step"] == 3]
    assert [r["chosen"] for r in taken if r["kind"] == "decision" and r["step"] == 3] == [r["chosen"] for r in known]
    assert back.scores["headline"]["n"] == 49
    assert open_run(back.path).facts()["opened_before"] == 0


@pytest.mark.parametrize("time", ["", "x0"])
def test_a_run_may_be_judged_on_rows_of_its_own_from_the_beginning(tmp_path: Path, time: str) -> None:
    """All others are for training and validation, none of them later than those that judge them."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"x0": np.arange(120), "x1": rng.normal(size=120), "y": rng.choice(["a", "b"], 120)})
    frame[:100].write_csv(tmp_path / "rows.csv")
    frame[100:].write_csv(tmp_path / "test.csv")
    asked = RunRequest(source=str(tmp_path / "rows.csv"), target="y", time=time, test=str(tmp_path / "test.csv"))
    parts = parts_of(read_as_asked(asked.source, asked), asked)
    assert parts.frames["test"]["x0"].to_list() == list(range(100, 120))
    training, validation = (parts.frames[name]["x0"].to_list() for name in ("training", "validation"))
    assert sorted(training + validation) == list(range(100))
    assert len(validation) == pytest.approx(20, abs=1)
    assert not time or max(training) < min(validation)
    assert "are the test set" in parts.split.notes[-1]


def test_back_over_the_same_rows_is_marked(whole: luthier.Result, tmp_path: Path) -> None:
    back = luthier.branch(whole.path, 5, again=True, run=tmp_path / "back", screen=SilentScreen())
    assert back.scores["openings"] == 2
    assert "test-read-twice" in {r["code"] for r in back.ledger if r["kind"] == "finding"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (lambda frame: frame.drop(frame.columns[0]), "columns are missing"),
        (lambda frame: frame[:0], "has no rows"),
        (lambda frame: None, "not a new test set"),
    ],
)
def test_rows_that_are_not_fresh_are_refused(
    whole: luthier.Result, table: Path, tmp_path: Path, rows: Any, said: str
) -> None:
    frame = rows(pl.read_csv(table.with_name("new.csv")))
    path = tmp_path / "test.csv"
    (pl.read_csv(table) if frame is None else frame).write_csv(path)
    with pytest.raises(InputError, match=said):
        luthier.branch(whole.path, 4, new_test=path, run=tmp_path / "back", screen=SilentScreen())


@pytest.mark.parametrize("step", [0, 6])
def test_there_is_no_such_step(whole: luthier.Result, table: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(InputError, match="not a step"):
        luthier.branch(whole.path, step, run=tmp_path / "back", screen=SilentScreen())
    with pytest.raises(InputError, match="not a step"):
        fit(table, tmp_path / "run", until=step)


def test_back_to_the_loss_keeps_the_rows_in_their_parts(whole: luthier.Result, table: Path, tmp_path: Path) -> None:
    """Another metric, everything walked anew; what was sealed and not read stays so, what was read needs new rows."""
    beside: dict[str, Any] = {"loss": {"metric": "log loss"}, "screen": SilentScreen()}
    with pytest.raises(InputError, match="has been read"):
        luthier.branch(whole.path, 1, run=tmp_path / "none", **beside)
    back = luthier.branch(whole.path, 1, new_test=table.with_name("new.csv"), run=tmp_path / "back", **beside)
    assert back.scores["metric"] == "log loss"
    assert back.scores["headline"]["n"] == 49
    assert not [r for r in back.ledger if r.get("taken_over")]
    assert {r["step"] for r in back.ledger if r["kind"] == "decision"} >= {1, 2, 3}
    assert any("every step is walked anew" in str(r.get("sentence")) for r in back.ledger)
    stopped = fit(table, tmp_path / "stopped", until=4)
    kept = luthier.branch(stopped.path, 1, run=tmp_path / "kept", **beside)
    splits = [pl.read_parquet(run.folder.splits) for run in (stopped, kept)]
    assert splits[0].equals(splits[1])
    assert kept.scores["openings"] == 1


@pytest.mark.parametrize(
    ("step", "loss", "said"),
    [
        (1, {}, "repeats the run"),
        (4, {"metric": "log loss"}, "is chosen at step 1"),
        (1, {"target": "x0"}, "another target is another run"),
        (1, {"metric": "nonsense"}, "nonsense"),
        (1, {"budget": "3s"}, "there is no such setting"),
    ],
)
def test_what_is_not_another_loss_is_refused(
    step: int, loss: dict[str, Any], said: str, whole: luthier.Result, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        luthier.branch(whole.path, step, loss=loss, again=True, run=tmp_path / "back", screen=SilentScreen())
    assert not (tmp_path / "back").exists()


def test_a_step_that_was_not_reached_is_said(table: Path, tmp_path: Path) -> None:
    stopped = fit(table, tmp_path / "run", until=2)
    with pytest.raises(InputError, match="has not reached step 4"):
        luthier.branch(stopped.path, 4, run=tmp_path / "back", screen=SilentScreen())


def test_the_checklist_says_when_to_go_back(whole: luthier.Result) -> None:
    """After a poor test, and where a model that was good on all parts is poor in use; each as its own figures say."""

    def back(records: Sequence[Any] = (), **known: Any) -> list[tuple[str, str]]:
        ticked = {one.item: (one.status, one.said) for one in checklist(records, **known)}
        return [ticked[AFTER_TEST], ticked[AFTER_USE]]

    good = replace(whole.judgement, openings=1, difference_to_validation=Measure("rmse", 0.01, -0.02, 0.04))
    worse = replace(good, difference_to_validation=Measure("rmse", -0.1, -0.15, -0.05))
    fine = RunCheck("new.csv", 10, "")
    poor_in_use = replace(fine, finding=Finding("poor-in-use", "warning", "poor in use", remedy="change both"))
    nothing = replace(good, no_better_than_constant=Finding("no-better", "warning", "no better"))
    assert back() == [("open", ""), ("open", "")]
    assert back(whole.ledger, scores=good)[0] == ("not needed", "")
    for scores in (worse, nothing):
        status, said = back(whole.ledger, scores=scores)[0]
        assert (status, "--new-test FILE" in said) == ("open", True)
        fitted = {"kind": "decision", "step": 2, "code": "backbone"}  # such a run has no way back to a step
        assert back([*whole.ledger, fitted], scores=scores)[0][1].endswith("--test FILE")
    assert back(drift=fine)[1] == ("not needed", "")
    assert back(drift=poor_in_use)[1] == ("open", "change both")
    came_back = [{**record, "taken_over": "runs/first"} for record in whole.ledger if record.get("step") in (1, 2, 3)]
    assert back(came_back, scores=good)[0] == ("done", "back to step 4 of runs/first")
    assert back(came_back, scores=worse)[0][0] == "open"


def test_the_checklist_says_what_was_done(whole: luthier.Result) -> None:
    before = [one.status for one in checklist()]
    assert set(before) == {"open", "not for this data"}
    assert len(before) == len(ITEMS) >= 24
    after = checklist(whole.ledger)
    done = {one.item.what for one in after if one.status in ("done", "tried, not kept")}
    assert {"weight decay", "learning-rate finder", "the learning rate, tuned first"} <= done
    elsewhere = {one.item.what for one in after if one.status == "not for this data"}
    assert {"a proven architecture for pictures, such as ResNet", "LSTM for sequences"} <= elsewhere
    assert "input normalisation" not in elsewhere
    lines = in_lines(after)
    assert sum(line.startswith("Step ") for line in lines) == 6
    assert any("[ ] data from real use" in line for line in lines)
