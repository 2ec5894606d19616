"""Nothing is sealed: an estimate by rows that also chose, never called a test, and refused as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.recipe.test_seal import COLUMNS, findings, fit, home, opened, record, table

import luthier
from luthier.assess.row_record import OPEN, SEALED
from luthier.errors import InputError
from luthier.report.card import model_card
from luthier.runs.screen import SearchScreen, SilentScreen

__all__ = ["home"]  # the register is on


@pytest.fixture
def run(tmp_path: Path) -> luthier.Result:
    rows = table(0, 300)
    rows.write_csv(tmp_path / "t.csv")
    return luthier.fit(
        tmp_path / "t.csv",
        "y",
        columns=COLUMNS,
        budget="2500steps",
        run=tmp_path / "run",
        test="none",
        screen=SilentScreen(),
    )


def test_what_is_delivered_is_estimated_and_no_way_back_calls_its_rows_sealed(
    run: luthier.Result, tmp_path: Path
) -> None:
    rows, scores = table(0, 300), run.scores
    assert opened(run.path, rows) == set(rows["number"])
    assert len(record(run.path).of(SEALED)) == 0
    assert len(record(run.path).of(OPEN)) == 300
    assert scores["headline"]["n"] == 300
    assert scores["headline"]["low"] < scores["headline"]["value"] < scores["headline"]["high"]
    assert scores["estimate"] is True
    assert scores["openings"] == scores["seal"]["readings"] == 0
    assert not any(line["kind"] == "opening" for line in run.ledger)
    assert "nothing-sealed" in findings(run)
    for text in (repr(run), model_card(run.path), (run.path / "report.html").read_text()):
        assert "an estimate by rows that also chose the settings; nothing is sealed" in text
        for word in ("easured once", "sealed test", "unseen test rows", "on the test set", "was read once"):
            assert word not in text, word
    again: dict[str, Any] = {"run": tmp_path / "again", "screen": SilentScreen()}
    for refused in (
        lambda: luthier.test(run.path),
        lambda: luthier.test(run.path, again=True),
        lambda: luthier.branch(run.path, 5, again=True, **again),
        lambda: luthier.compare([run.path, run.path]),
    ):
        with pytest.raises(InputError, match=r"has sealed nothing .* an estimate by rows that also chose"):
            refused()
    effort: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1}
    luthier.tune_table(run.path, run=tmp_path / "tuned", screen=SearchScreen(), **effort)
    assert len(record(tmp_path / "tuned").of(SEALED)) == 0
    with pytest.raises(InputError, match="no row is left to test on"):
        fit(rows, tmp_path / "warm", columns={}, warm_start=run.path)
    with pytest.raises(InputError, match="not a new test set"):
        luthier.branch(run.path, 5, new_test=rows[:50], **again)
    back = luthier.branch(run.path, 5, new_test=pl.concat([rows[:50], table(900, 960)]), **again)
    assert back.scores["headline"]["n"] == 60
    assert back.scores["estimate"] is False
    assert back.scores["openings"] == 1
    other = fit(rows, tmp_path / "other", seed=2)
    assert other.scores["seal"]["opened"] == 1.0  # said of an independent run on the same rows


def test_of_coin_labels_the_estimate_is_not_better_than_a_coin(tmp_path: Path) -> None:
    """Choosing among bags, temperature and threshold by the rows that are scored would show."""
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({**{f"x{i}": rng.normal(size=240) for i in range(3)}, "y": rng.choice(["a", "b"], 240)})
    coin = luthier.fit(rows, "y", test="none", metric="balanced accuracy", budget="2500steps")
    assert coin.scores["headline"]["low"] < 0.5
    loss = next(one for one in coin.scores["metrics"] if one["name"] == "log loss")
    assert loss["high"] > np.log(2)


def test_networks_alone_are_answered_as_what_is_delivered_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row by a temperature and a threshold of its own from other folds: networks that are all that is delivered
    have its score."""
    monkeypatch.setattr(luthier.recipe.delivery.deliver_bags, "MOST_CANDIDATES", 1)
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({"x": rng.normal(size=240), "y": rng.choice(["a", "b", "b"], 240)})
    run = luthier.fit(rows, "y", test="none", metric="mcc", budget="2500steps", run=tmp_path / "run")
    (bags,) = (one["evidence"] for one in run.ledger if one.get("code") == "bags")
    assert bags["delivered"] == len(run.scores["seeds"]) == 1
    assert run.scores["seeds"][0]["value"] == run.scores["headline"]["value"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "when"}, "rows that are not"),
        ({"budget": "60steps"}, "too little time for five folds"),
        ({"distil": True, "budget": "2500steps"}, "--test none and --distil exclude each other"),
    ],
)
def test_without_folds_it_is_refused_with_the_ways_out(
    options: dict[str, Any], said: str, tmp_path: Path, home: Path
) -> None:
    rows = table(0, 120).with_columns(when=pl.Series(range(120)))
    with pytest.raises(InputError, match=said) as caught:
        luthier.fit(rows, "y", test="none", run=tmp_path / "run", **{"budget": "2500steps", **options})
    assert "--test FILE" in str(caught.value)
    assert "--test-share 0.1" in str(caught.value)
    assert not (tmp_path / "run").exists()
    assert not list((home / "register").glob("*.parquet"))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_rows_is_sealed(share: float, tmp_path: Path) -> None:
    rows = table(0, 300)
    run = fit(rows, tmp_path / "run", test_share=share, until=1)
    assert len(record(run.path).of(SEALED)) == pytest.approx(300 * share, abs=2)
    parts = dict(pl.read_parquet(run.folder.splits)["part"].value_counts().iter_rows())
    assert parts["validation"] == pytest.approx(300 * (1 - share) / 4, abs=2)
    grouped = fit(rows, tmp_path / "groups", test_share=share, group="who", until=1)
    split = next(line for line in grouped.ledger if line.get("topic") == "split")
    assert f"as near to {100 * (1 - share) * 0.75:.3g}, {25 * (1 - share):.3g}, {100 * share:.3g} %" in split["reason"]


@pytest.mark.parametrize("share", [0, -0.1, 0.51, 1, "a fifth", float("nan")])
def test_a_share_out_of_bounds_is_refused(share: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="test_share: input should be"):
        luthier.fit(table(0, 100), "y", test_share=share)


def test_a_share_beside_test_rows_is_refused(tmp_path: Path) -> None:
    for test in ("none", table(200, 220)):
        with pytest.raises(InputError, match="--test and --test-share exclude each other"):
            luthier.fit(table(0, 100), "y", test=test, test_share=0.1)
