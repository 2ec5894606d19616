"""Which part each row of a new run is in, with what the runs that it comes from have seen.

What an earlier run of the same line has learnt from or decided by is not sealed: a search and a branch keep the parts
of their run, a warm start draws its test rows from the others, and fresh test rows are those that nothing has seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import poisson

from luthier.assess.fingerprints import Fingerprints
from luthier.data import Splits, split_rows, with_target, with_values
from luthier.data.row_hashes import row_hashes
from luthier.data.split import TEST
from luthier.errors import InputError
from luthier.recipe.known_rows import Line, fingerprints_of, fingerprints_of_others
from luthier.recipe.reading import LoadedData, asked_of, dates_of, listed
from luthier.recipe.sample_weights import require_weights
from luthier.recipe.stored_splits import read_splits
from luthier.request import RunRequest
from luthier.saved import open_run

NAMED = 5  # rows that a note names
DISTINCT = 0.95  # share of rows that no other equals, above which equal rows are the same ones
BY_CHANCE = 1e-6  # how seldom so few rows of a fresh draw would be new


def drawn(read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """The parts of a new run. InputError where no row is left to test on."""
    if parent := asked.base or asked.previous:
        return _as_in(parent, read, asked, line)
    known = None
    if read.new_test is None and len(line.opened):
        known = line.known(fingerprints_of(read, line.secret), labels_of(read.frame, asked))
    splits = split_rows(
        read.frame,
        task=read.task,
        seed=asked.seed,
        group=asked.group,
        time=asked.time,
        dates=dates_of(asked),
        copies=read.copies,
        known=known,
    )
    if known is not None and known.any():
        splits = replace(splits, notes=(*splits.notes, _stay_open(asked, known, splits)))
    if read.new_test is None:
        return splits
    joined = np.sort(np.concatenate([splits.training, splits.validation]))
    note = "the rows of --new-test are the test set, so that set is for validation and the other two for training"
    return _with_fresh(replace(splits, training=joined, validation=splits.test), note, read, asked, line)


def _stay_open(asked: RunRequest, known: np.ndarray, splits: Splits) -> str:
    """How many rows the earlier run has learnt from, and how many are left to test on."""
    note = f"'{asked.warm_start}' has learnt from {int(known.sum())} of these rows, which stay open"
    wanted, left = round(TEST * len(known)), len(splits.test)
    return note if left >= 0.9 * wanted else f"{note}: {left} are left to test on, where {wanted} were wanted"


def _as_in(parent: str, read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """The parts of the run that this one comes from; with other test rows, its own join its validation rows."""
    folder = open_run(parent)
    splits = read_splits(folder.splits, read.frame.height)
    if splits is None:
        raise InputError(f"'{parent}' has not split its rows yet", remedy=f"finish it: luthier resume {parent}")
    if asked.new_test == asked_of(folder).new_test:
        return splits
    joined = np.sort(np.concatenate([splits.validation, splits.test]))
    note = "the old test rows join the validation set; the rows of --new-test are the new test set"
    return _with_fresh(replace(splits, validation=joined, left_out=()), note, read, asked, line)


def _with_fresh(splits: Splits, note: str, read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """With the rows of another file as the test part, of which those that are known are left out."""
    values = fresh_values(read)
    known = _known_values(read, asked, values, line)
    left_out, rows = np.flatnonzero(known), values.height
    assert read.new_test is not None
    if len(left_out) == rows:
        raise InputError(
            f"'{asked.new_test}' is not a new test set",
            expected="new rows with a target",
            received=f"{rows} rows with a target, all of them already known to the run",
        )
    notes = [*splits.notes, note, *read.counted_rows(read.new_test).notes]
    if len(left_out):
        named = listed([str(row + 1) for row in left_out], NAMED)
        notes.append(f"{len(left_out)} of its {rows} rows are known to the run and left out: {named}")
    return replace(splits, test=splits.test[:0], notes=tuple(notes), left_out=tuple(left_out.tolist()))


def fresh_values(read: LoadedData) -> pl.DataFrame:
    """The usable rows of the file of test rows. InputError for columns that are missing, cells that cannot be read."""
    assert read.new_test is not None
    rows = read.counted_rows(read.new_test)
    result = with_target(rows.frame, read.task)
    result = result.filter(result[read.task.target].is_not_null())
    needed = [column.name for column in read.columns if column.used or column.name == read.counted]
    missing = [name for name in needed if name not in result.columns]
    if missing:
        raise InputError(
            f"'{read.new_test.name}' cannot be the new test set: {len(missing)} columns are missing",
            expected="the columns of training",
            received=f"no {listed(missing)}",
        )
    if read.counted:
        require_weights(result, read.counted)
    names = [name for name in read.frame.columns if name in result.columns]
    return with_values(result.select(names), read.columns)


def fresh_fingerprints(read: LoadedData, values: pl.DataFrame, line: Line) -> Fingerprints:
    """The fingerprints of the usable rows of the file of test rows."""
    assert read.new_test is not None
    cells = read.usable_cells(read.new_test)
    return fingerprints_of_others(cells, values, read, line.secret)


def labels_of(frame: pl.DataFrame, asked: RunRequest) -> pl.Series | None:
    """The groups of rows, where the run keeps groups together and the rows say theirs."""
    return frame[asked.group] if asked.group in frame.columns else None


def _known_values(read: LoadedData, asked: RunRequest, values: pl.DataFrame, line: Line) -> np.ndarray:
    """Which rows the run or its line has seen: equal ones, near copies, rows of groups that are open in the line [N].

    Where rows repeat by nature an equal row may be a new one: none counts as known then.
    """
    rows, labels = fresh_fingerprints(read, values, line), labels_of(values, asked)
    own = rows.known_in(fingerprints_of(read, line.secret))
    known = own | rows.known_in(line.read) | line.known(rows, labels)
    if read.copies.coarse:
        return known if _tells_rows_apart(read, own, asked) else np.zeros(values.height, dtype=bool)
    if read.pictures is None and read.copy_rule.names:
        for ours, theirs in zip(_with_targets(read, values), _with_targets(read, read.frame), strict=True):
            known |= np.isin(ours, theirs)
    return np.asarray(known)


def _tells_rows_apart(read: LoadedData, own: np.ndarray, asked: RunRequest) -> bool:
    """Whether equal rows are the same ones although inputs repeat by nature: all cells together tell them apart.

    Else equal rows of another file may be new ones. InputError where fewer of its rows are no `own` ones of the run [N]
    than of a fresh draw from the table's distribution.
    """
    counts = np.unique(read.cell_hashes, return_counts=True)[1]
    if (counts == 1).mean() > DISTINCT:
        return True
    rate = len(own) / counts.sum()
    unseen = (counts == 1).sum() * rate  # rows whose values the table does not have (Good and Turing)
    beyond = counts * rate * poisson.sf(counts - 1, counts * rate) - counts * poisson.sf(counts, counts * rate)
    expected, found = float(unseen + beyond.sum()), int((~own).sum())
    if poisson.cdf(found, expected) < BY_CHANCE:
        raise InputError(
            f"'{asked.new_test}' is not a new test set: rows of the run are in it",
            expected=f"about {expected:.0f} of {len(own)} rows that the run's table does not have, as in a fresh draw",
            received=f"{found} such rows",
            remedy="take rows that were collected later, or add a column that identifies rows to both files",
        )
    return False


def _with_targets(read: LoadedData, values: pl.DataFrame) -> list[np.ndarray]:
    """What near copies share whose target and times are the same, in each way of rounding."""
    times = {column.name for column in read.columns if column.used} - set(read.copy_rule.names)
    rest = row_hashes(values, [read.task.target, *sorted(times)])
    return [key + rest for key in read.copy_rule.keys(values)]
