"""Runs side by side: pairs on the rows that all kept sealed, without reading any again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import luthier
from luthier.assess import optimism_of_best
from luthier.cli import app
from luthier.errors import InputError, LuthierError
from luthier.runs.screen import SilentScreen


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    return pl.DataFrame({"a": a, "b": b, "y": np.where(a * b + 0.3 * rng.normal(size=rows) > 0, "yes", "no")})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compared")
    table(500).write_csv(folder / "rows.csv")
    asked = {
        "short": {"budget": "60steps"},
        "long": {"budget": "800steps"},
        "other": {"budget": "100steps", "seed": 5},
    }
    for name, options in asked.items():
        luthier.fit(folder / "rows.csv", target="y", run=folder / name, screen=SilentScreen(), **options)  # type: ignore[arg-type]
    table(200, 1).write_csv(folder / "rows2.csv")
    luthier.fit(folder / "rows2.csv", target="y", budget="60steps", run=folder / "elsewhere", screen=SilentScreen())
    return {path.name: path for path in folder.iterdir()}


def test_runs_of_one_split_are_paired_on_all_its_sealed_rows(runs: dict[str, Path]) -> None:
    result = luthier.compare([runs["short"], runs["long"]])
    one, other = (luthier.load(runs[name]) for name in ("short", "long"))
    indices = pl.read_parquet(runs["short"] / "splits.parquet").filter(pl.col("part") == "test")["row"]
    rows = pl.read_csv(runs["rows.csv"])[indices.to_list()]
    right = [(model.predict(rows) == rows["y"]).to_numpy() for model in (one, other)]
    assert result.rows == len(rows)
    assert [run.score.value for run in result.runs] == pytest.approx([hits.mean() for hits in right])
    gain = result.runs[1].gain
    assert gain is not None
    assert gain.value == pytest.approx(right[1].mean() - right[0].mean())
    error = (right[1].astype(float) - right[0]).std() / len(rows) ** 0.5
    assert gain.low == pytest.approx(gain.value - 1.96 * error, abs=0.02)
    assert gain.high == pytest.approx(gain.value + 1.96 * error, abs=0.02)
    assert result.runs[0].gain is None


def test_what_was_decided_differently_is_shown(runs: dict[str, Path]) -> None:
    result = luthier.compare([runs["short"], runs["long"]])
    differing = result.differing()
    assert differing
    assert all(len(set(row)) == 2 for row in differing.values())
    assert "target" not in differing
    text = repr(result)
    assert "decisions that differ" in text
    assert "against the first" in text
    assert "optimistic by about" in text


def test_with_three_runs_the_intervals_are_wider(runs: dict[str, Path]) -> None:
    pair, three = (luthier.compare([runs["short"], runs["long"], *more]) for more in ([], [runs["long"]]))
    assert pair.runs[1].gain is not None
    assert three.runs[1].gain is not None
    assert three.runs[1].gain.high - three.runs[1].gain.low > pair.runs[1].gain.high - pair.runs[1].gain.low


def test_of_other_splits_only_the_rows_in_common_count(runs: dict[str, Path]) -> None:
    result = luthier.compare([runs["short"], runs["other"]])
    sealed = [set(pl.read_parquet(runs[name] / "judged.parquet")["row"]) for name in ("short", "other")]
    assert result.rows == len(sealed[0] & sealed[1]) < len(sealed[0])


def test_of_other_data_nothing_is_paired(runs: dict[str, Path]) -> None:
    result = luthier.compare([runs["short"], runs["elsewhere"]])
    assert result.rows == 0
    assert [run.gain for run in result.runs] == [None, None]
    assert "the comparison is not paired" in repr(result)
    assert result.to_frame()["gain"].null_count() == 2


def test_no_row_is_read_again(runs: dict[str, Path]) -> None:
    before = (runs["short"] / "ledger.jsonl").read_bytes()
    luthier.compare([runs["short"], runs["long"]])
    assert (runs["short"] / "ledger.jsonl").read_bytes() == before


def test_the_command_line_prints_words_or_json(runs: dict[str, Path]) -> None:
    words = CliRunner().invoke(app, ["compare", str(runs["short"]), str(runs["long"])])
    assert words.exit_code == 0
    assert "test rows that all runs share" in words.output
    result = CliRunner().invoke(app, ["compare", str(runs["short"]), str(runs["long"]), "--json"])
    assert [run["run"] for run in json.loads(result.output)["runs"]] == ["short", "long"]


def test_what_cannot_be_compared_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a comparison needs at least two runs"):
        luthier.compare([runs["short"]])
    luthier.fit("diabetes", budget="60steps", run=tmp_path / "diabetes", screen=SilentScreen())
    with pytest.raises(InputError, match="different targets"):
        luthier.compare([runs["short"], tmp_path / "diabetes"])
    (runs["other"] / "judged.parquet").unlink()
    with pytest.raises(LuthierError, match="no stored test predictions"):
        luthier.compare([runs["short"], runs["other"]])
    luthier.test(runs["other"], again=True, screen=SilentScreen())
    assert luthier.compare([runs["short"], runs["other"]]).rows > 0


def test_optimism_equals_the_expected_largest_of_equal_runs() -> None:
    rng, rows, count = np.random.default_rng(0), 4000, 8
    y = np.zeros(rows)
    gaps = []
    for _ in range(5):
        predictions = [rng.normal(size=rows) for _ in range(count)]  # all equally bad: rmse 1 but for luck
        gaps.append(optimism_of_best("rmse", y, predictions))
    error = 0.5**0.5 / rows**0.5  # of an rmse of normal errors
    expected = 1.4236 * error  # of the largest of eight draws from N(0, 1)
    assert 0.4 * expected < np.mean(gaps) < 1.4 * expected
