"""Which part each row of a new run is in, with what the runs that it comes from have seen.

What an earlier run of the same line has learnt from or decided by is not sealed: a search and a branch keep the parts
of their run, a warm start draws its test rows from the others, and fresh test rows are those that nothing has seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import poisson

from luthier.data import SplitRule, Splits, split_rows
from luthier.data.row_hashes import rows_are_told_apart
from luthier.data.split import FEWEST
from luthier.errors import InputError, listed
from luthier.messages import Message
from luthier.recipe.rows.known_rows import Line, fingerprints_of, fingerprints_of_test, has_learnt
from luthier.recipe.rows.outside import require_outside, said_of_inside
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.run_data import asked_of
from luthier.recipe.rows.sealed_file import near, values_of_test
from luthier.recipe.rows.stored_splits import read_splits
from luthier.recipe.rows.time_order import dates_of
from luthier.request import RunRequest
from luthier.saved import open_run

NAMED = 5  # rows that a note names
BY_CHANCE = 1e-6  # how seldom so few rows of a fresh draw would be new


def drawn(read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """The parts of a new run. InputError where no row is left to test on."""
    if parent := asked.base or asked.previous:
        return _as_in(parent, read, asked, line)
    if read.test is not None:
        return _beside_test(read, asked, line)
    if not asked.seals:
        splits = _split(read, asked)
        return replace(splits, notes=(*splits.notes, "nothing is sealed: all rows are open"))
    known = line.known(fingerprints_of(read, line), labels_of(read.frame, asked)) if len(line.opened) else None
    splits = _split(read, asked, known=known)
    if known is not None and known.any():
        splits = replace(splits, notes=(*splits.notes, _stay_open(asked, known, splits)))
    return splits


def _split(read: LoadedData, asked: RunRequest, *, known: np.ndarray | None = None) -> Splits:
    sealed, dates = asked.seals and read.test is None, dates_of(asked)
    rule = SplitRule(test=asked.test_share, group=asked.group, time=asked.time, dates=dates, sealed=sealed)
    return split_rows(read.frame, rule, task=read.task, seed=asked.seed, copies=read.copies, known=known)


def _beside_test(read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """All rows of the source in two parts, the test rows beside them.

    Rows of the source that are also test rows are in no part; of a warm start, whose earlier run may have learnt from
    them, they leave the test rows instead.
    """
    values = values_of_test(read)
    also = np.zeros(read.frame.height, dtype=bool) if asked.warm_start else _also_tested(read, values, line)
    rest = np.flatnonzero(~also)
    if len(rest) < FEWEST:
        template = "{count} of {rows} rows are left to learn from: the others are also in --test"
        raise InputError(
            Message(template, count=len(rest), rows=len(also)),
            expected=Message("at least {count}", count=FEWEST),
            remedy="name a table with other rows, or leave --test out, so that a fifth of these rows is sealed",
        )
    splits = _split(read.some(rest) if also.any() else read, asked)
    result = Splits(rest[splits.training], rest[splits.validation], splits.test, splits.notes)
    note = Message("the rows of --test are the test set, and all others are open, a fifth of them to validate on")
    if asked.warm_start:
        return _with_fresh(result, note, read, asked, line)
    assert read.test is not None
    notes = [*result.notes, note, *read.counted_rows(read.test).notes]
    if also.any():
        left_out = Message("1 row of the table is also in --test and left out of the open ones")
        if also.sum() > 1:
            template = "{rows} rows of the table are also in --test and left out of the open ones"
            left_out = Message(template, rows=int(also.sum()))
        notes.append(left_out)
    notes += said_of_inside(values, read.frame[rest], read, asked)
    return replace(result, notes=tuple(notes))


def _also_tested(read: LoadedData, values: pl.DataFrame, line: Line) -> np.ndarray:
    """Which rows of the table are also test rows: equal ones, and near copies [N].

    Where rows repeat by nature an equal row may be another one: none counts then, unless there are more of them than in
    a fresh draw.
    """
    test, own = fingerprints_of_test(read, values, line), fingerprints_of(read, line, beside=values)
    result = own.known_in(test)
    if not read.copies.coarse:
        return np.asarray(result | near(read, read.frame, values))
    told_apart, expected, found = _fresh_rows(read, test.known_in(own))
    return result if told_apart or _too_few(expected, found) else np.zeros(len(own), dtype=bool)


def _stay_open(asked: RunRequest, known: np.ndarray, splits: Splits) -> str:
    """How many rows the earlier run has learnt from, and how many are left to test on."""
    template = "'{warm_start}' has learnt from {count} of these rows, which stay open"
    note = Message(template, warm_start=asked.warm_start, count=int(known.sum()))
    wanted, left = round(asked.test_share * len(known)), len(splits.test)
    template = "{note}: {left} are left to test on, where {wanted} were wanted"
    return note if left >= 0.9 * wanted else Message(template, note=note, left=left, wanted=wanted)


def _as_in(parent: str, read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """The parts of the run that this one comes from; with other test rows, its own join its validation rows."""
    folder = open_run(parent)
    splits = read_splits(folder.splits, read.frame.height)
    if splits is None:
        raise InputError(
            Message("'{parent}' has not split its rows yet", parent=parent),
            remedy=Message("finish it: luthier resume {parent}", parent=parent),
        )
    if asked.test == asked_of(folder).test:
        return _without_sealed(splits, read) if has_learnt(folder) else splits
    joined = np.sort(np.concatenate([splits.validation, splits.test]))
    note = Message("the old test rows join the validation set; the rows of --new-test are the new test set")
    return _with_fresh(replace(splits, validation=joined, left_out=()), note, read, asked, line)


def _without_sealed(splits: Splits, read: LoadedData) -> Splits:
    """The parts of a run whose refitted model has learnt from its test rows: those of its table are for validation."""
    opened, none = np.sort(np.concatenate([splits.validation, splits.test])), splits.test[:0]
    left_out = splits.left_out if read.test is None else tuple(range(values_of_test(read).height))
    note = Message("nothing is sealed: the refitted model has learnt from the test rows")
    return replace(splits, validation=opened, test=none, left_out=left_out, notes=(*splits.notes, note))


def _with_fresh(splits: Splits, note: str, read: LoadedData, asked: RunRequest, line: Line) -> Splits:
    """With the rows of another file as the test part, of which those that are known are left out."""
    values = values_of_test(read)
    known = _known_values(read, asked, values, line)
    left_out, rows = np.flatnonzero(known), values.height
    assert read.test is not None
    if len(left_out) == rows:
        raise InputError(
            Message("'{test}' is not a new test set", test=asked.test),
            expected="new rows with a target",
            received=Message("{rows} rows with a target, all of them already known to the run", rows=rows),
        )
    notes = [*splits.notes, note, *read.counted_rows(read.test).notes]
    if len(left_out):
        named = listed([str(row + 1) for row in left_out], NAMED)
        notes.append(f"{len(left_out)} of its {rows} rows are known to the run and left out: {named}")
    require_outside(values.filter(pl.Series(~known)), read, asked)
    return replace(splits, test=splits.test[:0], notes=tuple(notes), left_out=tuple(left_out.tolist()))


def labels_of(frame: pl.DataFrame, asked: RunRequest) -> pl.Series | None:
    """The groups of rows, where the run keeps groups together and the rows say theirs."""
    return frame[asked.group] if asked.group in frame.columns else None


def _known_values(read: LoadedData, asked: RunRequest, values: pl.DataFrame, line: Line) -> np.ndarray:
    """Which rows the run or its line has seen: equal ones, near copies, rows of groups that are open in the line [N].

    Where rows repeat by nature an equal row may be a new one: none counts as known then. InputError where fewer are new
    than in a fresh draw.
    """
    rows, labels = fingerprints_of_test(read, values, line), labels_of(values, asked)
    own = rows.known_in(fingerprints_of(read, line))
    known = own | rows.known_in(line.read) | line.known(rows, labels)
    if not read.copies.coarse:
        return np.asarray(known | near(read, values, read.frame))
    told_apart, expected, found = _fresh_rows(read, own)
    if told_apart:
        return np.asarray(known)
    if _too_few(expected, found):
        template = "about {expected:.0f} of {count} rows that the run's table does not have, as in a fresh draw"
        raise InputError(
            Message("'{test}' is not a new test set: rows of the run are in it", test=asked.test),
            expected=Message(template, expected=expected, count=len(own)),
            received=Message("{found} such rows", found=found),
            remedy="take rows that were collected later, or add a column that identifies rows to both files",
        )
    return np.zeros(values.height, dtype=bool)


def _fresh_rows(read: LoadedData, own: np.ndarray) -> tuple[bool, float, int]:
    """Whether all cells together tell rows apart whose inputs repeat by nature, so that equal ones are the same; how
    many rows of a file would be none of the table's in a fresh draw from its distribution, and how many are not `own`
    ones [N]."""
    counts = np.unique(read.cell_hashes, return_counts=True)[1]
    rate = len(own) / counts.sum()
    unseen = (counts == 1).sum() * rate  # rows whose values the table does not have (Good and Turing)
    beyond = counts * rate * poisson.sf(counts - 1, counts * rate) - counts * poisson.sf(counts, counts * rate)
    return rows_are_told_apart(read.cell_hashes), float(unseen + beyond.sum()), int((~own).sum())


def _too_few(expected: float, found: int) -> bool:
    """Whether so few new rows are no chance."""
    return bool(poisson.cdf(found, expected) < BY_CHANCE)
