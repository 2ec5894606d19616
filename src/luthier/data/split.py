"""Training, validation and test rows: seeded, shuffled, stratified, copies kept together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from luthier.data.task import Task
from luthier.errors import InputError
from luthier.seeds import numpy_generator

COARSE = 0.3  # above this share of repeated rows a repetition is the table's nature, not a copy
STRATA = 10  # quantiles of a regression's target
FEWEST = 10


@dataclass(frozen=True)
class Splits:
    """Row numbers of each part, sorted, disjoint and complete; `notes` say what was special."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    notes: tuple[str, ...] = ()


def split_rows(
    frame: pl.DataFrame,
    *,
    task: Task,
    seed: int,
    test: float = 0.2,
    validation: float = 0.2,
    group: str = "",
    time: str = "",
    copies: np.ndarray | None = None,
) -> Splits:
    """Split the rows of a table whose target has no missing values.

    Rows that are the same in every column but the target stay on one side, unless the table is
    coarse and most rows repeat anyway. With `group`, rows with the same value of that column stay on one
    side; with `time` the latest rows by that column are the test part, those before them validation.
    `copies` [N] numbers rows whose inputs are the same, where the table's cells do not tell.
    """
    require_rows(frame)
    if time:
        return _by_time(frame, time, test, validation)
    if group:
        return _by_group(frame, group, seed, test, validation)
    groups, notes = _groups(frame.drop(task.target)) if copies is None else _copied(copies)
    strata = _strata(frame[task.target], task)
    if task.classes:
        notes += _rare_classes(strata, task)
    rng = numpy_generator(seed, "split")
    part = np.zeros(frame.height, dtype=np.int8)
    first = np.unique(groups, return_index=True)[1]  # one row stands for its copies
    for stratum in np.unique(strata):
        rows = first[strata[first] == stratum]
        rows = rng.permutation(rows)
        n = len(rows)
        tested, validated = _count(n, test, rng), _count(n, validation, rng)
        part[rows[:tested]] = 2
        part[rows[tested : tested + validated]] = 1
    chosen = dict(zip(groups[first].tolist(), part[first].tolist(), strict=True))
    part = np.array([chosen[group] for group in groups.tolist()], dtype=np.int8)
    parts = [np.flatnonzero(part == i) for i in (0, 1, 2)]
    if min(len(rows) for rows in parts) == 0:
        raise InputError("the table is too small to be split into three parts", received=f"{frame.height} rows")
    return Splits(parts[0], parts[1], parts[2], tuple(notes))


def _by_group(frame: pl.DataFrame, group: str, seed: int, test: float, validation: float) -> Splits:
    """Whole groups, drawn at random until a part has its share of the rows; rows without a group are their own."""
    labels = frame[group].cast(pl.String).fill_null("")
    names, groups = np.unique(labels.to_numpy().astype(str), return_inverse=True)
    if len(names) < 3:
        raise InputError(
            f"'{group}' has {len(names)} different values",
            expected="at least three groups, one for each part of the split",
        )
    part = np.zeros(frame.height, dtype=np.int8)
    wanted = {2: test * frame.height, 1: validation * frame.height}
    sizes = np.bincount(groups)
    order = list(numpy_generator(seed, "split", "groups").permutation(len(names)))
    for number, rows in wanted.items():
        taken = 0.0
        while order and len(order) > 3 - number and (taken == 0 or taken + sizes[order[-1]] / 2 < rows):
            chosen = order.pop()
            part[groups == chosen] = number
            taken += sizes[chosen]
    return _parts(part, frame, (f"{len(names)} groups by `{group}`, none divided between parts",))


def _by_time(frame: pl.DataFrame, time: str, test: float, validation: float) -> Splits:
    """The latest rows are the test part; rows of the same time go together into the later part."""
    values = frame[time]
    if values.null_count():
        raise InputError(
            f"'{time}' has {values.null_count()} rows without a value",
            expected="a time in every row",
            remedy="fill or remove them, or split without --time",
        )
    ordered = times(values)
    rank = ordered.rank("min").to_numpy()
    rows = frame.height
    part = np.where(rank > rows * (1 - test), 2, np.where(rank > rows * (1 - test - validation), 1, 0)).astype(np.int8)
    bounds: Any = ordered.filter(pl.Series(part == 2)).min()
    return _parts(part, frame, (f"by `{time}`: the test set begins at {bounds!s}",))


def times(values: pl.Series) -> pl.Series:
    """A column as it is ordered by time; text that is no date that is understood, such as 2021-05, sorts by itself."""
    if values.dtype != pl.String:
        return values
    parsed = values.str.to_datetime(strict=False)
    return values if parsed.null_count() else parsed


def is_coarse(features: pl.DataFrame) -> bool:
    """Whether so many rows repeat others that a repetition is the table's nature, not a copy."""
    return int((~features.is_unique()).sum()) > COARSE * features.height


def _parts(part: np.ndarray, frame: pl.DataFrame, notes: tuple[str, ...]) -> Splits:
    parts = [np.flatnonzero(part == i) for i in (0, 1, 2)]
    if min(len(rows) for rows in parts) == 0:
        raise InputError("the table cannot be split into three parts this way", received=f"{frame.height} rows")
    return Splits(parts[0], parts[1], parts[2], notes)


def require_rows(frame: pl.DataFrame) -> None:
    """InputError for a table with too few rows to be split into three parts."""
    if frame.height < FEWEST:
        raise InputError(
            f"the table has {frame.height} rows with a target",
            expected=f"at least {FEWEST}, so that each part gets some",
            remedy="add rows",
        )


def _count(rows: int, share: float, rng: np.random.Generator) -> int:
    """Rows of a part; the fraction is drawn, so that small strata are fair on average."""
    if rows < 3:
        return 0
    exact = rows * share
    return max(1, int(exact + (rng.random() < exact - int(exact))))


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


def _strata(target: pl.Series, task: Task) -> np.ndarray:
    if task.classes:
        return target.cast(pl.String).rank("dense").to_numpy().astype(int)
    ranks = target.rank("ordinal").to_numpy()
    return (ranks - 1) * min(STRATA, max(1, len(ranks) // 10)) // len(ranks)


def _rare_classes(strata: np.ndarray, task: Task) -> list[str]:
    _, counts = np.unique(strata, return_counts=True)
    rare = int((counts < 3).sum())
    return [f"{rare} classes have fewer than three rows and stay in the training set"] if rare else []
