"""A budget that is spent before anything is trained still delivers a network that predicts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.nets import DenseSpec
from luthier.recipe.planning.plan import Stage
from luthier.recipe.steps import find_rates
from luthier.runs.screen import SilentScreen

ROWS = 90
WORDS = ["the", "cat", "sat", "on", "a", "mat", "with", "many", "red", "dogs", "who", "like", "blue", "food"]


def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x, kinds = rng.normal(size=ROWS), rng.choice(["x", "y", "z"], ROWS)
    return pl.DataFrame({"a": x, "kind": kinds, "value": 3 * x + 100, "side": np.where(x > 0, "p", "q")})


def source(name: str) -> Any:
    rng = np.random.default_rng(0)
    if name == "pictures":
        return rng.random((ROWS, 10, 10)).astype(np.float32), rng.integers(0, 2, ROWS)
    if name == "text":
        return pl.DataFrame({"text": [" ".join(rng.choice(WORDS, 12)) for _ in range(ROWS)], "side": ["p", "q"] * 45})
    return table()


SPENT = "0.001s"


@pytest.mark.parametrize(
    ("name", "target", "budget"),
    [
        *(("table", "value", SPENT), ("table", "side", SPENT), ("table", "kind", "1steps")),
        *(("text", "side", SPENT), ("pictures", None, SPENT)),
    ],
)
def test_a_network_is_delivered_whatever_the_budget(name: str, target: str | None, budget: str, tmp_path: Path) -> None:
    result = luthier.fit(source(name), target=target, budget=budget, run=tmp_path / "run", screen=SilentScreen())
    assert result is not None
    assert len(result.model.nets) >= 1
    notes = [record["sentence"] for record in result.ledger if record["kind"] == "note"]
    assert any("before any network was trained" in note for note in notes) == (budget == SPENT)
    if target == "side" and name == "table":  # a linear network, which has learnt it
        assert result.scores["headline"]["value"] > 0.7


def test_the_latest_two_rows_of_eleven_are_validated_by(tmp_path: Path) -> None:
    frame = table().head(11).with_columns(day=pl.date(2024, 1, 1) + pl.duration(days=pl.int_range(11)))
    found = luthier.fit(frame, "value", time="day", budget="20steps", run=tmp_path / "run", screen=SilentScreen())
    assert found is not None
    assert found.scores["headline"]["n"] == 2


def test_several_targets_share_next_to_nothing(tmp_path: Path) -> None:
    found = luthier.fit(table(), ["value", "side"], budget="0.002s", run=tmp_path, screen=SilentScreen())
    assert found.predict(table()).shape == (ROWS, 2)


@pytest.mark.parametrize(("unit", "seeds"), [(0.0, 5), (1e-6, 5), (1e-4, 2), (1e-2, 0)])
def test_range_tests_have_as_many_networks_as_their_share_has_time_for(
    unit: float, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rules, a hundred steps of which each network's rate rises, and 300 that confirm: 80 s at 0.1 s a step, of a
    share of 90 and as long again."""
    modality = SimpleNamespace(work=lambda network, rows: 1000.0)
    monkeypatch.setattr(find_rates, "modality_of", lambda problem: modality)
    shares = {"range": 0.1, "fit validation": 0.4}
    plan = SimpleNamespace(design=SimpleNamespace(unit=unit), range_seeds=5, range_steps=100, shares=shares)
    plan.fit_validation = Stage(steps=1, seconds=360.0)
    runner: Any = SimpleNamespace(plan=plan, problem=None)
    assert find_rates._seeds_of(runner, DenseSpec(1, (), 1), 32) == seeds
