"""A run followed by TensorBoard's files and by a real MLflow server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import luthier
from luthier.errors import ConfigError, InputError
from luthier.runs.screen import SearchScreen, SilentScreen
from luthier.runs.tracking import Tracked, TrackedSearch, tracker_for


def fitted(folder: Path, place: str) -> luthier.Result:
    result = luthier.fit("iris", budget="60steps", run=folder, screen=Tracked(SilentScreen(), tracker_for(place)))
    assert result is not None
    return result


def test_tensorboard_has_every_curve_decision_and_score(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fitted(tmp_path / "run", f"tensorboard:{tmp_path / 'board'}")
    (folder,) = (tmp_path / "board").iterdir()
    assert folder.name == "run"
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()
    curves = run.history.group_by("population").agg(steps=pl.col("step").n_unique())
    for name, steps in curves.iter_rows():
        points = events.Scalars(f"{name}/validation_loss")
        assert len(points) == steps, name
        own = run.history.filter(population=name)
        ends = own.filter(own["step"] == own["step"].max())  # these trainings are complete: their last weights count
        best = ends["validation_loss"].min()
        assert events.Scalars(f"{name}/best_validation_loss")[-1].value == pytest.approx(best, rel=1e-6)
    score = events.Scalars("test/accuracy")[0].value
    assert score == pytest.approx(run.scores["headline"]["value"], rel=1e-6)
    assert any(tag.startswith("decision/loss") for tag in tags["tensors"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    indices = ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    listening = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", "server", *listening, *indices]
    address = f"http://127.0.0.1:{port}"
    bare = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }  # seven processes more, which nothing here needs
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=bare) as process,
    ):
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}/health", timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    time.sleep(0.5)
            else:
                pytest.fail((folder / "log").read_text()[-2000:])
            yield address
        finally:
            process.terminate()


def test_an_mlflow_server_has_the_run(server: str, tmp_path: Path) -> None:
    import mlflow

    run = fitted(tmp_path / "irises", f"mlflow:{server}")
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("luthier")
    (result,) = client.search_runs([experiment.experiment_id])
    assert result.info.run_name == "irises"
    assert result.info.status == "FINISHED"
    assert result.data.metrics["test/accuracy"] == pytest.approx(run.scores["headline"]["value"])
    assert result.data.tags["loss"] == next(r["chosen"] for r in run.ledger if r.get("topic") == "loss")
    name = run.history["population"][0]
    steps = run.history.filter(population=name)["step"].n_unique()
    assert len(client.get_metric_history(result.info.run_id, f"{name}/validation_loss")) == steps
    files = {item.path for item in client.list_artifacts(result.info.run_id)}
    assert {"model.luthier", "report.html", "ledger.jsonl"} <= files


def searched(folder: Path, place: str, **options: Any) -> luthier.Study:
    screen = TrackedSearch(SearchScreen(), tracker_for(place))
    wanted = {"trials": 6, "epochs": 2, "confirm": 2, "workers": 1, **options}
    return luthier.tune_table("iris", run=folder, screen=screen, **wanted)


def test_tensorboard_has_every_trial_of_a_search(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    result = searched(tmp_path / "tuned", f"tensorboard:{tmp_path / 'board'}")
    top = EventAccumulator(str(tmp_path / "board" / "tuned"))
    top.Reload()
    best = [point.value for point in top.Scalars("best_validation_loss")]
    assert best == sorted(best, reverse=True)
    assert best[-1] == pytest.approx(min(trial.value for trial in result.outcome.searched))
    assert [point.value for point in top.Scalars("refitted/validation_loss")] == pytest.approx(
        [trial.value for trial in result.outcome.final]
    )
    for trial in result.outcome.trials:
        events = EventAccumulator(str(tmp_path / "board" / "tuned" / f"trial-{trial.number:04d}"))
        events.Reload()
        assert events.Scalars("hparam/validation_loss")[0].value == pytest.approx(trial.value)
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        kept = HParamsPluginData.FromString(content).session_start_info.hparams
        assert kept["learning_rate"].number_value == pytest.approx(trial.values["learning_rate"])
        assert kept["stage"].string_value == trial.stage


def test_an_mlflow_server_has_a_search_and_its_trials(server: str, tmp_path: Path) -> None:
    import mlflow

    result = searched(tmp_path / "tuned", f"mlflow:{server}", halving="successive", trials=8, epochs=9)
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("luthier").experiment_id
    (parent,) = client.search_runs([experiment], "attributes.run_name = 'tuned'")
    assert parent.info.status == "FINISHED"
    assert {"search.json", "trials.parquet", "report.html", "model.luthier"} <= {
        item.path for item in client.list_artifacts(parent.info.run_id)
    }
    below = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    by_name = {one.info.run_name: one for one in below}
    assert len(by_name) == len(result.outcome.trials)
    assert {trial.status for trial in result.outcome.trials} == {"complete", "pruned"}
    for trial in result.outcome.trials:
        one = by_name[f"trial {trial.number}"]
        assert one.data.params == {name: str(value) for name, value in trial.values.items()}
        assert one.data.metrics["best_validation_loss"] == pytest.approx(trial.value)
        assert one.data.tags["status"] == trial.status
        assert one.data.tags.get("why", "") == trial.reason
        curve = client.get_metric_history(one.info.run_id, "validation_loss")
        assert [(point.step, point.value) for point in curve] == trial.curve


def test_a_run_that_fails_is_marked(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    from luthier.runs import calls

    def broken(path: Path) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(calls, "write_report", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        fitted(tmp_path / "broken", f"mlflow:{server}")
    client = mlflow.MlflowClient(tracking_uri=server)
    result = {one.info.run_name: one.info.status for one in client.search_runs(["1"])}
    assert result["broken"] == "FAILED"


@pytest.mark.parametrize("asked", ["mlflow", "wandb:here", "tensorboard:", ":x"])
def test_a_tracker_that_does_not_exist_is_refused(asked: str) -> None:
    with pytest.raises(ConfigError, match="is not a tracker"):
        tracker_for(asked)


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    pytest.importorskip("mlflow")
    began = time.monotonic()
    with pytest.raises(InputError, match="no MLflow server answers"):
        tracker_for("mlflow:http://127.0.0.1:9")
    assert time.monotonic() - began < 60


def test_a_tracker_that_goes_away_does_not_end_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Gone:
        """A server whose cable is pulled after ten points."""

        points = 0

        def begin(self, name: str) -> None:
            assert name == "run"

        def number(self, name: str, value: float, step: int) -> None:
            self.points += 1
            if self.points > 10:
                raise ConnectionError  # without a word, as some clients do

        def record(self, topic: str, chosen: str, sentence: str) -> None:
            assert topic

        def end(self, status: str, folder: Path | None) -> None:
            raise AssertionError("never reached")

    tracker: Any = Gone()
    luthier.fit("iris", budget="60steps", run=tmp_path / "run", screen=Tracked(SilentScreen(), tracker))
    plain = luthier.fit("iris", budget="60steps", run=tmp_path / "plain", screen=SilentScreen())
    assert plain is not None
    assert (tmp_path / "run" / "model.luthier").read_bytes() == (tmp_path / "plain" / "model.luthier").read_bytes()
    assert tracker.points == 11
    assert (
        capsys.readouterr().err.count("the tracker is unreachable, the run continues without it: ConnectionError") == 1
    )


def test_the_runs_of_several_targets_are_followed_one_by_one(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    class Listening:
        """What a tracker hears, in order."""

        def begin(self, name: str) -> None:
            told.append(("begin", name))

        def number(self, name: str, value: float, step: int) -> None:
            told.append(("number", name))

        def record(self, topic: str, chosen: str, sentence: str) -> None:
            told.append(("record", topic))

        def end(self, status: str, folder: Path | None) -> None:
            told.append((status, "" if folder is None else folder.name))

    table = pl.DataFrame(
        {
            "x": [(k * 37 % 60) / 7 for k in range(60)],
            "a": [k % 2 for k in range(60)],
            "b": [k % 13 * 0.5 for k in range(60)],
        }
    )
    luthier.fit(table, ["a", "b"], budget="60steps", run=tmp_path / "both", screen=Tracked(SilentScreen(), Listening()))
    assert [one for one in told if one[0] in ("begin", "FINISHED")] == [
        ("begin", "networks"),
        ("FINISHED", "networks"),
        ("begin", "a"),
        ("FINISHED", "a"),
        ("begin", "b"),
        ("FINISHED", "b"),
    ]
    second = told[told.index(("begin", "b")) :]
    assert ("record", "decision/deliverable") in second
