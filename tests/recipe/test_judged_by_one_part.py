"""Designed experiments where rows follow time: one part judges, none of its rows stops a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.recipe import follows
from luthier.recipe.decisions import wording_of
from luthier.runs.screen import SilentScreen

BUDGET = "1500steps"


def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = x[:, 0] + x[:, 1] ** 2 + 0.5 * rng.normal(size=200) > 0.8
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "when": np.arange(200), "y": np.where(y, "yes", "no")})


def fit(run: Path, **options: Any) -> luthier.Result:
    asked = {"target": "y", "time": "when", "budget": BUDGET, **options}
    result = luthier.fit(table(), run=run, screen=SilentScreen(), **asked)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return fit(tmp_path_factory.mktemp("runs") / "run")


def decisions(run: luthier.Result, code: str) -> list[dict[str, Any]]:
    return [record for record in run.ledger if record["kind"] == "decision" and record["code"] == code]


def test_each_step_is_one_experiment_of_one_network_a_setting(run: luthier.Result) -> None:
    experiments = decisions(run, "experiment")
    assert [record["step"] for record in experiments] == [3, 4]
    assert all(record["evidence"]["folds"] == 1 for record in experiments)
    assert all(record["evidence"]["networks"] == record["evidence"]["settings"] for record in experiments)
    assert decisions(run, "answer")
    assert run.scores["headline"]["value"] > 0.6


def test_every_choice_follows_from_its_evidence_and_has_words(run: luthier.Result) -> None:
    for record in (r for code in ("experiment", "answer", "bags") for r in decisions(run, code)):
        assert follows(record)
        for language in ("en", "zh"):
            assert "fold" not in wording_of(record, language).sentence()


def test_trainings_are_complete(run: luthier.Result) -> None:
    """The last step's weights are kept, whatever the validation rows say."""
    curves = run.history.filter(pl.col("population").str.starts_with("train-"))
    ends = curves.group_by("population", "member").agg(pl.col("step").max())
    assert (
        ends.group_by("population").agg(pl.col("step").n_unique())["step"].to_list()
        == [1] * ends["population"].n_unique()
    )


def test_a_repeated_run_has_the_same_numbers(run: luthier.Result, tmp_path: Path) -> None:
    again = luthier.rerun(run.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == run.scores["headline"]
    assert decisions(again, "answer") == decisions(run, "answer")


@pytest.mark.parametrize("budget", ["1steps", "80steps"])
def test_the_smallest_budgets_walk_all_steps(budget: str, tmp_path: Path) -> None:
    result = fit(tmp_path / "run", budget=budget, time="")
    assert {record["step"] for record in result.ledger if record["kind"] == "decision"} >= {1, 2, 3, 4, 5}
    assert decisions(result, "bags")
