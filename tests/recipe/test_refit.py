"""The delivered settings on all rows: the judged model stays, and the rows that it was judged on are open."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.recipe.test_seal import COLUMNS, fit, home, numbers, opened, record, table

import luthier
from luthier.assess import Register
from luthier.assess.row_record import OPEN, SEALED, RowRecord
from luthier.errors import InputError, LuthierError
from luthier.runs.screen import SearchScreen, SilentScreen
from luthier.saved import Model, RunFolder

__all__ = ["home"]  # the register is on
EFFORT: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1}


def judged(folder: Path, **options: Any) -> luthier.Result:
    table(0, 300).write_csv(folder / "t.csv")
    beside: dict[str, Any] = {"columns": COLUMNS, "budget": "2500steps", "screen": SilentScreen()}
    return luthier.fit(folder / "t.csv", "y", run=folder / "run", **beside, **options)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> luthier.Result:
    return judged(tmp_path_factory.mktemp("runs"), registered=False)


@pytest.fixture
def run(once: luthier.Result, tmp_path: Path) -> luthier.Result:
    """The same run, for each test anew."""
    shutil.copytree(once.path, tmp_path / "run")
    return luthier.Result(RunFolder(tmp_path / "run"))


def test_rows_that_the_refitted_model_learnt_from_are_sealed_on_no_way_back(tmp_path: Path, home: Path) -> None:
    run = judged(tmp_path)
    rows, before = table(0, 300), run.folder.bundle.read_bytes()
    sealed = numbers(run.path, rows, "test")
    scores = run.scores
    again: dict[str, Any] = {"run": tmp_path / "again", "screen": SilentScreen()}
    luthier.tune_table(run.path, run=tmp_path / "earlier", screen=SearchScreen(), **EFFORT)
    model = luthier.refit(run.path)
    child = record(tmp_path / "earlier")  # whose sealed rows were sealed before: it is said of them
    assert Register.opened(home).history(child, own=1).opened == 1.0
    facts = run.folder.facts()["refitted"]
    assert facts["rows"] == 300
    assert facts["disagreement"] <= facts["spread"]
    assert len(model.nets) == facts["networks"] == len(run.model.nets)
    assert sum(model.weights) == pytest.approx(1)
    assert model.metrics == {}  # no score is known of it
    assert run.folder.bundle.read_bytes() == before
    assert luthier.Result(run.folder).scores == scores
    assert "the sealed rows are open since" in (run.path / "report.html").read_text()
    assert luthier.refit(run.path).predict(rows[:5]).equals(model.predict(rows[:5]))  # the stored one
    mine = record(run.path)
    assert len(mine.of(SEALED)) == len(sealed)
    assert mine.of(SEALED).known_in(mine.of(OPEN)).all()
    entry = RowRecord.from_bytes((home / "register" / f"{mine.run}.parquet").read_bytes())
    assert entry.of(SEALED).known_in(entry.of(OPEN)).all()
    for refused in (
        lambda: luthier.test(run.path, again=True),
        lambda: luthier.branch(run.path, 5, again=True, **again),
        lambda: luthier.branch(run.path, 3, **again),
    ):
        with pytest.raises(InputError, match=r"are open: refitted\.luthier has learnt from them"):
            refused()
    with pytest.raises(InputError, match="no row is left to test on"):
        fit(rows, tmp_path / "warm", columns={}, warm_start=run.path)
    tested = rows.filter(pl.col("number").is_in(list(sealed)))
    back = luthier.branch(run.path, 5, new_test=pl.concat([tested, table(900, 950)]), **again)
    assert back.scores["headline"]["n"] == 50
    luthier.tune_table(run.path, run=tmp_path / "tuned", screen=SearchScreen(), **EFFORT)
    assert len(record(tmp_path / "tuned").of(SEALED)) == 0
    assert opened(tmp_path / "tuned", rows) == set(rows["number"])
    other = fit(rows, tmp_path / "other", test=tested)
    assert other.scores["seal"]["opened"] == 1.0
    run.folder.seal.unlink()  # what the rows are is read from the table again
    with pytest.raises(InputError, match="no row is left to test on"):
        fit(rows, tmp_path / "warm", columns={}, warm_start=run.path)


def test_a_refitted_model_that_disagrees_is_not_kept(run: luthier.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    path, before = run.folder.checkpoint / "delivered.json", run.folder.seal.read_bytes()
    delivered = json.loads(path.read_text())
    for bag in delivered["bags"]:
        bag["setting"]["member"]["learning_rate"] *= 300
    kept = path.read_text()
    path.write_text(json.dumps(delivered))
    with pytest.raises(LuthierError, match="the refitted model disagrees with the judged one"):
        luthier.refit(run.path)
    assert not run.folder.refitted.exists()
    assert run.folder.seal.read_bytes() == before
    for name, value in (("steps", 10**12), ("rows", 0), ("weight", -1.0), ("seeds", [])):
        path.write_text(json.dumps({**delivered, "bags": [{**delivered["bags"][0], name: value}]}))
        with pytest.raises(InputError):
            luthier.refit(run.path)
    path.write_text(kept)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Model, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        luthier.refit(run.path)
    assert record(run.path).of(SEALED).known_in(record(run.path).of(OPEN)).all()  # before there is a model
    assert not run.folder.refitted.exists()
    with pytest.raises(InputError, match="has learnt from them"):
        luthier.test(run.path, again=True)


def test_what_cannot_be_refitted_is_refused(run: luthier.Result, tmp_path: Path) -> None:
    short = fit(table(0, 120), tmp_path / "short", budget="0.001s")
    with pytest.raises(InputError, match="networks that were stopped by validation rows"):
        luthier.refit(short.path)
    stopped = fit(table(0, 120), tmp_path / "stopped", until=4)
    with pytest.raises(InputError, match="has not been judged yet"):
        luthier.refit(stopped.path)
    shutil.copytree(run.path, tmp_path / "old")
    (RunFolder(tmp_path / "old").checkpoint / "delivered.json").unlink()
    with pytest.raises(InputError, match="a run of an earlier version"):
        luthier.refit(tmp_path / "old")
