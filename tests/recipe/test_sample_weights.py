"""A row of weight 0 is as if it were not there, and weights are relative: whole runs beside runs without those rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.errors import InputError
from luthier.recipe.rows.sample_weights import CountedRows
from luthier.runs.checking import check_run
from luthier.runs.screen import SilentScreen

ROWS = 200


def table(kind: str) -> pl.DataFrame:
    """Rows that count, and as many that do not, whose targets and inputs are broken; their order is mixed."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2 * ROWS, 2))
    counts = rng.permutation(2 * ROWS) < ROWS
    value = 2 * x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=2 * ROWS)
    x[~counts] *= 1000
    y: Any = np.where(counts, np.exp(value), 1e6)
    if kind == "binary":
        y = np.where((value > 0.5) & counts, "bad", "good")
    elif kind == "multiclass":
        y = np.where(counts, np.array(["a", "b", "c"])[np.digitize(value, (-1, 1))], "never looked at")
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "w": counts.astype(float), "y": y})


def run_of(frame: pl.DataFrame, path: Path, **options: Any) -> dict[str, Any]:
    """What a run shows: scores with baselines, the model's own figures, and `check` of the same rows."""
    screen = SilentScreen()
    result = luthier.fit(frame, target="y", sample_weight="w", budget="40steps", run=path, screen=screen, **options)
    assert result is not None
    facts = json.loads((path / "scores.json").read_text())
    model = luthier.load(path)
    numbers = ("temperature", "threshold", "set_threshold", "half_width", "transform")
    checked = check_run(path, frame)
    for name in ("source", "lines", "unread"):
        checked.pop(name)
    return {
        "scores": facts,
        "model": {name: getattr(model, name) for name in numbers},
        "profile": model.profile.to_json() if model.profile else None,
        "check": checked,
    }


@pytest.mark.parametrize(
    ("kind", "options"), [("regression", {}), ("binary", {"costs": "1:5"}), ("multiclass", {"metric": "f1"})]
)
def test_rows_of_weight_0_are_as_if_they_were_not_there(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    """Bit for bit: sealed score, interval, temperature, threshold, baselines, and what `check` says of the table."""
    frame = table(kind)
    whole = run_of(frame, tmp_path / "whole", **options)
    left = run_of(frame.filter(pl.col("w") > 0).with_columns(w=7.0), tmp_path / "left", **options)
    assert [row["name"] for row in whole["scores"]["baselines"]], "baselines are compared too"
    assert str(whole) == str(left)
    ledger = (tmp_path / "whole" / "ledger.jsonl").read_text()
    assert f"{ROWS} rows are set aside, with a weight of 0 in `w`" in ledger


def weighed(weights: Any) -> pl.DataFrame:
    """600 rows of two classes."""
    x = np.random.default_rng(4).normal(size=600)
    return pl.DataFrame({"x": x, "w": weights, "y": np.where(x > 0, "a", "b")})


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.r_[np.ones(599), -1.0], "1 rows whose weight is negative"),
        (np.r_[np.ones(599), np.nan], "1 rows whose weight is negative, missing"),
        (np.r_[np.ones(599), np.inf], "infinite"),
        (["heavy"] * 600, "600 rows whose weight"),
        (np.zeros(600), "only 0 rows have a weight above 0"),
        (np.r_[np.zeros(591), np.ones(9)], "only 9 rows have a weight above 0"),
        (np.r_[np.ones(599), 1e39], "only 1 rows have a weight above 0"),  # beside it 1 is nothing
    ],
)
def test_weights_that_cannot_be(tmp_path: Path, weights: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        luthier.fit(weighed(weights), target="y", run=tmp_path / "run", screen=SilentScreen(), sample_weight="w")


@pytest.mark.parametrize("scale", [1e-60, 7.0, 1e39, 1e300])
def test_weights_are_relative(scale: float) -> None:
    """Times any number they are the same, up to one rounding of float64; alike they are exactly 1."""
    weights = np.random.default_rng(0).uniform(0.1, 3, 600)
    rows = CountedRows.of(weighed(weights * scale), "w")
    assert rows.weights is not None
    np.testing.assert_allclose(rows.weights, weights / weights.mean(), rtol=1e-14)
    assert set(CountedRows.of(weighed(np.full(600, scale)), "w").frame["w"]) == {1.0}


def test_a_row_without_a_target_may_have_any_weight(tmp_path: Path) -> None:
    frame = weighed(np.ones(600)).with_columns(
        y=pl.when(pl.int_range(600) > 100).then("y"), w=pl.when(pl.int_range(600) > 50).then("w")
    )
    result = luthier.fit(
        frame, target="y", budget="10steps", run=tmp_path / "run", screen=SilentScreen(), sample_weight="w"
    )
    assert result is not None
    assert result.scores["headline"]["n"] > 0
