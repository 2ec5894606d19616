"""Rows of somebody's own as the test set: sealed whatever else has them, and every other row of the source open."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.recipe.test_seal import COLUMNS, coarse, findings, fit, home, numbers, opened, record, table

import luthier
from luthier.assess.row_record import OPEN, SEALED, WAS_OPEN
from luthier.errors import InputError
from luthier.recipe import read_as_asked
from luthier.recipe.rows.parts import Parts, parts_of
from luthier.recipe.rows.run_data import asked_of
from luthier.request import FitConfig, RunRequest
from luthier.runs.own_rows import with_test_file
from luthier.runs.screen import SearchScreen, SilentScreen
from luthier.saved import RunFolder

__all__ = ["home"]  # the register is on


def drawn(rows: pl.DataFrame, test: pl.DataFrame, folder: Path, **options: Any) -> tuple[Parts, pl.DataFrame]:
    """The parts that a fit would have, nothing trained, and the rows of the table that they are drawn from."""
    rows.write_csv(folder / "rows.csv")
    test.write_csv(folder / "test.csv")
    asked = RunRequest(source=str(folder / "rows.csv"), target="y", test=str(folder / "test.csv"), **options)
    read = read_as_asked(asked.source, asked)
    return parts_of(read, asked), read.frame


@pytest.mark.parametrize("way", ["equal", "other identifiers", "nearly equal", "other columns"])
def test_rows_that_are_in_both_leave_the_open_ones(way: str, tmp_path: Path) -> None:
    test = table(250, 350)
    if way == "other identifiers":
        test = test.with_columns(number=pl.format("m{}", "number"))
    if way == "nearly equal":
        test = test.with_columns(number=pl.format("m{}", "number"), x0=pl.col("x0") + 1e-10)
    if way == "other columns":
        test = test.drop("number", "w")
    parts, rows = drawn(table(0, 300), test, tmp_path, columns=COLUMNS)
    learnt = rows[np.sort(np.concatenate([parts.splits.training, parts.splits.validation]))]
    assert sorted(learnt["number"]) == sorted(table(0, 250)["number"])
    assert len(parts.sealed) == 100
    assert "50 rows of the table are also in --test and left out of the open ones" in parts.split.notes
    assert len(parts.splits.validation) == pytest.approx(50, abs=2)


def test_no_way_back_learns_from_the_test_rows(tmp_path: Path) -> None:
    rows, test = table(0, 300), table(250, 350)
    rows.write_csv(tmp_path / "t.csv")
    test.write_csv(tmp_path / "test.csv")
    run = fit(tmp_path / "t.csv", tmp_path / "run", test=tmp_path / "test.csv")
    tested = set(test["number"])
    assert run.scores["headline"]["n"] == 100
    assert "test-rows-in-table" in findings(run)
    assert run.scores["openings"] == 1
    effort: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1}
    luthier.tune_table(run.path, run=tmp_path / "tuned", screen=SearchScreen(), **effort)
    luthier.branch(run.path, 5, again=True, run=tmp_path / "again", screen=SilentScreen())
    for name in ("run", "tuned", "again"):
        assert opened(tmp_path / name, rows) == set(rows["number"]) - tested, name
        mine = record(tmp_path / name)
        assert len(mine.of(SEALED)) == 100, name
        assert not mine.of(OPEN, WAS_OPEN).known_in(mine.of(SEALED)).any(), name
    table(900, 950).vstack(test[:30]).write_csv(tmp_path / "new.csv")
    back = luthier.branch(run.path, 5, new_test=tmp_path / "new.csv", run=tmp_path / "back", screen=SilentScreen())
    assert back.scores["headline"]["n"] == 50  # the others were read before
    assert not opened(tmp_path / "back", rows) & tested
    with pytest.raises(InputError, match="not a new test set"):
        luthier.branch(run.path, 5, new_test=test[:40], run=tmp_path / "none", screen=SilentScreen())
    warm = fit(rows, tmp_path / "warm", columns={}, warm_start=run.path)  # it may test on what it has not learnt from
    assert numbers(warm.path, rows, "test") <= tested
    assert warm.scores["openings"] == 3  # by the run and by the search of its line no row, by the two readings


def test_rows_of_an_earlier_run_are_counted(tmp_path: Path) -> None:
    """A test file of rows that an independent run has learnt from or read: said on every number."""
    rows = table(0, 300)
    first = fit(rows, tmp_path / "first")
    was_open = rows.filter(pl.col("number").is_in(list(opened(first.path, rows))))[:60]
    second = fit(rows, tmp_path / "second", test=was_open)
    assert second.scores["headline"]["n"] == 60
    assert second.scores["seal"]["opened"] == 1.0
    assert "test-seen-before" in findings(second)
    assert not opened(second.path, rows) & set(was_open["number"])
    third = fit(rows, tmp_path / "third", test=was_open)
    assert third.scores["openings"] == 2
    assert "read 2 times" in repr(third)


def test_of_a_warm_start_known_rows_leave_the_test_rows(tmp_path: Path) -> None:
    rows = table(0, 300)
    first = fit(rows, tmp_path / "first")
    warm = fit(rows, tmp_path / "warm", columns={}, warm_start=first.path, test=table(250, 380))
    assert warm.scores["headline"]["n"] == 80
    assert "known-test-rows" in findings(warm)


@pytest.mark.parametrize("identified", [True, False])
def test_where_rows_repeat_by_nature_those_of_the_table_leave_it_and_fresh_ones_do_not(
    identified: bool, tmp_path: Path
) -> None:
    columns = {"number": "identifier"} if identified else {}
    rows, fresh = (part if identified else part.drop("number") for part in (coarse(0, 1000), coarse(1000, 1300)))
    taken = rows[:-1].sample(fraction=0.3, shuffle=True, seed=2)
    parts, _ = drawn(rows, taken, tmp_path, columns=columns)
    assert len(parts.training) + len(parts.validation) == rows.height - taken.height
    parts, _ = drawn(rows, fresh, tmp_path, columns=columns)
    assert len(parts.training) + len(parts.validation) == rows.height


def test_of_a_table_on_the_disk_no_test_row_is_learnt_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    rows = table(0, 1400).sample(fraction=1.0, shuffle=True, seed=1)
    rows.write_csv(tmp_path / "t.csv")
    rows.with_columns(number=pl.format("m{}", "number"))[:300].write_csv(tmp_path / "test.csv")
    run = fit(tmp_path / "t.csv", tmp_path / "run", memory="600kB", test=tmp_path / "test.csv")
    mine = record(run.path)
    assert run.scores["headline"]["n"] == len(mine.of(SEALED)) == 300
    assert len(mine.of(OPEN)) == 1100
    said = next(str(line["sentence"]) for line in run.ledger if "decisions use a sample" in str(line.get("sentence")))
    validated = len(pl.read_parquet(run.folder.splits).filter(pl.col("part") == "validation"))
    assert f"the final networks train on {1100 - validated:,}, read from disk" in said


def test_rows_in_memory_stay_with_the_run(tmp_path: Path) -> None:
    rows, test = table(0, 200), table(200, 260)
    run = fit(rows, tmp_path / "run", test=test.to_pandas(), until=4)
    moved = tmp_path / "moved"
    shutil.move(run.path, moved)
    assert asked_of(RunFolder(moved)).test == str(moved / "test-rows.parquet")
    judged = luthier.test(moved, screen=SilentScreen())
    assert judged.scores["headline"]["n"] == 60
    again = luthier.rerun(moved / "recipe.toml", run=tmp_path / "rerun", screen=SilentScreen())
    assert again.scores["headline"] == judged.scores["headline"]
    x = np.random.default_rng(0).normal(size=(100, 3))
    pair = luthier.fit((x[:80], x[:80, 0]), test=(x[80:], x[80:, 0]), budget="20steps")
    assert pair.scores["headline"]["n"] == 20


def test_what_is_not_a_path_becomes_a_file_once(tmp_path: Path) -> None:
    for path in ("a.csv", tmp_path / "a.csv", None):
        assert with_test_file({"test": path}) == {"test": path}
    assert pl.read_parquet(with_test_file({"test": table(0, 20)})["test"]).equals(table(0, 20))
    assert FitConfig.of({"new_test": "a.csv"}).test == "a.csv"
    with pytest.warns(FutureWarning, match="new_test is now test"):
        FitConfig.of(None, new_test="a.csv")


def test_rows_without_the_target_are_refused_with_the_ways_out(tmp_path: Path) -> None:
    for test, received in (
        (table(300, 340).drop("y"), "received: the columns x0"),
        (table(300, 340).with_columns(y=pl.lit(None, dtype=pl.String)), "received: 40 rows without a value of it"),
    ):
        with pytest.raises(InputError) as caught:
            drawn(table(0, 200), test, tmp_path)
        assert "test.csv' has no `y`, so nothing can be scored on it" in str(caught.value)
        assert received in str(caught.value)
        assert "--test none seals nothing; then luthier predict RUN FILE" in str(caught.value)


def test_a_table_within_its_test_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 of 105 rows are left to learn from: the others are also in --test"):
        drawn(table(0, 105), table(0, 100), tmp_path)


def test_groups_on_both_sides_and_early_rows_are_said(tmp_path: Path) -> None:
    parts, _ = drawn(table(0, 203), table(200, 240), tmp_path, columns=COLUMNS, group="who")
    said = "2 of 40 test rows are in groups of `who` that open rows have too: scores on them are of known groups"
    assert said not in parts.split.notes  # the three rows of that group are test rows themselves
    parts, _ = drawn(table(0, 203).drop("number"), table(203, 240).drop("number"), tmp_path, group="who")
    assert said.replace("40", "37") in parts.split.notes
    dated = [
        part.with_columns(when=pl.Series(range(first, first + part.height)))
        for first, part in (
            (0, table(0, 200)),
            (190, table(300, 340)),
        )
    ]
    parts, _ = drawn(*dated, tmp_path, columns=COLUMNS, time="when")
    said = "9 of 40 test rows are earlier than the last open row by `when`: scores on them are not of a future"
    assert said in parts.split.notes
