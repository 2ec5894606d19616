"""What a run is asked for is kept, followed, or refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import luthier
from luthier.assess import open_test
from luthier.data import read_source
from luthier.errors import ConfigError, InputError
from luthier.recipe import follows, read_as_asked
from luthier.recipe.rows.outside import require_outside
from luthier.recipe.rows.parts import parts_of
from luthier.records import result_and_entries
from luthier.request import FitConfig, RunRequest
from luthier.runs.requested import request
from luthier.runs.screen import SilentScreen

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
    asked = RunRequest(
        source=str(tmp_path / "rows.csv"),
        target="y",
        task="regression",
        columns=columns,
        test=str(tmp_path / "new.csv"),
    )
    parts = parts_of(read_as_asked(asked.source, asked), asked)
    sealed = result_and_entries(open_test(parts.sealed, purpose="a test"))[0]
    numbers, codes = parts.encoder.encode(read_source(tmp_path / "new.csv").frame).values()
    assert torch.equal(sealed.numbers.nan_to_num(-1e9), numbers.nan_to_num(-1e9))
    assert torch.equal(sealed.codes, codes)
    assert sealed.targets is not None
    assert sealed.targets.tolist() == pytest.approx(new["y"].to_list(), rel=1e-12)


@pytest.mark.parametrize("cell", ["about 7", "7 kg", "$7", "yes"])
def test_new_rows_with_text_for_numbers_are_refused(cell: str, tmp_path: Path) -> None:
    mixed(120, 0).write_csv(tmp_path / "rows.csv")
    mixed(40, 1, whole=lambda rng, n: [cell] * n).write_csv(tmp_path / "new.csv")
    asked = RunRequest(source=str(tmp_path / "rows.csv"), target="y", test=str(tmp_path / "new.csv"))
    with pytest.raises(InputError, match="has text where training had numbers"):
        parts_of(read_as_asked(asked.source, asked), asked)


@pytest.mark.parametrize(
    ("option", "cells", "said"),
    [
        ("group", {}, "40 of 40 test rows are in groups of `who` that open rows have too"),
        ("group", {"who": lambda rng, n: [f"p{29 + k // 4}" for k in range(n)]}, "4 of 40 test rows are in groups"),
        ("group", {"who": lambda rng, n: [f"q{k}" for k in range(n)]}, ""),
        ("group", {"who": lambda rng, n: [None] * n}, ""),
        ("time", {}, "40 of 40 test rows are earlier than the last open row"),
        ("time", {"when": lambda rng, n: np.arange(n) + 110}, "9 of 40 test rows are earlier than the last open row"),
        ("time", {"when": lambda rng, n: np.arange(n) + 119}, ""),
    ],
)
def test_whether_test_rows_lie_outside_of_the_open_ones_is_said(
    option: str, cells: Any, said: str, tmp_path: Path
) -> None:
    mixed(120, 0).write_csv(tmp_path / "rows.csv")
    mixed(40, 1, **cells).write_csv(tmp_path / "new.csv")
    named = {"group": "who", "time": "when"}
    asked = RunRequest(
        source=str(tmp_path / "rows.csv"), target="y", test=str(tmp_path / "new.csv"), **{option: named[option]}
    )
    read = read_as_asked(asked.source, asked)
    parts = parts_of(read, asked)
    assert parts.units["test"].kind == {"group": "groups", "time": "blocks"}[option]
    notes = [note for note in parts.split.notes if "test rows are" in note]
    assert [note.startswith(said) for note in notes] == [True] * bool(said)
    if said:  # a new test set of a run is held to what its own would be
        with pytest.raises(InputError, match=f"--{option} "):
            require_outside(parts.frames["test"], read, asked)
    else:
        require_outside(parts.frames["test"], read, asked)
    mixed(40, 1).drop(named[option]).write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match="cannot be the new test set"):
        parts_of(read_as_asked(asked.source, asked), asked)


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
    again = luthier.rerun(result.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == result.scores["headline"]
    assert luthier.Model.load(again.folder.bundle).threshold == result.model.threshold


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group": "whom"}, "no such column"),
        ({"group": "species"}, "it is the target"),
        ({"metric": "rmse"}, "not one of accuracy"),
        ({"sample_weight": "nothing"}, "no such column"),
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
    assert deliverable["evidence"]["metric"] == "f1"
    assert all("f1" in option["evidence"] for option in deliverable["options"])
    assert follows(deliverable)
    assert follows(threshold)
    turned = copy.deepcopy(deliverable)
    for option in turned["evidence"]["sizes"]:
        option["value"] = -option["value"]
    assert len({option["value"] for option in turned["evidence"]["sizes"]}) == 1 or not follows(turned)
    matrix = np.array(result.scores["confusion"]["matrix"])
    f1 = 2 * matrix[1, 1] / (2 * matrix[1, 1] + matrix[0, 1] + matrix[1, 0])
    assert result.scores["headline"]["value"] == pytest.approx(f1)


@pytest.mark.parametrize(
    "options",
    [{"metric": 3}, {"group": 5}, {"seed": "x"}, {"columns": {"a": 1}}, {"columns": "a=number"}, {"target": {"a": 1}}],
)
def test_options_of_another_type_are_refused_in_words_of_ours(options: dict[str, Any]) -> None:
    frame = pl.DataFrame({"a": range(60), "y": [0, 1, 1] * 20})
    (name,) = options
    calls: list[Any] = [luthier.fit] if name == "metric" else [luthier.fit, luthier.tune_table, luthier.doctor]
    for call in calls:
        with pytest.raises(ConfigError, match=f"{name}.*input should be a valid .*, not"):
            call(frame, **{"target": "y", **options})


def test_the_positive_class_and_the_target_may_be_numbers() -> None:
    frame = pl.DataFrame({"a": [2, 5, 1, 4] * 15, "3": [0, 1, 1] * 20})
    asked = request(frame, FitConfig.of(budget="1steps", target=3, positive=0))
    assert read_as_asked(frame, asked).task.positive_name == "0"
