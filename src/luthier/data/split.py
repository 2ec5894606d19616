"""Training, validation and test rows: seeded, shuffled, stratified, copies and groups kept together, or by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from luthier.data.grouping import share_out
from luthier.data.task import Task, encode_target
from luthier.data.times import time_format, times
from luthier.errors import InputError
from luthier.seeds import numpy_generator

COARSE = 0.3  # above this share of repeated rows a repetition is the table's nature, not a copy
STRATA = 10  # quantiles of a regression's target
GROUP_STRATA = 4  # the same, where whole groups are shared out
FEWEST = 10
PARTS = ("training", "validation", "test")
NAMED = 5  # classes that a note lists


@dataclass(frozen=True)
class Splits:
    """Row numbers of each part, sorted, disjoint and complete; `notes` say what was special."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, part: np.ndarray, notes: Sequence[str] = ()) -> Splits:
        """From the number of each row's part [N]. InputError for a part without rows."""
        parts = [np.flatnonzero(part == i) for i in range(3)]
        if min(len(rows) for rows in parts) == 0:
            raise InputError("the table is too small to be split into three parts", received=f"{len(part)} rows")
        return cls(parts[0], parts[1], parts[2], tuple(notes))


def split_rows(
    frame: pl.DataFrame,
    *,
    task: Task,
    seed: int,
    test: float = 0.2,
    validation: float = 0.2,
    group: str = "",
    time: str = "",
    dates: str = "",
    copies: np.ndarray | None = None,
) -> Splits:
    """Split the rows of a table whose target has no missing values.

    Rows that are the same in every column but the target stay on one side, unless the table is
    coarse and most rows repeat anyway. With `group`, rows with the same value of that column stay on one
    side; with `time` the latest rows by that column are the test part, those before them validation, and text is read
    by the format `dates` where it is given. `copies` [N] numbers rows whose inputs are the same, where the table's
    cells do not say so. A class of one row is learnt from, of two rows one is sealed. Raises InputError for what
    cannot be split so.
    """
    require_rows(frame)
    shares = np.array([1 - validation - test, validation, test])
    if time:
        result = _by_time(frame[time], dates, shares)
    elif group:
        result = _by_group(frame, group, task, seed, shares)
    else:
        groups, notes = _groups(frame.drop(task.target)) if copies is None else _copied(copies)
        result = _shuffled(strata_of(frame[task.target], task), groups, seed, shares, notes)
    return _with_lacking(result, frame[task.target], task)


def _shuffled(strata: np.ndarray, groups: np.ndarray, seed: int, shares: np.ndarray, notes: list[str]) -> Splits:
    """Rows at random within each stratum; one row stands for its copies, one of its rarest class."""
    rng, first = numpy_generator(seed, "split"), _representatives(groups, strata)
    part = np.zeros(len(first), dtype=np.int8)
    for stratum in np.unique(strata[first]):
        rows = rng.permutation(np.flatnonzero(strata[first] == stratum))
        tested, validated = _counts(len(rows), shares, rng)
        part[rows[:tested]] = 2
        part[rows[tested : tested + validated]] = 1
    return Splits.of(part[np.unique(groups, return_inverse=True)[1]], notes)


def _counts(rows: int, shares: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Test and validation rows of a stratum; fractions are drawn, so that small strata are fair on average."""
    if rows < 3:
        return max(0, rows - 1), 0
    exact = [rows * shares[2], rows * shares[1]]
    tested, validated = (max(1, int(e + (rng.random() < e - int(e)))) for e in exact)
    return tested, validated


def _by_group(frame: pl.DataFrame, group: str, task: Task, seed: int, shares: np.ndarray) -> Splits:
    """Whole groups, in parts as near to their shares of the rows and of the classes as groups allow."""
    groups = group_numbers(frame[group])
    count = int(groups.max()) + 1
    if count < 3:
        raise InputError(f"'{group}' has {count} different values", expected="at least three groups, one for each part")
    counts = class_counts(groups, strata_of(frame[task.target], task, GROUP_STRATA))
    part = share_out(counts, shares, numpy_generator(seed, "split", "groups"))
    alone = frame[group].null_count()
    own = f", {alone} of them rows without a group" if alone else ""
    return Splits.of(part[groups], [f"{count} groups by `{group}`, each whole on one side{own}"])


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


def _by_time(column: pl.Series, dates: str, shares: np.ndarray) -> Splits:
    """The latest rows are the test part; rows of the same time stay together."""
    ordered = times(column, time_format(column, dates))
    before = ordered.rank("min").to_numpy() - 1  # rows with an earlier time
    starts = np.unique(before)[1:]  # where a later part may begin
    if len(starts) < 2:
        raise InputError(
            f"'{column.name}' has {len(starts) + 1} different values",
            expected="at least three times, one for each part",
        )
    tested = starts[1:][np.abs(starts[1:] - len(column) * (1 - shares[2])).argmin()]
    earlier = starts[starts < tested]
    validated = earlier[np.abs(earlier - len(column) * shares[0]).argmin()]
    part = (before >= validated).astype(np.int8) + (before >= tested)
    return Splits.of(part)


def is_coarse(features: pl.DataFrame) -> bool:
    """Whether so many rows repeat others that a repetition is the table's nature, not a copy."""
    return int((~features.is_unique()).sum()) > COARSE * features.height


def copies_of(rows: pl.DataFrame) -> np.ndarray:
    """The number of each distinct row [N]: a row and its copies have one, unless most rows repeat others anyway.

    >>> copies_of(pl.DataFrame({"a": [*range(8), 0]})).tolist().count(0)
    2
    """
    return np.asarray(_copied(rows.hash_rows(seed=0).to_numpy())[0])


def require_rows(frame: pl.DataFrame) -> None:
    """InputError for a table with too few rows to be split into three parts."""
    if frame.height < FEWEST:
        raise InputError(
            f"the table has {frame.height} rows with a target",
            expected=f"at least {FEWEST}, so that each part gets some",
            remedy="add rows",
        )


def _groups(features: pl.DataFrame) -> tuple[np.ndarray, list[str]]:
    """A number for each distinct row of features [N], and what to say about copies."""
    return _copied(features.hash_rows(seed=0).to_numpy())


def _copied(hashes: np.ndarray) -> tuple[np.ndarray, list[str]]:
    _, groups, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    repeated = int(counts[counts > 1].sum())
    rows = len(hashes)
    if repeated == 0:
        return groups, []
    if repeated > COARSE * rows:
        note = f"{repeated} of {rows} rows repeat the inputs of another row: too many to keep copies in one part of "
        "the split"
        return np.arange(rows), [note]
    return groups, [f"{repeated} rows are copies of other rows and stay in the same part of the split"]


def strata_of(target: pl.Series, task: Task, quantiles: int = STRATA) -> np.ndarray:
    """The number of each row's class, or of its target's quantile [N], from 0."""
    if task.classes:
        return target.cast(pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    ranks = target.rank("ordinal").to_numpy().astype(np.int64)
    return (ranks - 1) * min(quantiles, max(1, len(ranks) // 10)) // len(ranks)


def _with_lacking(splits: Splits, target: pl.Series, task: Task) -> Splits:
    """With a note for each part that has no row of a class."""
    if not task.classes:
        return splits
    codes, notes = encode_target(target, task).numpy(), list(splits.notes)
    for name in PARTS:
        absent = np.setdiff1d(codes, codes[getattr(splits, name)])
        if len(absent):
            named = " or ".join(f"'{task.classes[code]}'" for code in absent[:NAMED])
            more = f" and {len(absent) - NAMED} other classes" if len(absent) > NAMED else ""
            notes.append(f"no {name} row is {named}{more}")
    return Splits(splits.training, splits.validation, splits.test, tuple(notes))
