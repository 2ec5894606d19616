"""Several targets of one table: networks that all share, a run for each, one table of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import luthier
from luthier.cli import app
from luthier.data import read_source
from luthier.errors import InputError, LuthierError
from luthier.recipe import follows, read_ledger
from luthier.runs.screen import SilentScreen


def table() -> pl.DataFrame:
    """A value and two labels; each tells much about the others, and the columns tell each of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    value = 2 * x[:, 0] + 0.1 * rng.normal(size=300)
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "value of it": value})
    return frame.with_columns(
        warm=pl.when(pl.col("a") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")),
        wet=pl.Series(np.where(x[:, 1] > 0, "yes", "no")).set(pl.Series(np.arange(300) % 4 == 0), None),
    )


TARGETS = ["value of it", "warm", "wet"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> luthier.MultiTargetResult:
    folder = tmp_path_factory.mktemp("several")
    return luthier.fit(table(), TARGETS, budget="900steps", run=folder / "run", screen=SilentScreen())


def test_each_target_has_a_run_of_its_own(found: luthier.MultiTargetResult) -> None:
    assert found.targets == tuple(TARGETS)
    assert [found[target].model.task.kind for target in TARGETS] == ["regression", "binary", "binary"]
    for target in TARGETS:
        used = {column.name for column in found[target].model.encoder.columns}
        assert used == {"a", "b", "c"}
    assert found["value of it"].scores["metric"] == "rmse"
    rows = [
        sum(found[t].ledger[k]["evidence"][p] for p in ("training", "validation", "test"))
        for t in TARGETS
        for k, r in enumerate(found[t].ledger)
        if r.get("topic") == "split"
    ]
    assert rows == [300, 300, 225]  # a row without one target serves the others


def test_all_targets_share_their_networks(found: luthier.MultiTargetResult) -> None:
    """Each target's model is heads of the networks of all: layers below the last are the same numbers."""
    one, other = found["value of it"].model, found["warm"].model
    assert [column.name for column in one.encoder.columns] == [column.name for column in other.encoder.columns]
    kept = [load_file(path) for path in (found.path / "networks" / "checkpoint").glob("*.safetensors")]
    trunks = {weights.tobytes() for each in kept for name, weights in each.items() if name.endswith("layers.0.weight")}
    for model in (one, other):
        assert {net.layers[0].weight.detach().numpy().tobytes() for net in model.nets} <= trunks
    assert (found.path / "networks" / "ledger.jsonl").exists()
    page = (found.path / "networks" / "report.html").read_text()
    assert "These networks are shared by 3 targets." in page
    parts = [{part: set(rows) for part, rows in _rows_of(found, target).items()} for target in TARGETS]
    for part in ("training", "validation", "test"):
        assert parts[0][part] == parts[1][part] >= parts[2][part]


def _rows_of(found: luthier.MultiTargetResult, target: str) -> dict[str, list[int]]:
    """The rows of the table in each part."""
    known = np.flatnonzero(table()[target].is_not_null().to_numpy())
    parts = pl.read_parquet(found[target].folder.splits)["part"].to_numpy()
    return {part: known[parts == part].tolist() for part in ("training", "validation", "test")}


def test_what_is_asked_of_a_target_is_said_by_its_name(tmp_path: Path) -> None:
    options: Any = {"budget": "60steps", "screen": SilentScreen(), "run": tmp_path / "run"}
    result = luthier.fit(table(), ["warm", "wet"], metric={"warm": "auc"}, positive="wet=no", **options)
    assert [result[target].scores["metric"] for target in ("warm", "wet")] == ["auc", "accuracy"]
    assert result["wet"].model.task.positive_name == "no"
    facts = read_ledger(result.path / "networks" / "ledger.jsonl")
    adopted = [one for one in facts if one.get("code") == "experiment"]
    assert all(one["evidence"]["target_metrics"] == ["auc", "accuracy"] for one in adopted)
    assert all(follows(one) for one in adopted)
    assert all("1 is as good as the constant, lower is better; warm: auc " in one["reason"] for one in adopted)
    with pytest.raises(InputError, match="not repeated"):
        luthier.rerun(result["warm"].path / "recipe.toml", screen=SilentScreen())
    with pytest.raises(InputError, match="not refitted"):
        luthier.refit(result["warm"].path)


def test_targets_may_have_networks_of_their_own(tmp_path: Path) -> None:
    options: Any = {"budget": "120steps", "screen": SilentScreen(), "run": tmp_path / "run", "separate": True}
    result = luthier.fit(table(), ["warm", "wet"], **options)
    assert not (result.path / "networks").exists()
    assert [luthier.load(result[target].path).task.target for target in ("warm", "wet")] == ["warm", "wet"]


def test_a_target_of_earlier_rows_alone_is_refused_and_hardly_any_later_ones_are_enough(tmp_path: Path) -> None:
    day, options = pl.int_range(300), {"time": "day", "screen": SilentScreen(), "budget": "60steps"}
    days = pl.date(2024, 1, 1) + pl.duration(days=day)
    early = table().with_columns(day=days, late=pl.when(day < 190).then(pl.col("a")))
    with pytest.raises(InputError, match=r"(?s)too few rows of a part have the target `late`.*test: 0.*--separate"):
        luthier.fit(early, ["warm", "late"], run=tmp_path / "refused", **options)
    assert not (tmp_path / "refused").exists()
    some = early.with_columns(late=pl.when((day < 190) | day.is_in([200, 210, 250, 251])).then(pl.col("a")))
    found = luthier.fit(some, ["warm", "late"], run=tmp_path / "run", **options)
    assert found["late"].scores["headline"]["value"] > 0
    assert found["late"].scores["headline"]["n"] == 2


def test_the_bound_of_memory_holds_from_the_first_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().with_columns(again=pl.col("warm")).write_csv(tmp_path / "rows.csv")
    allowed: list[int] = []

    def read(*source: Any, memory: int = 0, **options: Any) -> Any:
        allowed.append(memory)
        return read_source(*source, memory=memory, **options)

    for module in ("runs.multi_target", "recipe.rows.reading"):
        monkeypatch.setattr(f"luthier.{module}.read_source", read)
    with pytest.raises(InputError, match="are copies"):
        luthier.fit(tmp_path / "rows.csv", ["warm", "again"], memory="1GiB", run=tmp_path / "run")
    assert set(allowed) == {2**30}


def test_copies_are_refused(tmp_path: Path) -> None:
    frame = table().with_columns(again=pl.col("warm"))
    with pytest.raises(InputError, match="`warm` and `again` are copies"):
        luthier.fit(frame, ["warm", "again"], run=tmp_path / "run", screen=SilentScreen())
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="--metric rmse: not one of accuracy"):
        luthier.fit(frame, ["warm", "wet"], metric="wet=rmse", run=tmp_path / "run", screen=SilentScreen())


def test_predictions_come_in_one_table(found: luthier.MultiTargetResult, tmp_path: Path) -> None:
    together = found.predict(table())
    assert together.columns == TARGETS
    table().drop(TARGETS).write_csv(tmp_path / "new.csv")
    message = CliRunner().invoke(
        app, ["predict", str(found.path), str(tmp_path / "new.csv"), "-o", str(tmp_path / "p.csv")]
    )
    assert message.exit_code == 0, message.output
    written = pl.read_csv(tmp_path / "p.csv")
    assert {"value of it_prediction", "warm_prediction", "wet_probability_yes"} <= set(written.columns)
    assert written["warm_prediction"].to_list() == together["warm"].to_list()
    with pytest.raises(InputError, match="several targets"):
        luthier.load(found.path)


def test_what_is_left_is_gone_on_with(found: luthier.MultiTargetResult, tmp_path: Path) -> None:
    def broken(*args: Any, **facts: Any) -> None:
        if facts.get("name") == "wet":
            raise KeyboardInterrupt

    screen = SilentScreen()
    screen.event = broken  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        luthier.fit(table(), TARGETS, budget="900steps", run=tmp_path / "run", screen=screen)
    assert "not started" in (tmp_path / "run" / "report.html").read_text()
    again = luthier.MultiTargetResult(tmp_path / "run").resume(screen=SilentScreen())
    for target in TARGETS:
        assert again[target].scores["headline"] == found[target].scores["headline"]
    assert "not started" not in (tmp_path / "run" / "report.html").read_text()


def test_the_commands_know_such_a_folder(found: luthier.MultiTargetResult, tmp_path: Path) -> None:
    table().write_csv(tmp_path / "rows.csv")
    for command, wanted in (
        (["show", str(found.path)], "The sealed test set was opened 1 time"),
        (["test", str(found.path)], "The test set was read before"),
        (["check", str(found.path), str(tmp_path / "rows.csv")], "warm:"),
        (["report", str(found.path)], "report.html"),
    ):
        message = CliRunner().invoke(app, command)
        assert message.exit_code == 0, message.output
        assert wanted in message.output
    page = (found.path / "report.html").read_text()
    assert all(target in page for target in TARGETS)
    assert page.count("/report.html") == 4  # and of the networks that they share
    assert page.count("gradient-boosted trees, ") + page.count("regression, ") + page.count("(RBF), ") >= 1


def test_a_target_that_cannot_be_is_refused_before_the_first_is_trained(tmp_path: Path) -> None:
    frame = table().with_columns(note=pl.lit("all"), level=pl.lit(2.5), none=pl.lit(None, pl.Float64))
    with pytest.raises(InputError, match="3 of 4 targets cannot be predicted") as refused:
        luthier.fit(frame, ["warm", "note", "level", "none"], run=tmp_path / "run", screen=SilentScreen())
    assert all(f"`{name}`: " in str(refused.value) for name in ("note", "level", "none"))
    assert not (tmp_path / "run").exists()


def test_what_is_finished_serves_and_the_rest_is_tried_again(
    found: luthier.MultiTargetResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target whose run fails keeps neither the targets after it nor their predictions."""
    real = luthier.runs.joint_fit._delivering

    def broken(trained: Any, source: str, path: Path, target: str, *rest: Any) -> Any:
        if target == "warm":
            raise LuthierError("the disk is full")
        return real(trained, source, path, target, *rest)

    run, quiet = tmp_path / "run", SilentScreen()
    monkeypatch.setattr("luthier.runs.joint_fit._delivering", broken)
    with pytest.raises(InputError, match="1 of 3 targets could not be fitted"):
        luthier.fit(table(), TARGETS, budget="900steps", run=run, screen=quiet)
    monkeypatch.undo()
    table().drop(TARGETS).write_csv(tmp_path / "new.csv")
    table().write_csv(tmp_path / "rows.csv")
    for command in (["predict", str(run), str(tmp_path / "new.csv")], ["check", str(run), str(tmp_path / "rows.csv")]):
        message = CliRunner().invoke(app, command)
        assert message.exit_code == 0, message.output
        assert "`warm`: no model yet" in message.output
    assert luthier.MultiTargetResult(run).predict(table()).columns == ["value of it", "wet"]
    again = luthier.MultiTargetResult(run).resume(screen=quiet)
    assert again["warm"].scores["headline"] == found["warm"].scores["headline"]


@pytest.mark.parametrize(("targets", "said"), [(["warm"], "not several"), (["warm", "wett"], "no column `wett`")])
def test_what_cannot_be_several_targets(targets: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        luthier.fit(table(), targets, run=tmp_path / "run", screen=SilentScreen())


def test_what_is_for_one_target_says_so(found: luthier.MultiTargetResult, tmp_path: Path) -> None:
    """No option is taken and then forgotten, and no command ends in a traceback."""
    table().write_csv(tmp_path / "rows.csv")
    command = ["fit", str(tmp_path / "rows.csv"), "--target", "warm", "--target", "wet", "--metric", "auc"]
    message = CliRunner().invoke(app, command)
    assert isinstance(message.exception, InputError)
    assert "--metric auc: it is not said of which target" in str(message.exception)
    with pytest.raises(InputError, match="several targets"):
        luthier.tune_table(found.path, trials=1)
