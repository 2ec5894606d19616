"""The ways through the recipe: stopped and judged later, read twice and marked, back to a step with fresh rows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import luthier
from luthier.assess import open_test
from luthier.data import read_source
from luthier.errors import InputError
from luthier.recipe import FitConfig, checklist, in_lines, read_as_asked
from luthier.recipe.checklist import ITEMS
from luthier.recipe.deciding import work_out
from luthier.recipe.parts import parts_of
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
    asked = FitConfig(source=str(tmp_path / "rows.csv"), target="y", time=time, new_test=str(tmp_path / "test.csv"))
    parts = parts_of(read_as_asked(asked.source, asked), asked)
    assert parts.frames["test"]["x0"].to_list() == list(range(100, 120))
    training, validation = (parts.frames[name]["x0"].to_list() for name in ("training", "validation"))
    assert sorted(training + validation) == list(range(100))
    assert len(validation) == pytest.approx(20, abs=1)
    assert not time or max(training) < min(validation)
    assert "is the test set" in parts.notes[-1]


def mixed(rows: int, seed: int, **cells: Any) -> pl.DataFrame:
    """Whole numbers, codes, words of yes and no, days, groups and an order; `cells` replace columns."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "whole": rng.integers(0, 40, rows),
        "code": rng.choice(["01", "02", "1.0"], rows),
        "smokes": rng.choice(["yes", "no"], rows),
        "day": [f"2024-0{1 + k % 9}-{10 + k % 17}" for k in range(rows)],
        "who": [f"p{k // 4}" for k in range(rows)],
        "when": np.arange(rows),
        "y": rng.integers(0, 500, rows),
    }
    return pl.DataFrame(columns | {name: values(rng, rows) for name, values in cells.items()})


NEW: dict[str, dict[str, Any]] = {
    "as before": {},
    "fractions": {"whole": lambda rng, n: rng.normal(20, 9, n).round(3), "y": lambda rng, n: rng.normal(250, 90, n)},
    "marks of a gap": {"whole": lambda rng, n: rng.choice(["3", "n/a", "17.5", "-"], n)},
    "words in capitals": {"smokes": lambda rng, n: rng.choice(["YES", "No", "perhaps"], n)},
    "days of another form": {"day": lambda rng, n: ["2024-05-17T00:00:00Z"] * n},
    "unknown codes": {"code": lambda rng, n: rng.choice(["1", "01", "7"], n)},
}


@pytest.mark.parametrize("kind", NEW)
def test_new_rows_are_read_as_the_model_reads_them(kind: str, tmp_path: Path) -> None:
    """Bit for bit what `predict` would see, and the target's own values: no cell is cast to the old table's types."""
    mixed(120, 0).write_csv(tmp_path / "rows.csv")
    new = mixed(40, 1, **NEW[kind])
    new.write_csv(tmp_path / "new.csv")
    columns = {"whole": "number", "code": "category", "who": "identifier"}
    asked = FitConfig(
        source=str(tmp_path / "rows.csv"),
        target="y",
        task="regression",
        columns=columns,
        new_test=str(tmp_path / "new.csv"),
    )
    parts = parts_of(read_as_asked(asked.source, asked), asked)
    sealed = open_test(parts.sealed, lambda *_: None, purpose="a test")
    numbers, codes = parts.encoder.encode(read_source(tmp_path / "new.csv").frame)
    assert torch.equal(sealed.numbers.nan_to_num(-1e9), numbers.nan_to_num(-1e9))
    assert torch.equal(sealed.codes, codes)
    assert sealed.targets is not None
    assert sealed.targets.tolist() == pytest.approx(new["y"].to_list(), rel=1e-12)


@pytest.mark.parametrize("cell", ["about 7", "7 kg", "$7", "yes"])
def test_new_rows_with_text_for_numbers_are_refused(cell: str, tmp_path: Path) -> None:
    mixed(120, 0).write_csv(tmp_path / "rows.csv")
    mixed(40, 1, whole=lambda rng, n: [cell] * n).write_csv(tmp_path / "new.csv")
    asked = FitConfig(source=str(tmp_path / "rows.csv"), target="y", new_test=str(tmp_path / "new.csv"))
    with pytest.raises(InputError, match="has text where training had numbers"):
        parts_of(read_as_asked(asked.source, asked), asked)


@pytest.mark.parametrize(
    ("option", "cells", "said"),
    [
        ("group", {}, "40 of 40 rows of .* are in groups that the run has rows of"),
        ("group", {"who": lambda rng, n: [f"p{29 + k // 4}" for k in range(n)]}, "4 of 40 rows of .* are in groups"),
        ("group", {"who": lambda rng, n: [f"q{k}" for k in range(n)]}, ""),
        ("group", {"who": lambda rng, n: [None] * n}, ""),
        ("time", {}, "40 of 40 rows of .* are earlier than the run's last"),
        ("time", {"when": lambda rng, n: np.arange(n) + 110}, "9 of 40 rows of .* are earlier than the run's last"),
        ("time", {"when": lambda rng, n: np.arange(n) + 119}, ""),
    ],
)
def test_new_rows_lie_outside_as_the_runs_own_would(option: str, cells: Any, said: str, tmp_path: Path) -> None:
    mixed(120, 0).write_csv(tmp_path / "rows.csv")
    mixed(40, 1, **cells).write_csv(tmp_path / "new.csv")
    named = {"group": "who", "time": "when"}
    asked = FitConfig(
        source=str(tmp_path / "rows.csv"), target="y", new_test=str(tmp_path / "new.csv"), **{option: named[option]}
    )
    read = read_as_asked(asked.source, asked)
    if said:
        with pytest.raises(InputError, match=said):
            parts_of(read, asked)
    else:
        assert parts_of(read, asked).units["test"].kind == {"group": "groups", "time": "blocks"}[option]
    mixed(40, 1).drop(named[option]).write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match="cannot be the new test set"):
        parts_of(read_as_asked(asked.source, asked), asked)


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


@pytest.mark.parametrize("step", [0, 1, 6])
def test_there_is_no_such_step(whole: luthier.Result, table: Path, tmp_path: Path, step: int) -> None:
    with pytest.raises(InputError, match="not a step"):
        luthier.branch(whole.path, step, run=tmp_path / "back", screen=SilentScreen())
    if step != 1:
        with pytest.raises(InputError, match="not a step"):
            fit(table, tmp_path / "run", until=step)


def test_a_step_that_was_not_reached_is_said(table: Path, tmp_path: Path) -> None:
    stopped = fit(table, tmp_path / "run", until=2)
    with pytest.raises(InputError, match="has not reached step 4"):
        luthier.branch(stopped.path, 4, run=tmp_path / "back", screen=SilentScreen())


def test_the_checklist_says_what_was_done(whole: luthier.Result) -> None:
    before = [one.status for one in checklist()]
    assert set(before) == {"open", "not for this data"}
    assert len(before) == len(ITEMS) >= 24
    after = checklist(whole.ledger)
    done = {one.item.what for one in after if one.status in ("done", "tried, not kept")}
    assert {"weight decay", "learning-rate finder", "the learning rate, tuned first"} <= done
    lines = in_lines(after)
    assert sum(line.startswith("Step ") for line in lines) == 6
    assert any("[ ] data from real use" in line for line in lines)


def test_the_doctor_finds_what_was_planted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 600
    x = rng.normal(size=(rows, 3))
    label = np.where(x[:, 0] + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    frame = pl.DataFrame(
        {"id": np.arange(rows), "a": x[:, 0], "b": x[:, 1], "same": np.ones(rows), "later": label == "yes", "y": label}
    )
    result = luthier.doctor(frame, target="y")
    kinds = {column["name"]: (column["kind"], column["used"]) for column in result.columns}
    assert kinds["id"] == ("identifier", False)
    assert kinds["same"] == ("constant", False)
    assert "leaking-column" in {finding.code for finding in result.findings}
    assert not result.healthy
    assert all(passed for _, passed, _ in result.checks)


def test_the_doctor_sees_no_signal_and_wrong_labels() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 4))
    noise = luthier.doctor(
        pl.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": rng.choice(["a", "b"], 800)}), target="y"
    )
    assert "no-signal" in {finding.code for finding in noise.findings}
    digits = read_source("digits").frame
    label = digits["digit"].to_numpy().copy()
    wrong = np.flatnonzero(rng.random(len(label)) < 0.12)
    label[wrong] = (label[wrong] + 1 + rng.integers(0, 8, len(wrong))) % 10
    counted = digits.with_columns(pl.Series("digit", label), w=pl.lit(1.0))
    rows = pl.concat([counted.head(100).with_columns(w=pl.lit(0.0)), counted])  # numbers are those of the whole table
    result = luthier.doctor(rows, target="digit", weight="w")
    assert "100 rows are set aside" in str(result)
    assert "label-noise" in {finding.code for finding in result.findings}
    hits = set(result.suspects) & set((wrong + 100).tolist())
    assert len(hits) > 0.9 * len(result.suspects)
    assert "Rows whose label should be checked" in str(result)
    json.dumps(result.to_json(), allow_nan=False)


def test_what_was_asked_for_is_kept_and_followed(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 3))
    frame = pl.DataFrame(
        {
            **{f"x{i}": x[:, i] for i in range(3)},
            "who": rng.integers(0, 50, 500),
            "y": np.where(x[:, 0] + rng.normal(size=500) > 0.8, "ill", "well"),
        }
    )
    result = luthier.fit(
        frame,
        target="y",
        budget=BUDGET,
        run=tmp_path / "run",
        screen=SilentScreen(),
        group="who",
        metric="auc",
        costs="1:4",
    )
    assert result is not None
    assert result.scores["metric"] == "auc"
    assert result.scores["headline"]["name"] == "auc"
    assert result.model.threshold != 0.5
    topics = {record.get("topic"): record for record in result.ledger}
    assert topics["threshold"]["evidence"]["costs"] == "1:4"
    assert topics["column `who`"]["chosen"] == "identifier, dropped"
    assert "whole groups" in topics["split"]["reason"]
    parts = pl.read_parquet(result.folder.splits).with_columns(frame["who"])
    assert parts.group_by("who").agg(pl.col("part").n_unique())["part"].max() == 1
    again = luthier.fit(result.path / "recipe.toml", repeat=True, run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == result.scores["headline"]
    assert luthier.Model.load(again.folder.bundle).threshold == result.model.threshold


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group": "whom"}, "no such column"),
        ({"group": "species"}, "no such column"),
        ({"metric": "rmse"}, "not one of accuracy"),
        ({"weight": "nothing"}, "no such column"),
        ({"costs": "1:5"}, "works with two classes only"),
        ({"group": "sepal length (cm)", "time": "sepal width (cm)"}, "exclude each other"),
    ],
)
def test_requests_that_cannot_be_meant(table: Path, tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(table, tmp_path / "run", **options)


def test_one_network_is_delivered_when_asked(table: Path, tmp_path: Path) -> None:
    result = luthier.fit(
        table, target="species", budget="2000steps", run=tmp_path / "run", screen=SilentScreen(), distil=True
    )
    assert result is not None
    topics = {record.get("topic"): record for record in result.ledger}
    if "distillation" in topics:  # where one network alone was best there is nothing to distil
        assert len(result.model.nets) == 1
        assert result.model.threshold == 0.5
        assert topics["distillation"]["step"] == 5
    assert result.scores["headline"]["value"] > 0.8


def test_the_metric_decides_what_is_delivered_and_where_the_line_is(tmp_path: Path) -> None:
    """With one positive row in eight, F1 asks for a lower line than one half; everybody is judged by such a line."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1600, 3))
    y = x[:, 0] + x[:, 1] + 1.2 * rng.normal(size=1600) > 2.3
    frame = pl.DataFrame({**{f"x{i}": x[:, i] for i in range(3)}, "y": np.where(y, "yes", "no")})
    result = luthier.fit(
        frame, target="y", metric="f1", budget="4000steps", run=tmp_path / "run", screen=SilentScreen()
    )
    assert result is not None
    model = luthier.load(result.folder.path)
    assert 0.1 < model.threshold < 0.5
    by_topic = {record["topic"]: record for record in result.ledger if record["kind"] == "decision"}
    deliverable, threshold = by_topic["deliverable"], by_topic["threshold"]
    assert deliverable["evidence"]["by"] == "f1"
    assert all("f1" in option["evidence"] for option in deliverable["options"])
    assert work_out(deliverable) == deliverable["chosen"]
    assert work_out(threshold) == threshold["chosen"]
    turned = copy.deepcopy(deliverable)
    for option in turned["options"]:
        option["evidence"]["f1"] *= -1
        option["evidence"]["f1"] -= 10 * option["name"].startswith("5-fold ensemble")
    assert len(deliverable["options"]) == 1 or work_out(turned) != work_out(deliverable)
    matrix = np.array(result.scores["confusion"]["matrix"])
    f1 = 2 * matrix[1, 1] / (2 * matrix[1, 1] + matrix[0, 1] + matrix[1, 0])
    assert result.scores["headline"]["value"] == pytest.approx(f1)
