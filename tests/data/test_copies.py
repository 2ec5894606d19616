"""Copies are recognised by their used columns, whatever numbers their rows, and lie on one side of a split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from luthier.data import SplitRule, infer_columns, infer_task, split_rows
from luthier.data.copies import Copies, CopyRule
from luthier.data.pieces import Pieces
from luthier.data.row_hashes import row_hashes
from luthier.errors import InputError


def table(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    """Continuous columns, and labels of a coin: who predicts them has seen the row."""
    rng = np.random.default_rng(seed)
    cells = {f"x{i}": rng.normal(size=rows).round(5) for i in range(5)}
    return pl.DataFrame({**cells, "y": rng.choice(["a", "b"], rows)})


def quarter(frame: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([frame, frame[:100]])


def stamped(frame: pl.DataFrame) -> pl.DataFrame:
    stamps = [f"2024-01-01 {i // 60 % 24:02d}:{i % 60:02d}" for i in range(frame.height)]
    return frame.with_columns(stamp=pl.Series(stamps))


def shuffled(values: list[int]) -> pl.Series:
    return pl.Series(np.random.default_rng(1).permutation(values))


COPIED: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "a quarter twice": quarter,
    "all three times": lambda f: pl.concat([f] * 3),
    "all ten times": lambda f: pl.concat([f] * 10),
    "with a row id": lambda f: quarter(f).with_row_index("id"),
    "with shuffled row numbers": lambda f: quarter(f).with_columns(number=shuffled(list(range(500)))),
    "with an identifier of letters": lambda f: quarter(f).with_columns(key=pl.Series([f"k{i:x}" for i in range(500)])),
    "with a time stamp": lambda f: stamped(quarter(f)),
    "with a time of day": lambda f: stamped(quarter(f)).with_columns(pl.col("stamp").str.slice(11)),
    "with rounding noise": lambda f: pl.concat([f, f[:100].with_columns(pl.col("^x.*$") + 1e-9)]),
    "by way of single precision": lambda f: pl.concat(
        [f, f[:100].with_columns(pl.col("^x.*$").cast(pl.Float32).cast(pl.Float64))]
    ),
    "with noise and a row id": lambda f: pl.concat(
        [f, f[:100].with_columns(pl.col("^x.*$") * (1 + 1e-10))]
    ).with_row_index("id"),
}


@pytest.mark.parametrize("name", COPIED)
def test_no_copy_lies_on_two_sides(name: str) -> None:
    frame = COPIED[name](table()).sample(fraction=1.0, shuffle=True, seed=1)
    columns, task = infer_columns(frame, target="y", overrides={}), infer_task(frame["y"])
    copies = CopyRule.of(frame, columns).copies(frame)
    splits = split_rows(frame, task=task, seed=0, copies=copies)
    origin = frame.select(pl.col("^x.*$").round(5)).hash_rows().to_numpy()  # the truth: which row it was made from
    opened = set(origin[splits.training]) | set(origin[splits.validation])
    assert len(opened) + len(set(origin[splits.test])) == 400
    assert not opened & set(origin[splits.test])
    repeated = int((np.unique(origin, return_inverse=True, return_counts=True)[2] > 1).sum())
    assert copies.repeated == sum(c for c in np.unique(origin, return_counts=True)[1] if c > 1) >= repeated
    assert "copies of other rows" in splits.notes[0]


@pytest.mark.parametrize(
    ("columns", "coarse"),
    [(1, True), (5, True), (12, True), (40, False)],
)
def test_a_table_is_coarse_only_where_its_columns_are(columns: int, coarse: bool) -> None:
    """Rows of a few columns of two values repeat by chance; of forty columns none does, unless it was copied."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"b{i}": rng.integers(0, 2, 1000) for i in range(columns)})
    copies = CopyRule.of(frame).copies(frame if coarse else pl.concat([frame, frame]))
    assert copies.repeated > 0
    assert copies.coarse is coarse
    assert len(np.unique(copies.together)) == 1000


def test_copies_across_groups_are_counted() -> None:
    frame = quarter(table()).with_columns(g=pl.Series([i // 5 for i in range(500)]))
    copies = CopyRule.of(frame, infer_columns(frame.drop("g"), target="y", overrides={})).copies(frame)
    splits = split_rows(frame, SplitRule(group="g"), task=infer_task(frame["y"]), seed=0, copies=copies)
    origin = np.r_[np.arange(400), np.arange(100)]
    opened = np.concatenate([splits.training, splits.validation])
    across = int(np.isin(origin[splits.test], origin[opened]).sum())
    assert across > 0
    assert f"{across} of the {len(splits.test)} test rows are copies" in splits.notes[-1]


def test_neighbours_on_a_fine_grid_are_not_copies() -> None:
    frame = pl.DataFrame({"x": np.arange(1000) / 1000 * 1e5, "z": np.random.default_rng(0).normal(size=1000)})
    assert CopyRule.of(frame).copies(frame) == Copies(pytest.approx(np.arange(1000)))  # type: ignore[arg-type]


def test_what_is_known_is_not_tested() -> None:
    """By chance, in whole groups and by time; the size of the test part is kept while there are rows for it."""
    frame = table(500).with_columns(g=pl.Series([i % 50 for i in range(500)]), t=pl.Series(range(500)))
    known = np.zeros(500, dtype=bool)
    known[np.random.default_rng(3).permutation(500)[:350]] = True
    task = infer_task(frame["y"])
    splits = split_rows(frame, task=task, seed=1, known=known)
    assert not known[splits.test].any()
    assert len(splits.test) == pytest.approx(100, abs=2)
    in_groups = frame["g"].to_numpy() < 30
    splits = split_rows(frame, SplitRule(group="g"), task=task, seed=1, known=in_groups)
    assert not in_groups[splits.test].any()
    assert len(splits.test) == pytest.approx(100, abs=15)
    early = np.arange(500) < 450
    splits = split_rows(frame, SplitRule(time="t"), task=task, seed=1, known=early)
    assert splits.test.tolist() == list(range(450, 500))
    for rule in (SplitRule(), SplitRule(group="g"), SplitRule(time="t")):
        with pytest.raises(InputError, match="no row is left to test on"):
            split_rows(frame, rule, task=task, seed=1, known=np.ones(500, dtype=bool))


def test_without_known_rows_in_the_test_part_the_split_is_the_same() -> None:
    frame = table(500)
    before = split_rows(frame, task=infer_task(frame["y"]), seed=7)
    known = np.ones(500, dtype=bool)
    known[before.test] = False
    after = split_rows(frame, task=infer_task(frame["y"]), seed=7, known=known)
    assert after.test.tolist() == before.test.tolist()
    assert after.validation.tolist() == before.validation.tolist()


def test_other_columns_give_the_same_split() -> None:
    """So that a table fitted again with other options seals the same rows."""
    frame = quarter(table(500))
    task = infer_task(frame["y"])
    one, other = (
        split_rows(frame, task=task, seed=0, copies=CopyRule.of(frame[names]).copies(frame))
        for names in (["x0", "x1"], ["x3"])
    )
    assert one.test.tolist() == other.test.tolist()


def test_hashes_do_not_change_with_the_version() -> None:
    """They are stored: the numbers below were written by the first version that had them."""
    frame = pl.DataFrame({"a": [1.5, None], "b": ["x", "2024-01-05"], "c": [True, False]})
    typed = frame.with_columns(pl.Series("b", ["x", "2024-01-05 00:00:00"]), pl.Series("c", ["true", "False"]))
    assert row_hashes(frame).tolist() == row_hashes(typed).tolist() == HASHES


HASHES = [12653834197784626988, 11513179799179477074]


def test_rows_on_the_disk_stay_in_their_order(tmp_path: Path) -> None:
    """The networks would learn from another order each time."""
    g = np.random.default_rng(0)
    frame = pl.DataFrame({"place": np.arange(40_000), "x": g.normal(size=40_000), "z": g.normal(size=40_000)})
    frame.write_parquet(tmp_path / "table.parquet", row_group_size=1000)
    rule = CopyRule(("x", "z"), {"x": 1e-6, "z": 1e-6})
    table = Pieces((tmp_path / "table.parquet",), np.array([60, 30_000])).then(rule.others_than(frame[:50]))
    rows = pl.concat(list(table.frames(rows=777)))
    assert rows["place"].to_list() == [place for place in range(50, 40_000) if place not in (60, 30_000)]
