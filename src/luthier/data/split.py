"""Training, validation and test rows: seeded, shuffled, stratified, copies and groups kept together, or by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from luthier.data.copies import Copies, CopyRule
from luthier.data.grouping import share_out
from luthier.data.times import time_format, times
from luthier.data.typed_columns.label_lists import rarest_label
from luthier.data.typed_columns.task import Task, encode_target
from luthier.errors import InputError
from luthier.messages import Message, joined
from luthier.seeds import numpy_generator

TEST = 0.2  # of the rows
VALIDATION = 0.25  # of the others
MOST_VALIDATED = 40_000  # rows; more tell settings apart no better than their trainings differ by chance
STRATA = 10  # quantiles of a regression's target
GROUP_STRATA = 4  # the same, where whole groups are shared out
FEWEST = 10
PARTS = ("training", "validation", "test")
NAMED = 5  # classes that a note lists


@dataclass(frozen=True)
class SplitRule:
    """How rows are shared out: the share that is the test part, and what decides which rows are.

    A quarter of the others validates, of many rows 40,000. With `group`, rows with the same value of that column stay
    on one side; with `time` the latest rows by that column are the test part, those before them validation, and text
    is read by the format `dates` where it is given. Where none is `sealed` what would be so is validated on, and the
    others are for training.
    """

    test: float = TEST
    group: str = ""
    time: str = ""
    dates: str = ""
    sealed: bool = True


AT_RANDOM = SplitRule()


@dataclass(frozen=True)
class Splits:
    """Row numbers of each part, sorted and disjoint; `notes` say what was special. Where rows of another file are
    the test part, `left_out` are the numbers of those that are not, and rows of the table that are among them are in no
    part."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()
    left_out: tuple[int, ...] = ()

    @classmethod
    def of(cls, part: np.ndarray, notes: Sequence[str] = ()) -> Splits:
        """From the number of each row's part [N]. InputError for a part without rows."""
        parts = [np.flatnonzero(part == i) for i in range(3)]
        if min(len(rows) for rows in parts) == 0:
            raise InputError(
                "the table is too small to be split into three parts", received=Message("{count} rows", count=len(part))
            )
        return cls(parts[0], parts[1], parts[2], tuple(notes))


def split_rows(
    frame: pl.DataFrame,
    rule: SplitRule = AT_RANDOM,
    *,
    task: Task,
    seed: int,
    copies: Copies | None = None,
    known: np.ndarray | None = None,
) -> Splits:
    """Split the rows of a table whose target has no missing values, by a rule.

    `copies` of each other stay on one side (by default rows that are the same in every column but the target), unless
    the table is coarse. Rows that are `known` (bool [N]) are not tested, nor what stays on one side with them. A class
    of one row is learnt from, of two rows one is sealed. Raises InputError for what cannot be split so.
    """
    require_rows(frame)
    most = MOST_VALIDATED / frame.height
    test = rule.test if rule.sealed else min(rule.test, most)
    validation = min((1 - test) * VALIDATION, most)
    shares = np.array([1 - validation - test, validation, test])
    copies = copies or CopyRule.of(frame.drop(task.target)).copies(frame)
    known = np.zeros(frame.height, dtype=bool) if known is None else known
    if rule.time:
        result = _by_time(frame[rule.time], rule.dates, shares, known)
    elif rule.group:
        result = _by_group(frame, rule.group, task, seed, shares, known)
    else:
        notes = [copies.in_words] if copies.in_words else []
        result = _shuffled(strata_of(frame[task.target], task), copies.together, seed, shares, notes, known)
    if not rule.sealed:
        opened = np.sort(np.concatenate([result.training, result.validation]))
        result = replace(result, training=opened, validation=result.test, test=result.test[:0])
    return _with_lacking(_with_copies_across(result, copies), frame[task.target], task)


def _with_copies_across(splits: Splits, copies: Copies) -> Splits:
    """With a note on rows of the test part whose inputs an open row has, where groups or time decide."""
    rows = copies.across(splits.test, np.concatenate([splits.training, splits.validation]))
    if not rows:
        return splits
    note = Message(
        "{rows} of the {count} test rows are copies of training or validation rows", rows=rows, count=len(splits.test)
    )
    return replace(splits, notes=(*splits.notes, note))


def _shuffled(
    strata: np.ndarray, groups: np.ndarray, seed: int, shares: np.ndarray, notes: list[str], known: np.ndarray
) -> Splits:
    """Rows at random within each stratum; one row stands for its copies, one of its rarest class."""
    rng, first = numpy_generator(seed, "split"), _representatives(groups, strata)
    groups = np.unique(groups, return_inverse=True)[1]
    is_known = _of_groups(groups, known)
    part = np.zeros(len(first), dtype=np.int8)
    for stratum in np.unique(strata[first]):
        rows = rng.permutation(np.flatnonzero(strata[first] == stratum))
        tested, validated = _counts(len(rows), shares, rng)
        rows = rows[np.argsort(is_known[rows], kind="stable")]  # what is not known is tested, then validated on
        tested = min(tested, int((~is_known[rows]).sum()))
        part[rows[:tested]] = 2
        part[rows[tested : tested + validated]] = 1
    return Splits.of(part[groups], notes)


def _of_groups(groups: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which groups have a row that is known [G]. InputError where all have."""
    result = np.bincount(groups, known) > 0
    if result.all():
        raise _all_known("all are known, or stay on one side with known ones")
    return result


def _all_known(why: str) -> InputError:
    return InputError(
        "no row is left to test on: the earlier run has learnt from them",
        expected="some rows that it has not learnt from",
        received=why,
        remedy="seal other rows with --test FILE",
    )


def _counts(rows: int, shares: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Test and validation rows of a stratum; fractions are drawn, so that small strata are fair on average."""
    if rows < 3:
        return max(0, rows - 1), 0
    exact = [rows * shares[2], rows * shares[1]]
    tested, validated = (max(1, int(e + (rng.random() < e - int(e)))) for e in exact)
    return tested, validated


def _by_group(frame: pl.DataFrame, group: str, task: Task, seed: int, shares: np.ndarray, known: np.ndarray) -> Splits:
    """Whole groups, in parts as near to their shares of the rows and of the classes as groups allow."""
    groups = group_numbers(frame[group])
    count = int(groups.max()) + 1
    if count < 3:
        raise InputError(
            Message("'{group}' has {count} different values", group=group, count=count),
            expected="at least three groups, one for each part",
        )
    counts = class_counts(groups, strata_of(frame[task.target], task, GROUP_STRATA))
    part = share_out(counts, shares, numpy_generator(seed, "split", "groups"))
    is_known = _of_groups(groups, known)
    if (part[is_known] == 2).any():
        part = _shared_out_again(counts, shares, is_known, numpy_generator(seed, "split", "known groups"))
    alone = frame[group].null_count()
    own = Message(", {count} of them rows without a group", count=alone) if alone else ""
    return Splits.of(
        part[groups],
        [Message("{count} groups by `{group}`, each whole on one side{own}", count=count, group=group, own=own)],
    )


def _shared_out_again(
    counts: np.ndarray, shares: np.ndarray, is_known: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The part of each group [G]: the test part from groups that are not known alone, the others from what is left."""
    part, fresh = np.zeros(len(counts), dtype=np.int64), np.flatnonzero(~is_known)
    wanted = shares[2] * counts.sum() / max(1.0, counts[fresh].sum())
    if wanted >= 1 or len(fresh) < 2:
        part[fresh] = 2
    else:
        part[fresh] = 2 * share_out(counts[fresh], np.array([1 - wanted, wanted]), rng, learnt=False)
    others = np.flatnonzero(part == 0)
    if len(others) > 1:
        part[others] = share_out(counts[others], shares[:2] / shares[:2].sum(), rng)
    return part


def group_numbers(labels: pl.Series) -> np.ndarray:
    """The number of each row's group [N], from 0; a row without a group is its own.

    >>> group_numbers(pl.Series(["b", None, "a", "b", None])).tolist()
    [1, 2, 0, 1, 3]
    """
    labels = labels.fill_nan(None) if labels.dtype.is_float() else labels
    known, numbers = labels.is_not_null().to_numpy(), np.empty(len(labels), dtype=np.int64)
    names, numbers[known] = np.unique(labels.drop_nulls().cast(pl.String).to_numpy(), return_inverse=True)
    numbers[~known] = len(names) + np.arange(int((~known).sum()))
    return numbers


def class_counts(groups: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Rows of each group and stratum [G, C], both numbered from 0."""
    counts = np.zeros((int(groups.max()) + 1, int(strata.max()) + 1))
    np.add.at(counts, (groups, strata), 1)
    return counts


def fold_rows(
    groups: np.ndarray, strata: np.ndarray, folds: int, rng: np.random.Generator, *, whole: bool = False
) -> list[np.ndarray]:
    """Row numbers of each fold, sorted: of equal sizes, with every stratum in equal shares, groups [N] kept together.

    The rows outside a fold have every class that two groups have. There are as many folds as groups, at most `folds`.
    Groups are few rows (copies) unless they are `whole` parts of the table.
    """
    count = int(groups.max()) + 1
    folds = min(folds, count)
    if whole:
        part = share_out(class_counts(groups, strata), np.full(folds, 1 / folds), rng, learnt=False)
        return [np.flatnonzero(part[groups] == fold) for fold in range(folds)]
    first = _representatives(groups, strata)
    dealt = np.empty(count, dtype=np.int64)  # neighbours in a stratum go to different folds
    dealt[np.lexsort((rng.random(count), strata[first]))] = np.arange(count) % folds
    return [np.flatnonzero(dealt[groups] == fold) for fold in range(folds)]


def _representatives(groups: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """One row for each group, of the group's rarest stratum [G]."""
    order = np.lexsort((np.bincount(strata)[strata], groups))
    return order[np.unique(groups[order], return_index=True)[1]]


def _by_time(column: pl.Series, dates: str, shares: np.ndarray, known: np.ndarray) -> Splits:
    """The latest rows are the test part; rows of the same time stay together, and no known row is as late."""
    ordered = times(column, time_format(column, dates))
    before = ordered.rank("min").to_numpy() - 1  # rows with an earlier time
    starts = np.unique(before)[1:]  # where a later part may begin
    if len(starts) < 2:
        raise InputError(
            Message("'{name}' has {count} different values", name=column.name, count=len(starts) + 1),
            expected="at least three times, one for each part",
        )
    later = starts[1:][starts[1:] > before[known].max(initial=0)]
    if not len(later):
        raise _all_known("none is later than what was learnt from")
    tested = later[np.abs(later - len(column) * (1 - shares[2])).argmin()]
    earlier = starts[starts < tested]
    validated = earlier[np.abs(earlier - len(column) * shares[0]).argmin()]
    part = (before >= validated).astype(np.int8) + (before >= tested)
    return Splits.of(part)


def require_rows(frame: pl.DataFrame) -> None:
    """InputError for a table with too few rows to be split into three parts."""
    if frame.height < FEWEST:
        raise InputError(
            Message("the table has {count} rows with a target", count=frame.height),
            expected=Message("at least {fewest}, so that each part gets some", fewest=FEWEST),
            remedy="add rows",
        )


def strata_of(target: pl.Series, task: Task, quantiles: int = STRATA) -> np.ndarray:
    """The number of each row's class, or of its target's quantile [N], from 0."""
    if target.null_count():  # rows that lack the first of several targets are a stratum of their own
        known = target.is_not_null().to_numpy()
        result = np.zeros(len(target), dtype=np.int64)
        result[known] = 1 + strata_of(target.drop_nulls(), task, quantiles)
        return result
    if task.traits.is_labels:
        return rarest_label(encode_target(target, task).numpy())
    if task.classes:
        return target.cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    ranks = target.rank("ordinal").to_numpy().astype(np.int64)
    return (ranks - 1) * min(quantiles, max(1, len(ranks) // 10)) // len(ranks)


def _with_lacking(splits: Splits, target: pl.Series, task: Task) -> Splits:
    """With a note for each part that has no row of a class."""
    if not task.classes or target.null_count():
        return splits
    codes, notes = encode_target(target, task).numpy(), list(splits.notes)
    for name in PARTS:
        rows = getattr(splits, name)
        absent = np.flatnonzero(~codes[rows].any(0)) if codes.ndim == 2 else np.setdiff1d(codes, codes[rows])
        if len(absent) and len(rows):
            named = joined((f"'{task.classes[code]}'" for code in absent[:NAMED]), "{first} or {rest}")
            others = len(absent) - NAMED
            more = Message(" and {count} other classes", count=others) if others > 0 else ""
            notes.append(Message("no {part} row is {named}{more}", part=Message(name), named=named, more=more))
    return replace(splits, notes=tuple(notes))
