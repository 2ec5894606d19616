"""Networks that go on learning from new rows, and what they forget of the earlier ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import luthier
from luthier.engine import Member, Settings, train
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.recipe import follows
from luthier.rows import Inputs, Rows
from luthier.runs.screen import SilentScreen

BUDGET = "1500steps"


def rows(count: int, seed: int, turn: float = 0.0) -> pl.DataFrame:
    """Two classes with a line between them; `turn` moves the line."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    direction = np.array([np.cos(turn), np.sin(turn), 0.0, 0.0])
    y = x @ direction + 0.3 * rng.normal(size=count) > 0
    return pl.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": np.where(y, "yes", "no")})


def fit(source: Any, run: Path, **options: Any) -> luthier.Result:
    result = luthier.fit(source, run=run, screen=SilentScreen(), budget=BUDGET, **options)
    assert result is not None
    return result


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    folder = tmp_path_factory.mktemp("warm")
    rows(1500, 0).write_csv(folder / "old.csv")
    return fit(folder / "old.csv", folder / "earlier", target="y")


def topic(result: luthier.Result, name: str) -> dict[str, Any]:
    return next(record for record in result.ledger if record.get("topic") == name)


def test_a_population_starts_from_given_weights() -> None:
    spec = DenseSpec(3, (5,), 2, batch_norm=True)
    nets = [build(spec, seed=k) for k in (7, 8)]
    X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    part = Rows(Inputs(numbers=X), (X[:, 0] > 0).long())
    settings = Settings(loss="softmax", rule="sgd", batch_size=20, steps=1, evaluate_every=1)
    members = [Member(spec, seed, 0.0, momentum=0.0) for seed in (1, 2)]
    result = train(members, part, part, settings, initial=[net.state_dict() for net in nets])
    for k, net in enumerate(nets):
        for name, value in net.named_parameters():
            torch.testing.assert_close(result.state_dict(k)[name], value.detach())
    other = build(DenseSpec(3, (6,), 2, batch_norm=True), seed=0)
    with pytest.raises(InputError, match="belong to another network"):
        train(members, part, part, settings, initial=[other.state_dict()] * 2)


def test_a_change_is_learnt_and_what_it_costs_is_said(earlier: luthier.Result, tmp_path: Path) -> None:
    """The line has turned by a quarter: new rows are learnt, and the earlier ones are no longer answered."""
    new = rows(1200, 1, turn=np.pi / 2)
    result = fit(new, tmp_path / "warm", warm_start=earlier.path)
    assert result.scores["headline"]["value"] > 0.85
    decision = topic(result, "warm start")
    assert follows(decision)
    assert decision["choice"] is not None
    assert len(decision["options"]) == 1 + 2 * 4
    assert result.scores["forgotten"]["high"] < -0.2
    assert "forgotten" in {r["code"] for r in result.ledger if r["kind"] == "finding"}
    assert "forgotten" in (result.path / "report.html").read_text()
    before, after = luthier.load(earlier.path), luthier.load(result.path)
    assert before.encoder == after.encoder
    truth = new["y"].to_numpy()
    assert (after.predict(new).to_numpy() == truth).mean() > (before.predict(new).to_numpy() == truth).mean() + 0.2


def test_more_rows_of_the_same_kind_forget_nothing(earlier: luthier.Result, tmp_path: Path) -> None:
    result = fit(rows(300, 2), tmp_path / "warm", warm_start=earlier.path)
    assert result.scores["forgotten"]["high"] >= 0
    assert "forgotten" not in {r["code"] for r in result.ledger if r["kind"] == "finding"}
    again = luthier.rerun(result.path / "recipe.toml", run=tmp_path / "again", screen=SilentScreen())
    assert again is not None
    assert again.scores["headline"] == result.scores["headline"]


def test_without_the_earlier_rows_it_goes_on_and_says_so(tmp_path: Path) -> None:
    rows(300, 0).write_csv(tmp_path / "old.csv")
    earlier = fit(tmp_path / "old.csv", tmp_path / "earlier", target="y")
    (tmp_path / "old.csv").unlink()
    result = fit(rows(200, 1), tmp_path / "warm", warm_start=earlier.path)
    assert result.scores["forgotten"] is None
    assert any("cannot be measured" in record.get("sentence", "") for record in result.ledger)
    assert len(topic(result, "warm start")["options"]) == 1 + 4


def test_values_keep_the_scale_they_were_learnt_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 2))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": 100 + 5 * x[:, 0] + 0.5 * rng.normal(size=700)})
    earlier = fit(frame[:400], tmp_path / "earlier", target="y")
    result = fit(frame[400:].with_columns(pl.col("y") + 3), tmp_path / "warm", warm_start=earlier.path)
    models = luthier.load(earlier.path), luthier.load(result.path)
    assert models[0].transform.mean == models[1].transform.mean
    assert models[1].transform.lowest <= models[0].transform.lowest
    assert result.scores["headline"]["value"] < 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "x0"}, "the run predicts `y`"),
        ({"task": "regression"}, "come from the earlier run"),
        ({"frame": lambda f: f.drop("x1")}, "x1"),
        ({"frame": lambda f: f.with_columns(pl.lit("maybe").alias("y"))}, "classes that are not in the training rows"),
        ({"warm_start": "nowhere"}, "is not a run"),
    ],
)
def test_what_cannot_be_gone_on_from(
    earlier: luthier.Result, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    change = dict(change)
    frame = change.pop("frame", lambda f: f)(rows(200, 3))
    with pytest.raises(InputError, match=said):
        fit(frame, tmp_path / "warm", **{"warm_start": earlier.path, **change})
    assert not (tmp_path / "warm").exists()
