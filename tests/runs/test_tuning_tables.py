"""A search on a table, or on the table of a run: under the same problem, with the same sealed rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.recipe import read_as_asked
from luthier.recipe.preparing.prepare import parts_of
from luthier.request import RunRequest
from luthier.runs.screen import SearchScreen, SilentScreen
from luthier.saved import open_run

TINY: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1, "tiers": False}
QUIET: dict[str, Any] = {"budget": "60steps", "screen": SilentScreen()}


class Silent(SearchScreen):
    """Says nothing."""

    def event(self, name: str, /, **facts: Any) -> None:
        """Nothing is shown."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of patients in an order of time, with weights, and a second target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 2))
    frame = pl.DataFrame(
        {
            "patient": [f"p{k // 5}" for k in range(150)],
            "minute": np.arange(150) * 3,
            "w": rng.choice([1, 2, 5], 150),
            "a": x[:, 0],
            "b": x[:, 1],
            "state": np.where(x[:, 0] + rng.normal(size=150) > 0.7, "sick", "well"),
            "later": rng.choice(["yes", "no"], 150),
        }
    )
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    frame.write_csv(path)
    return path


def parts(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "splits.parquet")


def kinds(run: Path) -> dict[str, str]:
    lines = map(json.loads, (run / "ledger.jsonl").read_text().splitlines())
    return {line["of"]: line["choice"] for line in lines if line.get("code") == "column"}


ASKED: dict[str, dict[str, Any]] = {
    "group": {"group": "patient"},
    "time": {"time": "minute"},
    "sample_weight": {"sample_weight": "w", "seed": 3},
    "costs": {"costs": "1:20", "positive": "well", "columns": {"b": "identifier"}, "beside": ("later",)},
}


@pytest.mark.parametrize("name", ASKED)
def test_a_run_is_searched_under_its_own_problem(name: str, table: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    luthier.fit(table, target="state", run=run, until=1, **ASKED[name], **QUIET)
    luthier.tune_table(run, run=tmp_path / "tuned", screen=Silent(), seed=7, **TINY)
    assert parts(run).equals(parts(tmp_path / "tuned"))
    assert kinds(run) == kinds(tmp_path / "tuned")
    before, now = (open_run(path).facts() for path in (run, tmp_path / "tuned"))
    assert before["task"] == now["task"]
    assert now["search"]["effort"]["seed"] == 7
    model = luthier.load(tmp_path / "tuned")
    if name == "costs":  # a sick row that is missed costs a twentieth
        assert model.task.positive_name == "well"
        assert model.positive_threshold < 0.5  # of one half without costs


@pytest.mark.parametrize("option", ["group", "time", "sample_weight"])
def test_a_table_is_searched_and_checked_as_it_would_be_fitted(option: str, table: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = ASKED[option]
    luthier.tune_table(table, target="state", run=tmp_path / "tuned", screen=Silent(), **asked, **TINY)
    expected = RunRequest(source=str(table), target="state", **asked)
    split = parts_of(read_as_asked(str(table), expected), expected).splits
    assert np.flatnonzero((parts(tmp_path / "tuned")["part"] == "test").to_numpy()).tolist() == split.test.tolist()
    report = luthier.doctor(table, target="state", **{name: value for name, value in asked.items() if name != "seed"})
    used = {column["name"]: column["used"] for column in report.columns}
    assert not used.get(asked.get("group") or asked.get("sample_weight"), False)


@pytest.mark.parametrize("option", [{"group": "patient"}, {"target": "later"}, {"columns": {"a": "category"}}])
def test_a_problem_described_anew_beside_a_run_is_refused(option: dict[str, Any], table: Path, tmp_path: Path) -> None:
    luthier.fit(table, target="state", run=tmp_path / "run", until=1, **QUIET)
    with pytest.raises(InputError, match="searched under what that run was asked for"):
        luthier.tune_table(tmp_path / "run", run=tmp_path / "tuned", screen=Silent(), **option, **TINY)


def test_the_doctor_refuses_a_table_without_a_usable_column() -> None:
    frame = pl.DataFrame({"id": np.arange(50), "same": ["x"] * 50, "y": ["a", "b"] * 25})
    with pytest.raises(InputError, match="no column is left as an input") as refused:
        luthier.doctor(frame, target="y")
    assert "--column id=category" in str(refused.value) or "--column id=number" in str(refused.value)
