"""Splits by time, by group and of rare classes, and folds: against datetimes, planted parts and counts."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
import polars as pl
import pytest

from luthier.data import SplitRule, Splits, infer_task, split_rows
from luthier.data.grouping import share_out
from luthier.data.split import class_counts, fold_rows, group_numbers
from luthier.data.times import time_format, times
from luthier.errors import InputError
from luthier.recipe import read_as_asked
from luthier.recipe.decisions.row_parts import SplitEvidence
from luthier.request import RunRequest

SHARES = np.array([0.6, 0.2, 0.2])
TABLES = int(os.environ.get("LUTHIER_GROUP_TABLES", "40"))  # 200 take ten seconds
WITHOUT = TABLES // 4  # of which no split comes near to the shares
MOMENTS = [dt.datetime(2019, 6, 1) + dt.timedelta(days=k, hours=k % 24) for k in range(700)]


def parts_of(splits: Splits) -> list[np.ndarray]:
    return [splits.training, splits.validation, splits.test]


def shuffled_times(form: str) -> tuple[pl.DataFrame, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(MOMENTS))
    text = [MOMENTS[k].strftime(form) for k in order]
    return pl.DataFrame({"when": text, "x": order % 7, "y": ["a", "b"] * 350}), order


@pytest.mark.parametrize(
    "form",
    [
        "%m/%d/%Y",
        "%m/%d/%Y %H:%M:%S",
        "%d/%m/%Y",
        "%d.%m.%Y",
        "%m/%d/%y",
        "%d-%b-%y",
        "%a, %d %b %Y",
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M",
        "%Y/%m/%d",
    ],
)
def test_later_rows_are_later_in_time_not_in_the_alphabet(form: str) -> None:
    frame, order = shuffled_times(form)
    training, validation, test = parts_of(
        split_rows(frame, SplitRule(time="when"), task=infer_task(frame["y"]), seed=0)
    )
    assert order[training].max() < order[validation].min()
    assert order[validation].max() < order[test].min()
    assert len(test) == pytest.approx(140, abs=1)


@pytest.mark.parametrize("form", ["%d%m%y!", "week %W", "%m/%d/%Y ?"])
def test_text_that_is_no_known_date_is_refused(form: str) -> None:
    frame, _ = shuffled_times(form)
    with pytest.raises(InputError, match="not a date"):
        split_rows(frame, SplitRule(time="when"), task=infer_task(frame["y"]), seed=0)


def test_a_day_that_could_be_a_month_is_refused_unless_the_format_is_said() -> None:
    text = [f"{day:02d}/{month:02d}/2020" for month in range(1, 13) for day in range(1, 13)]
    frame = pl.DataFrame({"when": text, "y": ["a", "b"] * 72})
    with pytest.raises(InputError, match=r"%m/%d/%Y and as %d/%m/%Y") as caught:
        split_rows(frame, SplitRule(time="when"), task=infer_task(frame["y"]), seed=0)
    assert "--column when=date:%m/%d/%Y or date:%d/%m/%Y" in str(caught.value)
    for dates, number in (("%d/%m/%Y", np.arange(144)), ("%m/%d/%Y", np.arange(144).reshape(12, 12).T.ravel())):
        training, validation, test = parts_of(
            split_rows(frame, SplitRule(time="when", dates=dates), task=infer_task(frame["y"]), seed=0)
        )
        assert number[training].max() < number[validation].min() <= number[validation].max() < number[test].min()


def test_the_format_that_was_said_must_read_every_row() -> None:
    with pytest.raises(InputError, match=r"'31/12/2020' is not a date in %m/%d/%Y"):
        time_format(pl.Series("when", ["01/02/2020", "31/12/2020"]), "%m/%d/%Y")


def test_moments_of_different_zones_are_ordered_by_time() -> None:
    column = pl.Series("t", ["2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00Z", "2024-01-01 08:30"])
    assert times(column, time_format(column)).to_list() == [dt.datetime(2024, 1, 1, *t) for t in ((8,), (9,), (8, 30))]


def test_rows_of_one_time_stay_together() -> None:
    frame = pl.DataFrame({"when": sorted([1, 2, 3, 4, 5] * 40), "y": ["a", "b"] * 100})
    parts = [
        set(frame["when"][rows].to_list())
        for rows in parts_of(split_rows(frame, SplitRule(time="when"), task=infer_task(frame["y"]), seed=0))
    ]
    assert parts == [{1, 2, 3}, {4}, {5}]
    coarse = frame.with_columns(when=pl.col("when") // 3)
    with pytest.raises(InputError, match="2 different values"):
        split_rows(coarse, SplitRule(time="when"), task=infer_task(frame["y"]), seed=0)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_rare_class_is_learnt_from_first_and_sealed_next(rows: int) -> None:
    frame = pl.DataFrame({"x": list(range(200 + rows)), "y": ["rare"] * rows + ["p", "q"] * 100})
    for seed in range(5):
        splits = split_rows(frame, task=infer_task(frame["y"]), seed=seed)
        counts = [int((frame["y"][part] == "rare").sum()) for part in parts_of(splits)]
        assert counts == {1: [1, 0, 0], 2: [1, 0, 1], 3: [1, 1, 1]}[rows]
        assert ("no validation row is 'rare'" in splits.notes) == (rows < 3)
        assert ("no test row is 'rare'" in splits.notes) == (rows == 1)


def test_a_copy_stands_with_its_rarest_class() -> None:
    """The only row of a class copies a row of another: the class is learnt from, whichever of the two comes first."""
    for place in (0, 49):
        y = ["p", "q"] * 50
        y[place] = "rare"
        frame = pl.DataFrame({"x": [k % 50 if k in (0, 50, 49, 99) else k for k in range(100)], "y": y})
        for seed in range(10):
            training = split_rows(frame, task=infer_task(frame["y"]), seed=seed).training
            assert "rare" in frame["y"][training].to_list()


def planted(seed: int) -> np.ndarray:
    """The classes' rows in groups that were cut out of parts of exactly 60, 20 and 20 %, with equal class shares."""
    g = np.random.default_rng(seed)
    classes, rows = int(g.integers(2, 6)), int(g.integers(200, 3000))
    shares, counts = g.dirichlet([2] * classes), []
    for share in SHARES:
        y = np.repeat(np.arange(classes), np.maximum(1, np.round(shares * rows * share)).astype(int))
        y = g.permutation(y) if g.random() < 0.5 else y  # groups across classes, or within them
        cuts = int(g.integers(2, 15) if g.random() < 0.7 else g.integers(15, 100))
        ends = np.sort(g.choice(np.arange(1, len(y)), min(cuts, len(y) - 1), replace=False))
        counts += [np.bincount(piece, minlength=classes) for piece in np.split(y, ends)]
    return np.array(counts)


def off(counts: np.ndarray, part: np.ndarray) -> tuple[float, float]:
    """How far the parts' sizes, and the classes' shares in them, are from what they should be."""
    has = np.stack([counts[part == k].sum(0) for k in range(3)])
    sizes = has.sum(1)
    shares = np.abs(has / sizes[:, None] - counts.sum(0) / counts.sum())
    return float(np.abs(sizes / counts.sum() - SHARES).max()), float(shares.max())


def test_whole_groups_come_as_near_to_the_shares_as_a_planted_split() -> None:
    for seed in range(TABLES):
        counts = planted(seed)
        size, classes = off(counts, share_out(counts, SHARES, np.random.default_rng(seed)))
        assert size <= 0.03, f"table {seed}"
        assert classes <= 0.05, f"table {seed}"


@pytest.mark.parametrize("seed", range(WITHOUT))
def test_where_no_near_split_exists_the_first_part_is_the_largest(seed: int) -> None:
    g = np.random.default_rng(seed)
    share, classes = g.uniform(0.65, 0.8), int(g.integers(2, 5))
    odds = g.dirichlet([5] * classes)
    rows = int(g.integers(600, 3000))
    small = g.multinomial(max(1, rows // 200), odds, int(100 * (1 - share) / share) + 60)
    first = np.round(odds * small.sum() * share / (1 - share)).astype(int)  # one group of about 70 %
    large = np.concatenate([small, [first]])[order := g.permutation(len(small) + 1)]
    part = share_out(large, SHARES, g)
    assert part[np.flatnonzero(order == len(small))[0]] == 0
    sizes = [large[part == k].sum() / large.sum() for k in range(3)]
    share = first.sum() / large.sum()
    assert sizes == pytest.approx([share, (1 - share) / 2, (1 - share) / 2], abs=0.01)
    three = g.multinomial(1, odds, 3) + np.outer(g.permutation([300, 90, 100]), odds).round().astype(int)
    part = share_out(three, SHARES, g)
    assert sorted(part) == [0, 1, 2]
    assert part[three.sum(1).argmax()] == 0


@pytest.mark.parametrize("seed", range(WITHOUT))
def test_three_groups_are_split_and_the_shares_that_were_reached_are_said(seed: int) -> None:
    g = np.random.default_rng(seed)
    who = np.repeat(["p", "q", "r"], g.permutation([int(g.integers(300, 500)), 60, int(g.integers(70, 100))]))
    frame = pl.DataFrame({"who": who, "x": np.arange(len(who)), "y": g.choice(["a", "b"], len(who))})
    splits = split_rows(frame, SplitRule(group="who"), task=infer_task(frame["y"]), seed=seed)
    sides = [set(frame["who"][part].to_list()) for part in parts_of(splits)]
    assert sorted(len(side) for side in sides) == [1, 1, 1]
    sizes = [len(part) for part in parts_of(splits)]
    assert sizes[0] >= 300
    evidence = SplitEvidence(sizes[0], sizes[1], sizes[2], seed, "groups", notes=splits.notes)
    said = ", ".join(f"{100 * size / len(who):.0f}" for size in sizes)
    assert f"{said} % of the rows in whole groups" in evidence.render(evidence.decide()).reason


def test_rows_without_a_group_are_their_own() -> None:
    labels = [None if i % 10 < 7 else f"s{i // 10}" for i in range(600)]
    frame = pl.DataFrame({"g": labels, "x": list(range(600)), "y": ["a", "b"] * 300})
    splits = split_rows(frame, SplitRule(group="g"), task=infer_task(frame["y"]), seed=0)
    assert [len(part) for part in parts_of(splits)] == pytest.approx([360, 120, 120], abs=18)
    assert "480 groups by `g`, each whole on one side, 420 of them rows without a group" in splits.notes


def test_a_class_that_a_part_lacks_is_named() -> None:
    frame = pl.DataFrame(
        {
            "g": [f"k{i % 4}" for i in range(400)],
            "x": list(range(400)),
            "y": ["c" if i % 4 == 3 else "ab"[i % 4 % 2] for i in range(400)],
        }
    )
    splits = split_rows(frame, SplitRule(group="g"), task=infer_task(frame["y"]), seed=1)
    assert "c" in frame["y"][splits.training].to_list()
    for name, part in zip(("training", "validation", "test"), parts_of(splits), strict=True):
        absent = sorted({"a", "b", "c"} - set(frame["y"][part].to_list()))
        named = " or ".join(f"'{one}'" for one in absent)
        assert (f"no {name} row is {named}" in splits.notes) == bool(absent)


@pytest.mark.parametrize("whole", [False, True])
def test_each_fold_learns_every_class_that_two_groups_have(whole: bool) -> None:
    for seed in range(20):
        g = np.random.default_rng(seed)
        groups = np.sort(g.integers(0, 30, 300)) if whole else np.arange(300)
        groups = np.unique(groups, return_inverse=True)[1]
        strata = g.choice([0, 1, 1, 1, 2], 300)
        strata[:4] = 3  # neighbours: of one or two groups
        folds = fold_rows(groups, strata, 5, g, whole=whole)
        assert sorted(np.concatenate(folds).tolist()) == list(range(300))
        counts = class_counts(groups, strata)
        for fold in folds:
            rest = np.setdiff1d(np.arange(300), fold)
            assert not set(groups[fold]) & set(groups[rest])
            assert set(np.flatnonzero((counts > 0).sum(0) > 1)) <= set(strata[rest])
            assert len(fold) == pytest.approx(60, abs=9 if whole else 1)  # 3 points of 300 rows
            shares = np.bincount(strata[fold], minlength=4) / len(fold) - np.bincount(strata, minlength=4) / 300
            assert np.abs(shares).max() < (0.06 if whole else 0.02)


def test_there_are_as_many_folds_as_groups() -> None:
    groups = group_numbers(pl.Series(["a", "b"] * 20))
    assert [
        len(fold) for fold in fold_rows(groups, np.zeros(40, dtype=int), 5, np.random.default_rng(0), whole=True)
    ] == [20, 20]


@pytest.mark.parametrize(
    ("cells", "word"), [(("{k} days ago",), "ago"), (("{k} BC",), "bc"), (("{k} days", "{k}"), "")]
)
def test_a_word_that_turns_the_order_around_is_refused(cells: tuple[str, ...], word: str) -> None:
    """Of 3 and 9 days ago the smaller number is the later one: read as numbers, the past would be tested."""
    for template in cells:
        written = [template.format(k=k) for k in range(1, 121)]
        frame = pl.DataFrame({"t": written, "x": np.sin(np.arange(120)), "y": [0, 1] * 60})
        if not word:
            read_as_asked(frame, RunRequest(source="", target="y", time="t"))
            continue
        with pytest.raises(InputError, match=f"'{word}' stands beside each number"):
            read_as_asked(frame, RunRequest(source="", target="y", time="t"))
