"""A whole run: the same numbers when it is repeated, resumed or killed at any moment."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests import warm

import luthier
from luthier.data import read_source
from luthier.errors import InputError, LuthierError
from luthier.recipe import read_ledger
from luthier.recipe.decisions import wording_of
from luthier.runs.screen import SilentScreen
from luthier.saved import predict_file

BUDGET = "400steps"


def fit(source: Any, run: Path, **options: Any) -> luthier.Result:
    result = luthier.fit(source, run=run, screen=SilentScreen(), **{"budget": BUDGET, **options})
    assert result is not None
    return result


def numbers(run: Path) -> dict[str, Any]:
    """Everything of a run that must repeat: scores and ledger."""
    scores = json.loads((run / "scores.json").read_text().replace(str(run), "RUN"))
    ledger = (run / "ledger.jsonl").read_text().replace(str(run), "RUN")
    return {"scores": scores, "ledger": ledger}


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return fit("iris", tmp_path_factory.mktemp("runs") / "iris")


def test_the_run_folder_is_complete(iris: luthier.Result) -> None:
    names = {path.name for path in iris.path.iterdir()}
    expected = {"run.json", "recipe.toml", "ledger.jsonl", "history", "checkpoint", "model.luthier", "report.html"}
    assert expected | {"scores.json", "splits.parquet"} <= names
    assert iris.scores["headline"]["value"] > 0.85
    assert iris.history.height > 0


def test_every_network_is_a_trial_of_the_study(iris: luthier.Result) -> None:
    optuna = pytest.importorskip("optuna")
    study = optuna.load_study(study_name=iris.path.name, storage=f"sqlite:///{iris.path / 'study.db'}")
    trials = iris.scores["trials"]
    assert [trial.user_attrs["label"] for trial in study.trials] == [trial["label"] for trial in trials]
    assert study.best_value == min(trial["validation_loss"] for trial in trials if trial["status"] != "cut at rung")
    assert all(trial.intermediate_values for trial in study.trials)


def test_every_step_left_decisions(iris: luthier.Result) -> None:
    """In order, each with its reason; what baselines came to, of step 1, is known when they are done."""
    records = [record for record in iris.ledger if record["kind"] == "decision"]
    steps = [record["step"] for record in records if record["code"] != "baselines"]
    assert steps == sorted(steps)
    assert set(steps) == {0, 1, 2, 3, 4, 5}
    assert all(wording_of(record).sentence() for record in records)


def test_the_test_set_was_opened_once_after_the_deliverable_was_frozen(iris: luthier.Result) -> None:
    kinds = [record["kind"] for record in iris.ledger]
    assert kinds.count("opening") == 1
    topics = [record.get("topic") for record in iris.ledger]
    assert kinds.index("opening") > topics.index("calibration")


def test_the_same_request_gives_the_same_numbers(iris: luthier.Result, tmp_path: Path) -> None:
    again = fit("iris", tmp_path / "again")
    assert numbers(again.path) == numbers(iris.path)


def test_another_seed_gives_others(iris: luthier.Result, tmp_path: Path) -> None:
    assert numbers(fit("iris", tmp_path / "other", seed=1).path) != numbers(iris.path)


def test_repeating_from_the_recipe_gives_the_same_numbers(iris: luthier.Result, tmp_path: Path) -> None:
    again = luthier.rerun(iris.path / "recipe.toml", run=tmp_path / "again")
    assert numbers(again.path) == numbers(iris.path)


@pytest.mark.parametrize("share", [0.5, *(pytest.param(share, marks=pytest.mark.soak) for share in (0.2, 0.8))])
def test_a_killed_run_resumes_to_the_same_numbers(iris: luthier.Result, tmp_path: Path, share: float) -> None:
    run = tmp_path / "killed"
    command = [sys.executable, "-m", "luthier", "fit", "iris", "--budget", BUDGET, "--run", str(run), "--json"]
    lines = len(iris.ledger)
    child = warm.Popen(command, stdout=warm.PIPE, stderr=warm.PIPE)
    assert child.stdout is not None
    for _ in range(int(lines * share)):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    # what a kill in the middle of a write leaves behind
    with (run / "ledger.jsonl").open("a") as file:
        file.write('{"kind": "decis')
    luthier.resume(run, screen=SilentScreen())
    assert numbers(run) == numbers(iris.path)


@pytest.mark.parametrize("writes", [30, *(pytest.param(writes, marks=pytest.mark.soak) for writes in (5, 60))])
def test_a_full_disk_is_said_and_the_run_can_go_on(
    iris: luthier.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    done = 0
    really = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done > writes:
            raise OSError(errno.ENOSPC, "No space left on device")
        really(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("luthier.storage.os.fsync", fsync)
        with pytest.raises(LuthierError, match="the disk is full"):
            fit("iris", tmp_path / "full")
    luthier.resume(tmp_path / "full", screen=SilentScreen())
    assert numbers(tmp_path / "full") == numbers(iris.path)


def test_a_file_is_predicted_in_pieces(iris: luthier.Result, tmp_path: Path) -> None:
    table = tmp_path / "iris.csv"
    read_source("iris").frame.write_csv(table)
    for rows, name in ((7, "pieces.csv"), (1000, "whole.csv")):
        assert predict_file(iris.path, str(table), tmp_path / name, rows=rows) == 150
    pieces, whole = pl.read_csv(tmp_path / "pieces.csv"), pl.read_csv(tmp_path / "whole.csv")
    assert pieces.select(pl.exclude("^probability_.*$")).equals(whole.select(pl.exclude("^probability_.*$")))
    # float32: the products round differently in batches of another size
    probabilities = [frame.select("^probability_.*$").to_numpy() for frame in (pieces, whole)]
    np.testing.assert_allclose(*probabilities, atol=1e-6)


def test_a_finished_run_is_handed_back(iris: luthier.Result) -> None:
    before = numbers(iris.path)
    luthier.resume(iris.path, screen=SilentScreen())
    assert numbers(iris.path) == before


def test_a_resumed_run_notices_changed_data(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    rng = np.random.default_rng(0)
    pl.DataFrame({"x": rng.normal(size=60), "y": ["a", "b"] * 30}).write_csv(path)
    run = tmp_path / "run"
    fit(path, run, target="y", budget="40steps")
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    pl.DataFrame({"x": rng.normal(size=60), "y": ["a", "b"] * 30}).write_csv(path)
    with pytest.raises(InputError, match="has changed since the run started"):
        luthier.resume(run, screen=SilentScreen())


def test_predictions_come_back_in_the_targets_type(iris: luthier.Result) -> None:
    frame = read_source("iris").frame
    predicted = iris.predict(frame)
    assert (predicted == frame["species"]).mean() > 0.9
    probabilities = iris.predict_proba(frame)
    assert probabilities.columns == ["setosa", "versicolor", "virginica"]
    np.testing.assert_allclose(probabilities.to_numpy().sum(1), 1.0)


def test_a_regression_on_the_log_scale(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    size, kind = rng.uniform(0, 3, 300), rng.choice(["a", "b", "c"], 300)
    price = np.exp(size + (kind == "b") + rng.normal(0, 0.1, 300))
    frame = pl.DataFrame({"size": size, "kind": kind, "price": price})
    result = fit(frame, tmp_path / "run", target="price", budget="1200steps")
    assert json.loads((result.path / "run.json").read_text())["task"]["log_scale"]
    r2 = next(m for m in result.scores["metrics"] if m["name"] == "r2")
    assert r2["value"] > 0.8
    assert 0.75 <= result.scores["calibration"]["coverage"] <= 1.0  # 60 test rows: 0.9 within 4 standard errors
    # A frame has no path: the run keeps a copy, so that it can be resumed and repeated.
    assert (result.path / "source.parquet").exists()


class SlowClock:
    """A clock on which every look takes a while."""

    def __init__(self, look: float = 0.1) -> None:
        self.time, self.look = 0.0, look

    def now(self) -> float:
        self.time += self.look
        return self.time


def test_a_budget_is_kept_and_its_cuts_are_replayed(tmp_path: Path) -> None:
    clock = SlowClock()
    cut = fit("iris", tmp_path / "cut", budget="30s", clock=clock)
    assert clock.time <= 30 + 3
    ledger = read_ledger(cut.path / "ledger.jsonl")
    assert any(record["kind"] == "cut" or record.get("begun") is False for record in ledger)
    again = luthier.rerun(cut.path / "recipe.toml", run=tmp_path / "again")
    assert numbers(again.path) == numbers(cut.path)


def test_the_network_that_is_trained_at_least_is_cut_too_and_its_cut_is_replayed(tmp_path: Path) -> None:
    clock = SlowClock(look=1.0)  # the budget is over before any network is trained
    late = fit("iris", tmp_path / "late", budget="10s", clock=clock)
    cuts = {record["work"]: record for record in read_ledger(late.path / "ledger.jsonl") if record["kind"] == "cut"}
    assert 20 <= cuts["at least"]["step"] < 200  # of the 200 steps of a linear network
    again = luthier.rerun(late.path / "recipe.toml", run=tmp_path / "again")
    assert numbers(again.path) == numbers(late.path)


def test_time_is_bounded_in_truth(tmp_path: Path) -> None:
    began = time.monotonic()
    fit("iris", tmp_path / "short", budget="4s")
    assert time.monotonic() - began < 4 + 3 + 3  # the promise, and slack for a busy machine
