"""A row is sealed where nothing in the run's line has learnt from it or decided by it: every way back, by the truth.

The truth is the row's number, a column that no run uses: what earlier runs had open is known by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import luthier
from luthier.assess.row_record import OPEN, SEALED, WAS_OPEN, RowRecord
from luthier.errors import InputError
from luthier.recipe import read_as_asked
from luthier.recipe.rows import known_rows
from luthier.recipe.rows.known_rows import record_in
from luthier.recipe.rows.run_data import asked_of
from luthier.runs.screen import SearchScreen, SilentScreen
from luthier.saved import RunFolder

BUDGET = "60steps"
COLUMNS = {"number": "identifier", "who": "identifier", "w": "identifier"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, with the register on."""
    monkeypatch.delenv("LUTHIER_NO_REGISTER")
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def table(first: int, last: int, seed: int = 0) -> pl.DataFrame:
    """Rows of these numbers, the same for every table that has them; five to a group."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2000, 4)).round(4)
    y = np.where(x[:, 0] + rng.normal(size=2000) > 0, "yes", "no")
    frame = pl.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "y": y, "w": rng.uniform(0.5, 2, 2000).round(3)})
    number, who = (np.arange(2000) + 10_000).astype(str), [f"p{k // 5}" for k in range(2000)]
    return frame.with_columns(number=pl.Series([f"n{one}" for one in number]), who=pl.Series(who))[first:last]


def fit(source: Any, run: Path, **options: Any) -> luthier.Result:
    options = {"columns": COLUMNS, "budget": BUDGET} | options
    result = luthier.fit(source, target="y", run=run, screen=SilentScreen(), **options)
    assert result is not None
    return result


def numbers(run: Path, source: pl.DataFrame, *parts: str) -> set[str]:
    """The numbers of the rows of a run's parts, by what it wrote."""
    return set(source.filter(pl.read_parquet(RunFolder(run).splits)["part"].is_in(list(parts)))["number"])


def opened(run: Path, source: pl.DataFrame) -> set[str]:
    return numbers(run, source, "training", "validation")


def record(run: Path) -> RowRecord:
    result = record_in(RunFolder(run))
    assert result is not None
    return result


def findings(result: luthier.Result) -> set[str]:
    return {line["code"] for line in result.ledger if line["kind"] == "finding"}


@pytest.mark.parametrize("way", ["another seed", "grown", "grown in groups", "other options", "another home"])
def test_a_warm_start_tests_on_rows_that_nothing_has_learnt_from(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = {"group": "who"} if way == "grown in groups" else {}
    before, after = table(0, 400), table(0, 520) if "grown" in way else table(0, 400)
    before.write_csv(tmp_path / "before.csv")
    fit(tmp_path / "before.csv", tmp_path / "a", **group)
    if way == "another home":  # fingerprints of another key say nothing: the rows are read again
        monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "elsewhere"))
    options: dict[str, Any] = {"columns": {}, "seed": 1, "warm_start": tmp_path / "a", **group}
    options |= {"metric": "auc"} if way == "other options" else {}
    warm = fit(after, tmp_path / "b", **options)
    learnt = opened(tmp_path / "a", before)
    sealed = numbers(tmp_path / "b", after, "test")
    assert not learnt & sealed
    assert len(sealed) == pytest.approx(0.2 * after.height, abs=6)
    split = next(line for line in warm.ledger if line.get("topic") == "split")
    assert f"has learnt from {len(learnt)} of these rows, which stay open" in split["reason"]
    if group:
        groups = after.filter(pl.col("number").is_in(list(sealed)))["who"]
        assert not set(groups) & set(before.filter(pl.col("number").is_in(list(learnt)))["who"])
    third = fit(after, tmp_path / "c", **{**options, "seed": 2, "warm_start": tmp_path / "b"})
    assert third.scores["openings"] >= 2
    assert not (learnt | opened(tmp_path / "b", after)) & numbers(tmp_path / "c", after, "test")


WAYS = {
    "noise": pl.col("^x.$") + 1e-9,
    "grown with noise": pl.col("^x.$") + 1e-9,
    "rounding noise, another home": pl.col("^x.$") * (1 + 1e-13),
    "typed truths": pl.col("smokes") == "yes",
    "YES": pl.col("smokes").str.to_uppercase(),
    "2 decimals, another home": pl.col("^x.$").round(2),
    "names in capitals": pl.col("town").str.to_uppercase(),
    "names in the other form of Unicode": pl.col("town").str.normalize("NFD"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_that_is_written_otherwise_has_the_same_rows(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row numbers of their own, numbers that differ by rounding or have fewer digits, other spellings."""
    before = table(0, 400).with_columns(smokes=pl.when(pl.col("w") > 1).then(pl.lit("yes")).otherwise(pl.lit("no")))
    before = before.with_columns(town=pl.Series(["São Paulo", "Den Haag", "Łódź", "Lima"] * 100))
    fit(before, tmp_path / "a")
    numbers_ = pl.col("^x.$")
    change = WAYS[way]
    if "another home" in way:
        monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "elsewhere"))
    after = pl.concat([before, before.with_columns(numbers_ + 5)[:100]]) if "grown" in way else before
    after = after.with_columns(change).with_columns(who=pl.col("number") + "-again")
    fit(after, tmp_path / "b", columns={}, seed=1, warm_start=tmp_path / "a")
    sealed = pl.read_parquet(RunFolder(tmp_path / "b").splits).filter(pl.col("part") == "test")["row"]
    learnt = opened(tmp_path / "a", before)
    # A number in some ten thousand lies so near an edge of its grid that noise takes it to the other side.
    assert len(learnt & {before["number"].to_list()[k] for k in sealed if k < 400}) <= 1
    assert len(sealed) >= 70


def test_where_few_rows_are_left_it_is_said_and_none_is_refused(tmp_path: Path) -> None:
    before = table(0, 400)
    first = fit(before, tmp_path / "a")
    rows = before.filter(pl.col("number").is_in(list(opened(tmp_path / "a", before))))
    few = pl.concat([rows, table(400, 420)])
    warm = fit(few, tmp_path / "b", columns={}, warm_start=first.path)
    assert numbers(tmp_path / "b", few, "test") <= set(table(400, 420)["number"])
    assert "few-fresh-rows" in findings(warm)
    with pytest.raises(InputError, match="no row is left to test on"):
        fit(rows, tmp_path / "c", columns={}, warm_start=first.path)
    new = tmp_path / "new.csv"
    table(900, 960).write_csv(new)
    assert fit(rows, tmp_path / "d", columns={}, warm_start=first.path, test=new).scores["headline"]["n"] == 60


def test_without_the_earlier_rows_it_is_said_that_they_are_not_known(tmp_path: Path) -> None:
    table(0, 300).write_csv(tmp_path / "a.csv")
    first = fit(tmp_path / "a.csv", tmp_path / "a")
    (tmp_path / "a.csv").unlink()
    first.folder.seal.unlink()
    assert "unknown-line" in findings(fit(table(0, 300), tmp_path / "b", columns={}, warm_start=first.path))


@pytest.mark.parametrize("option", ["", "group", "time", "sample_weight", "fresh"])
def test_a_search_over_a_run_keeps_its_sealed_rows(option: str, tmp_path: Path) -> None:
    rows = table(0, 300).with_columns(when=pl.Series(range(300)))
    rows.write_csv(tmp_path / "t.csv")
    table(900, 950).with_columns(when=pl.Series(range(900, 950))).write_csv(tmp_path / "new.csv")
    options: dict[str, Any] = {"": {}, "fresh": {"test": tmp_path / "new.csv"}}.get(
        option, {option: {"group": "who", "time": "when", "sample_weight": "w"}.get(option)}
    )
    run = fit(tmp_path / "t.csv", tmp_path / "run", seed=3, **options)
    for seed in (None, 7):
        folder = tmp_path / f"tuned-{seed}"
        effort: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 1, "workers": 1, "seed": seed}
        luthier.tune_table(run.path, run=folder, screen=SearchScreen(), **effort)
        assert not opened(folder, rows) & numbers(run.path, rows, "test")
        assert opened(folder, rows) == opened(run.path, rows)
        mine, theirs = record(folder), record(run.path)
        assert not mine.of(OPEN, WAS_OPEN).known_in(theirs.of(SEALED)).any()
        assert sorted(mine.of(SEALED).cells) == sorted(theirs.of(SEALED).cells)


def test_fresh_test_rows_are_those_that_nothing_has_seen(tmp_path: Path) -> None:
    rows = table(0, 300)
    rows.write_csv(tmp_path / "t.csv")
    run = fit(tmp_path / "t.csv", tmp_path / "run")
    known = sorted(opened(run.path, rows))[:40]
    copies = rows.filter(pl.col("number").is_in(known)).with_columns(number=pl.lit("other"), x0=pl.col("x0") + 1e-10)
    pl.concat([table(900, 1000), copies]).write_csv(tmp_path / "new.csv")
    for turn in range(3):
        back = luthier.branch(
            run.path, 5, new_test=tmp_path / "new.csv", run=tmp_path / f"back{turn}", screen=SilentScreen()
        )
        assert back.scores["headline"]["n"] == 100
        assert back.scores["openings"] == 1 + turn
        assert "known-test-rows" in findings(back)
        assert ("test-read-twice" in findings(back)) is (turn > 0)
        assert pl.read_parquet(back.folder.judged).height == 100
        assert numbers(back.path, rows, "test") == set()
    with pytest.raises(InputError, match="the run has read it"):
        luthier.branch(back.path, 5, new_test=tmp_path / "new.csv", run=tmp_path / "next", screen=SilentScreen())
    again = luthier.branch(back.path, 5, again=True, run=tmp_path / "again", screen=SilentScreen())
    assert again.scores["headline"]["n"] == 100  # the same fresh rows, not those of the first table
    assert again.scores["openings"] == 4


@pytest.mark.parametrize("way", ["resume", "branch", "tune", "test", "config", "new test"])
def test_a_table_that_has_changed_is_refused_on_every_way_back(way: str, tmp_path: Path) -> None:
    rows, path, new = table(0, 200), tmp_path / "t.csv", tmp_path / "new.csv"
    rows.write_csv(path)
    table(900, 950).write_csv(new)
    run = fit(path, tmp_path / "run", until=5 if way in ("test", "new test") else 4, test=new)
    changed = new if way == "new test" else path
    pl.concat([pl.read_csv(changed), pl.read_csv(changed)[:30].with_columns(pl.col("x0") + 1)]).write_csv(changed)
    again = {"run": tmp_path / "again", "screen": SilentScreen()}
    calls: dict[str, Any] = {
        "resume": lambda: luthier.resume(run.path, screen=SilentScreen()),
        "branch": lambda: luthier.branch(run.path, 3, **again),
        "tune": lambda: luthier.tune_table(run.path, run=tmp_path / "again", trials=1),
        "test": lambda: luthier.test(run.path, again=True, screen=SilentScreen()),
        "config": lambda: luthier.rerun(run.path / "recipe.toml", **again),
        "new test": lambda: luthier.test(run.path, again=True, screen=SilentScreen()),
    }
    with pytest.raises(InputError, match=f"'{changed}' has changed since the run started"):
        calls[way]()


def test_the_same_rows_are_counted_whatever_the_options(tmp_path: Path, home: Path) -> None:
    rows = table(0, 200)
    rows.write_csv(tmp_path / "t.csv")
    rows.write_parquet(tmp_path / "t.parquet")
    ways: list[tuple[Any, dict[str, Any]]] = [
        (tmp_path / "t.csv", {}),
        (tmp_path / "t.csv", {"metric": "auc"}),
        (tmp_path / "t.parquet", {"columns": {"x3": "identifier", "number": "identifier"}}),
        (rows.drop("number"), {"columns": {"who": "identifier", "w": "identifier"}}),
        (tmp_path / "t.csv", {"replace": True}),
    ]
    times = (1, 2, 3, 3, 5)  # the fourth shares neither all cells nor the used columns with the third
    for turn, (source, options) in enumerate(ways):
        result = fit(source, tmp_path / f"run{0 if options.get('replace') else turn}", **options)
        assert result.scores["openings"] == times[turn]
        assert result.scores["seal"]["read"] == (1.0 if turn else 0.0)
        said = "measured once, on rows that no earlier run" if not turn else f"these rows were read {times[turn]} times"
        assert said in repr(result)
        assert said in (result.path / "report.html").read_text()
    assert len(list((home / "register").glob("*.parquet"))) == len(ways)
    other = fit(tmp_path / "t.csv", tmp_path / "seed", seed=5)
    before, now = numbers(tmp_path / "run0", rows, "test"), numbers(tmp_path / "seed", rows, "test")
    assert other.scores["seal"]["read"] == pytest.approx(len(before & now) / len(now))
    assert other.scores["seal"]["opened"] == pytest.approx(len(now - before) / len(now))
    assert "of them open" in other.scores["seal"]["sentence"]


def test_without_a_register_nothing_is_kept(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fit(table(0, 100), tmp_path / "a", registered=False)
    assert "not counted" in repr(result)
    assert not home.exists()
    monkeypatch.setenv("LUTHIER_HOME", str(tmp_path / "a" / "run.json" / "home"))  # a place that cannot be written
    said = fit(table(0, 100), tmp_path / "b")
    assert any("are not counted: " in str(line.get("sentence")) for line in said.ledger)
    assert said.scores["openings"] == 1


def coarse(first: int, last: int) -> pl.DataFrame:
    """Rows of four letters of five each: equal ones are common."""
    rng = np.random.default_rng(7)
    letters = rng.choice(list("abcde"), size=(2000, 4))
    y = np.where((letters[:, 0] == "a") | (rng.random(2000) < 0.3), "yes", "no")
    number = pl.Series([f"n{k}" for k in range(2000)])
    return pl.DataFrame({**{f"c{k}": letters[:, k] for k in range(4)}, "y": y, "number": number})[first:last]


def test_a_table_whose_rows_come_to_repeat_knows_those_of_before(tmp_path: Path) -> None:
    """A few different rows, then many of which most repeat others: rows are told apart in another way then."""
    before = coarse(0, 60).unique(["c0", "c1", "c2", "c3"], maintain_order=True)
    after = pl.concat([before, coarse(100, 700)]).sample(fraction=1.0, shuffle=True, seed=1)
    columns = {"number": "identifier"}
    fit(before, tmp_path / "a", columns=columns)
    warm = fit(after, tmp_path / "b", columns={}, seed=1, warm_start=tmp_path / "a")
    assert any("few values of the columns" in str(line.get("reason")) for line in warm.ledger)
    assert not opened(tmp_path / "a", before) & numbers(tmp_path / "b", after, "test")


@pytest.mark.parametrize("identified", [True, False])
def test_rows_of_the_run_are_no_new_test_set_where_rows_repeat(identified: bool, tmp_path: Path) -> None:
    columns = {"number": "identifier"} if identified else {}
    rows, fresh = (part if identified else part.drop("number") for part in (coarse(0, 1000), coarse(1000, 1300)))
    again = rows[:-1].sample(fraction=0.3, shuffle=True, seed=2)
    run = fit(rows, tmp_path / "a", columns=columns)
    with pytest.raises(InputError, match="is not a new test set"):
        luthier.branch(run.path, 5, new_test=again, run=tmp_path / "b", screen=SilentScreen())
    back = luthier.branch(run.path, 5, new_test=fresh, run=tmp_path / "b", screen=SilentScreen())
    assert back.scores["headline"]["n"] == 300


def test_rows_that_were_learnt_from_on_the_disk_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table with too many rows to be recorded a sample decides, and the last networks learn from the others."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known_rows, "MOST_ROWS", 1000)
    before, after = tmp_path / "before.csv", tmp_path / "after.csv"
    table(0, 1400).write_csv(before)
    table(0, 2000).sample(fraction=1.0, shuffle=True, seed=1).write_csv(after)
    fit(before, tmp_path / "a", memory="600kB")
    fit(after, tmp_path / "b", memory="600kB", columns={}, seed=1, warm_start=tmp_path / "a")
    sealed = []
    for name, source in (("a", before), ("b", after)):
        read = read_as_asked(str(source), asked_of(RunFolder(tmp_path / name)))
        assert read.source.whole is not None
        sealed.append(numbers(tmp_path / name, read.frame, "test"))
    assert not record(tmp_path / "a").complete
    assert sealed[1] & set(table(0, 1400)["number"]) <= sealed[0]
    assert sealed[1]
