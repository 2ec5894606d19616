"""Quantiles of each row's value: below each the stated share, none crosses another, and every door gives the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats
import torch

import luthier
from luthier.assess import RowQuantiles
from luthier.assess.row_quantiles import corrections, pinball_of, rising
from luthier.engine import Member, Schedule, Settings, train
from luthier.errors import ConfigError, InputError
from luthier.nets import DenseSpec, build
from luthier.objective import loss_by_name
from luthier.recipe.decisions import follows, wording_of
from luthier.rows import Inputs, Rows
from luthier.runs.screen import SilentScreen
from luthier.saved import AskedColumns, Model, predict_file
from luthier.saved.predict import predictions
from luthier.serving.served_model import ServedModel

LEVELS = (0.1, 0.5, 0.9)


def noisy(rows: int, seed: int) -> pl.DataFrame:
    """The value's deviation is e to the b, of a row: quantiles are a + e^b times those of the normal law."""
    g = np.random.default_rng(seed)
    x = g.normal(size=(rows, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": x[:, 0] + np.exp(x[:, 1]) * g.normal(size=rows)})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    result = luthier.fit(
        noisy(2500, 0),
        target="y",
        quantiles="0.9,0.1,0.5",
        budget="400steps",
        run=tmp_path_factory.mktemp("runs") / "run",
        screen=SilentScreen(),
    )
    assert result is not None
    return result


def test_the_best_constants_are_the_sorted_sample_s_quantiles() -> None:
    """Closed form: of 999 values the 100th, 500th and 900th; a network without inputs comes to lie there."""
    values = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=999))
    wanted = values.sort().values[[99, 499, 899]].numpy()
    loss = loss_by_name("quantiles 0.1 0.5 0.9")
    assert loss.constant is not None
    np.testing.assert_allclose(rising(loss.constant(values, None, 3), LEVELS), wanted, atol=1e-12)
    spec = DenseSpec(1, (), 3)
    settings = Settings("quantiles 0.1 0.5 0.9", "adam", 999, 3000, 3000, dtype=torch.float64, keep_last=True)
    part = Rows(Inputs(numbers=torch.zeros(999, 1, dtype=torch.float64)), values)
    outcome = train([Member(spec, 0, 0.02, schedule=Schedule("cosine"))], part, None, settings)
    found = rising(outcome.logits(part.inputs)[0, :1], LEVELS)[0]
    # The loss is flat between two neighbours, which lie up to 0.02 apart here.
    np.testing.assert_allclose(found, wanted, atol=0.03)


def test_corrections_leave_the_stated_share_below() -> None:
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=500), rng.integers(1, 5, 500).astype(float)
    found = rng.normal(size=(500, 3))
    moved = found + np.array(corrections(found, values, LEVELS, weights))
    below = np.average(values[:, None] <= moved + 1e-12, axis=0, weights=weights)
    np.testing.assert_allclose(below, LEVELS, atol=weights.max() / weights.sum())  # to one row


def test_quantiles_follow_the_noise_of_each_row(fitted: luthier.Result) -> None:
    new = noisy(20_000, 1)
    found = fitted.model.predict_quantiles(new).to_numpy()
    y = new["y"].to_numpy()
    # Four standard errors of the 500 validation rows that the shares come from, which lie below a level.
    for below, level in zip((y[:, None] <= found).mean(0), LEVELS, strict=True):
        assert abs(below - level) < 4 * (level * (1 - level) / 500) ** 0.5
    assert (np.diff(found, axis=1) >= 0).all()
    true = new["a"].to_numpy()[:, None] + np.exp(new["b"].to_numpy())[:, None] * scipy.stats.norm.ppf(LEVELS)
    alike = fitted.predict(new).to_numpy()[:, None] + np.quantile(y - fitted.predict(new).to_numpy(), LEVELS)
    best, ours, one = (float(pinball_of(some, y, LEVELS).mean()) for some in (true, found, alike))
    assert best < ours < one - 0.3 * (one - best)  # a third at least of what a law of each row can gain


def test_the_run_says_where_they_come_from_and_how_they_do(fitted: luthier.Result) -> None:
    (record,) = [r for r in fitted.ledger if r["kind"] == "decision" and r["code"] == "quantiles"]
    assert record["choice"] is True
    assert follows(record)
    assert all(wording_of(record, language).sentence() for language in ("en", "zh"))
    rows = fitted.scores["quantiles"]
    assert [row["level"] for row in rows] == list(LEVELS)
    assert all(row["trees"] is not None and row["loss"] > 0 for row in rows)
    assert len(fitted.scores["baselines"]) == 5  # trees of quantiles stand beside quantiles alone
    assert "Quantiles of the test values" in (fitted.path / "report.html").read_text()


def test_every_door_gives_the_same_quantiles(fitted: luthier.Result, tmp_path: Path) -> None:
    new = noisy(50, 2)
    found = fitted.model.predict_quantiles(new)
    assert found.columns == ["q0.1", "q0.5", "q0.9"]
    again = Model.load(fitted.path / "model.luthier")
    assert again.predict_quantiles(new).equals(found)
    new.write_csv(tmp_path / "new.csv")
    predict_file(fitted.path, str(tmp_path / "new.csv"), tmp_path / "out.csv")
    written = pl.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(written["prediction_q0.9"], found["q0.9"])
    served = ServedModel(again, "torch")
    rows = served.reader.read("application/json", json.dumps({"rows": new.drop("y").to_dicts()}).encode(), 100)
    answer = served.answers([rows])[7]
    assert answer is not None
    assert answer["quantiles"] == pytest.approx(found.row(7, named=True))
    described = served.answers.content["application/json"]["schema"]["properties"]["predictions"]["items"]
    assert set(described["properties"]["quantiles"]["required"]) == {"q0.1", "q0.5", "q0.9"}
    asked = predictions(again, new, AskedColumns(answer="q0.9"))
    assert asked[0].name == "prediction"
    np.testing.assert_allclose(asked[0].to_numpy(), found["q0.9"].to_numpy())


def test_quantiles_of_counts_are_counts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    table = pl.DataFrame({"x": x, "y": rng.poisson(np.exp(0.7 * x))})
    result = luthier.fit(table, target="y", quantiles="0.25,0.95", budget="60steps", screen=SilentScreen())
    assert result is not None
    found = result.model.predict_quantiles(table).to_numpy()
    assert result.model.task.kind == "count"
    assert np.array_equal(found, found.round())
    assert (found >= 0).all()
    assert (found[:, 0] <= found[:, 1]).all()


@pytest.mark.parametrize(
    ("asked", "said"),
    [("0.1,1.5", "between 0 and 1"), ("a", "between 0 and 1"), ("nan", "between 0 and 1"), ("0", "between 0 and 1")],
)
def test_what_is_not_a_share_is_refused(asked: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        luthier.fit(noisy(60, 0), target="y", quantiles=asked, budget="10steps", screen=SilentScreen())


def test_classes_have_no_quantiles(fitted: luthier.Result) -> None:
    table = noisy(60, 0).with_columns(y=pl.when(pl.col("y") > 0).then(pl.lit("yes")).otherwise(pl.lit("no")))
    with pytest.raises(ConfigError, match="classes"):
        luthier.fit(table, target="y", quantiles="0.5", budget="10steps", screen=SilentScreen())
    with pytest.raises(InputError, match="no quantiles"):
        replace(fitted.model, row_quantiles=None).predict_quantiles(noisy(5, 0))


def test_a_law_of_another_shape_is_refused(fitted: luthier.Result, tmp_path: Path) -> None:
    width = fitted.model.preprocess.width + 1
    wrong = (
        RowQuantiles((0.1, 0.9), (0.0,)),
        RowQuantiles((0.9, 0.1), (0.0, 1.0)),
        RowQuantiles((0.1, 0.9), (0.0, 1.0), 1.0, build(DenseSpec(width, (4,), 3), seed=0)),
        RowQuantiles((0.1, 0.9), (0.0, 1.0), 1.0, build(DenseSpec(width - 1, (4,), 2), seed=0)),
    )
    for law in wrong:
        replace(fitted.model, row_quantiles=law).save(tmp_path / "forged.luthier")
        with pytest.raises(InputError, match="does not describe a model"):
            Model.load(tmp_path / "forged.luthier")


def test_quantiles_never_cross() -> None:
    law = RowQuantiles(LEVELS, (5.0, 0.0, -5.0), 2.0, build(DenseSpec(3, (4,), 3), seed=0))
    found = law.residuals(torch.randn(20, 2), torch.zeros(20, 0, dtype=torch.int64), torch.zeros(20))
    assert (np.diff(found, axis=1) >= 0).all()
