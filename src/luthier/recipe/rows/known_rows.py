"""Which rows of a run are known, and how: to the runs that it comes from, its line, and to this machine's register.

A row may be sealed if nothing in the line has learnt from it or decided by it: warm starts, branches, searches over a
run, fresh test rows. N rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from luthier import storage
from luthier.assess import Register
from luthier.assess.fingerprints import TARGET, Fingerprints, Secret, secret_of
from luthier.assess.row_record import GROUP, MOST_ROWS, OPEN, SEALED, WAS_OPEN, WAS_READ, RowRecord
from luthier.data import Splits
from luthier.data.copies import grid_hashes, stored_grid
from luthier.data.near_rows import NearGrid
from luthier.data.pictures import PictureEncoder, checksums, sketches
from luthier.data.row_hashes import are_among, cell_hashes, row_hashes, scrambled, text_hash
from luthier.errors import InputError, LuthierError, in_a_line
from luthier.messages import Message
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.run_data import asked_of, read_unchanged
from luthier.recipe.rows.sealed_file import values_of_test
from luthier.recipe.rows.stored_splits import read_splits
from luthier.request import RunRequest
from luthier.saved import RunFolder, open_run
from luthier.untrusted import content_of

LARGEST = 256 << 20  # bytes of a record
MOST_READ = 20_000_000  # rows of an earlier run's table that are read again, to know which of them it has learnt from


@dataclass(frozen=True)
class Grids:
    """The widths on which the numbers of used columns are compared, and the grid of rows written roughly."""

    widths: Mapping[str, float]
    near: NearGrid | None


@dataclass(frozen=True)
class Line:
    """What the runs that a run comes from have to do with rows: `opened` they have learnt from or decided by, `read`
    they were scored on, so many `times`, as test rows; `groups` are the hashes of groups with open rows. `unknown` says
    what cannot be known. Numbers of used columns are compared on grids of these `widths`, and those of rows that may be
    written with fewer digits on the `near` one; without widths on those of the table. All is behind the `secret`."""

    secret: Secret
    runs: tuple[str, ...] = ()
    opened: Fingerprints = field(default_factory=Fingerprints.none)
    read: Fingerprints = field(default_factory=Fingerprints.none)
    times: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    unknown: tuple[str, ...] = ()
    widths: Mapping[str, float] | None = None
    near: NearGrid | None = None

    def grids(self, read: LoadedData) -> Grids:
        """On what the numbers of a table are compared."""
        if self.widths is None:
            return Grids(stored_grid(read.copy_rule), read.near_grid)
        return Grids(self.widths, self.near)

    @classmethod
    def none(cls) -> Line:
        """Of a run that comes from no other."""
        return cls(secret_of(storage.home_folder(), make=False)[0])

    def known(self, rows: Fingerprints, labels: pl.Series | None) -> np.ndarray:
        """Which rows are open in the line, by themselves or by their group [N]."""
        result = rows.known_in(self.opened)
        if labels is not None and len(self.groups):
            result |= are_among(group_hashes(labels, self.secret), self.groups)
        return result

    def readings(self, rows: Fingerprints) -> np.ndarray:
        """How often each row was read [N]."""
        by_cells = _looked_up(rows.cells, self.read.cells, self.times)
        by_inputs = _looked_up(rows.inputs, self.read.inputs, self.times)
        nearly = rows.looked_up(lambda keys: _looked_up(keys, self.read.near, self.times))
        result = np.maximum(np.maximum(by_cells, by_inputs), nearly)
        mine, theirs = rows.alike(self.read)
        np.maximum.at(result, mine, self.times[theirs])
        return np.asarray(result)

    def joined(self, other: Line) -> Line:
        """Both together."""
        return Line(
            self.secret,
            (*self.runs, *other.runs),
            self.opened.joined(other.opened),
            self.read.joined(other.read),
            np.concatenate([self.times, other.times]),
            np.concatenate([self.groups, other.groups]),
            (*self.unknown, *other.unknown),
            *((other.widths, other.near) if self.widths is None else (self.widths, self.near)),
        )


def line_of(asked: RunRequest, secret: Secret) -> Line:
    """What the runs that a request names have to do with rows. InputError for a folder that is not a run."""
    result = Line(secret)
    for parent in filter(None, (asked.previous, asked.warm_start, asked.base)):
        result = result.joined(_of_run(open_run(parent), secret))
    return result


def _of_run(folder: RunFolder, secret: Secret) -> Line:
    """By the record in its folder; where that is missing or another machine's, by its data, read again."""
    try:
        record = record_in(folder)
    except InputError:
        record = None
    if record is None or record.key != secret.id or not record.complete:
        try:
            return _reconstructed(folder, secret, record)
        except LuthierError as error:
            name = folder.path.name
            template = "which rows '{name}' has learnt from is not known here, and some may be sealed: {in_a_line}"
            why = Message(template, name=name, in_a_line=in_a_line(error))
            return Line(secret, unknown=(why,))
    times, rows = record.times, record.rows.veiled(secret)
    was_read = (times > 0) & np.isin(record.state, (SEALED, WAS_READ))
    return Line(
        secret,
        (record.run, *record.line),
        rows.rows(np.isin(record.state, (OPEN, WAS_OPEN))),
        rows.rows(was_read),
        times[was_read],
        record.of(GROUP).cells,
        widths=record.widths,
        near=record.near_grid,
    )


def _reconstructed(folder: RunFolder, secret: Secret, record: RowRecord | None) -> Line:
    """What a run has to do with the rows of its own table. InputError where that is gone or has changed."""
    asked = asked_of(folder)
    read = read_unchanged(folder, asked)
    splits = read_splits(folder.splits, read.frame.height)
    if splits is None:
        raise InputError(Message("'{splits}' is missing", splits=folder.splits))
    alone = Line(secret)
    rows, on_disk = _fingerprints_of_all(read, alone, MOST_READ)
    opened = np.zeros(len(rows), dtype=bool)
    opened[np.concatenate([splits.training, splits.validation])] = True
    sealed = rows.rows(splits.test)
    if read.test is not None:
        values = values_of_test(read)
        tested = np.setdiff1d(np.arange(values.height), splits.left_out)
        sealed = fingerprints_of_test(read, values, alone).rows(tested)
    found = rows.rows(opened).joined(on_disk.rows(~on_disk.known_in(sealed)))
    if folder.refitted.exists() or "refitted" in folder.trained_facts():
        found = found.joined(sealed)
    times = np.full(len(sealed), int(folder.scores.exists()))
    groups = _open_groups(read, asked, opened, secret)
    whole, unknown = read.source.whole, tuple[str, ...]()
    if whole is not None and whole.rows > MOST_READ:
        unknown = (
            f"'{folder.path.name}' has learnt from {whole.rows:,} rows, too many to be compared: some may be sealed",
        )
    grids = alone.grids(read)
    runs = (record.run,) if record else ()
    known = Line(secret, runs, found, sealed, times, groups, unknown, grids.widths, grids.near)
    return known.joined(line_of(asked, secret))


def record_in(folder: RunFolder) -> RowRecord | None:
    """The record of a run's rows; None in a folder without one. InputError where it is damaged."""
    try:
        return RowRecord.from_bytes(content_of(folder.seal, LARGEST))
    except FileNotFoundError:
        return None


def keep_reading(folder: RunFolder, register: Register, record: RowRecord, times: int) -> None:
    """Keep how often a run has read its sealed rows: in its folder, and in the register."""
    storage.write_bytes(folder.seal, record.read_again(times).shortened().to_bytes())
    register.note_reading(record.run, times)


def forget(folder: RunFolder) -> None:
    """Take a run out of the register that has neither learnt from its rows nor read them."""
    record = record_in(folder)
    if record is not None:
        Register.none().forget(record.run)


def has_learnt(folder: RunFolder) -> bool:
    """Whether a run has learnt from its sealed rows: a refitted model is there, was there, or was about to be."""
    if folder.refitted.exists() or "refitted" in folder.trained_facts():
        return True
    record = record_in(folder)
    if record is None or not len(sealed := record.of(SEALED).cells):
        return False
    return bool(are_among(sealed, record.of(OPEN).cells).all())


def keep_learnt(folder: RunFolder, register: Register) -> None:
    """Keep that a run has learnt from its sealed rows: in its folder, and in the register."""
    record = record_in(folder)
    if record is not None:
        record = record.learnt()
        storage.write_bytes(folder.seal, record.shortened().to_bytes())
        register.keep(record)


def record_of(read: LoadedData, asked: RunRequest, splits: Splits, test: Fingerprints, line: Line) -> RowRecord:
    """The record of a new run: of the rows of its parts, of `test` rows of another file, and of its line."""
    secret = line.secret
    own, on_disk = _fingerprints_of_all(read, line, MOST_ROWS)
    opened = np.zeros(len(own), dtype=bool)
    opened[np.concatenate([splits.training, splits.validation])] = True
    sealed, learnt = own.rows(splits.test).joined(test), own.rows(opened)
    on_disk = on_disk.rows(~on_disk.known_in(test))
    rows = sealed.joined(learnt, on_disk)
    state = np.where(np.arange(len(rows)) < len(sealed), SEALED, OPEN)
    groups = np.union1d(_open_groups(read, asked, opened, secret), line.groups)
    grids = line.grids(read)
    was_open = line.opened.rows(~are_among(line.opened.cells, rows.cells))
    before = np.r_[line.readings(rows), np.zeros(len(was_open)), line.times, np.zeros(len(groups))]
    counts = ((state, len(rows)), (WAS_OPEN, len(was_open)), (WAS_READ, len(line.read)), (GROUP, len(groups)))
    return RowRecord(
        run=secrets.token_hex(8),
        key=secret.id,
        rows=rows.joined(was_open, line.read, Fingerprints.by_keys(groups)).veiled(secret),
        state=np.concatenate([np.broadcast_to(which, count) for which, count in counts]).astype(np.uint8),
        before=np.minimum(before, np.iinfo(np.uint16).max).astype(np.uint16),
        line=line.runs,
        unknown=line.unknown,
        complete=read.source.whole is None or read.source.whole.rows <= MOST_ROWS,
        widths=grids.widths,
        near_grid=None if grids.near is None else grids.near.joined(read.frame),
    )


@dataclass(frozen=True)
class Hashes:
    """Of rows [N]: of all cells, of used ones and of those written roughly, all with the target; `also` are the rows'
    numbers and hashes of other wide cells that a row may have been in [P]."""

    cells: np.ndarray
    inputs: np.ndarray | None
    near: np.ndarray | None
    also: tuple[np.ndarray, np.ndarray] | None = None
    looks: np.ndarray | None = None


def fingerprints_of(read: LoadedData, line: Line, *, beside: pl.DataFrame | None = None) -> Fingerprints:
    """The fingerprints of a table's usable rows [N], to be looked up among those of its line, or of other rows."""
    grids = line.grids(read)
    if beside is not None and grids.near is not None:
        grids = replace(grids, near=grids.near.beside(beside))
    return _keyed([_hashes_of(read, grids, asked=True)], line.secret)


def fingerprints_of_test(read: LoadedData, values: pl.DataFrame, line: Line) -> Fingerprints:
    """The fingerprints of the usable rows of the file of test rows, to be looked up among those of its line."""
    assert read.test is not None
    cells = read.usable_cells(read.test)
    return _keyed([_hashes_of_others(cells, values, read, line.grids(read), asked=True)], line.secret)


def _fingerprints_of_all(read: LoadedData, line: Line, most: int) -> tuple[Fingerprints, Fingerprints]:
    """The fingerprints of a table's usable rows, and of those outside of its sample; none of these where the table has
    more than so many rows."""
    grids = line.grids(read)
    result = _keyed([_hashes_of(read, grids), *_hashes_on_disk(read, most, grids)], line.secret)
    held = read.frame.height
    which = np.arange(len(result)) < held
    return result.rows(which), result.rows(~which)


def _hashes_of(read: LoadedData, grids: Grids, *, asked: bool = False) -> Hashes:
    if read.pictures is not None:
        references = read.frame[read.picture].to_list()
        seen, looks = read.pictures.checksums(references), read.pictures.sketches(references)
        return _with_looks(_with_target(seen, seen, read.frame, read, grids), looks, read.frame, read)
    return _with_target(read.cell_hashes, None, read.frame, read, grids, asked=asked)


def _hashes_of_others(
    cells: pl.DataFrame, values: pl.DataFrame, read: LoadedData, grids: Grids, *, asked: bool = False
) -> Hashes:
    """Hashes of rows of another table [N], as they came and with their values."""
    if read.pictures is not None:
        pixels = PictureEncoder(read.columns, read.pictures.shape, read.pictures).encode(values)["pixels"]
        seen, looks = checksums(pixels.numpy()), sketches(pixels.numpy())
        return _with_looks(_with_target(seen, seen, values, read, grids), looks, values, read)
    return _with_target(row_hashes(cells), None, values, read, grids, asked=asked)


def _hashes_on_disk(read: LoadedData, most: int, grids: Grids) -> Iterator[Hashes]:
    """Of the rows outside of its sample, all of them open."""
    whole = read.source.whole
    if whole is not None and whole.rows <= most:
        for piece in whole.others.frames():
            usable = piece.filter(piece[read.task.target].is_not_null())
            yield _hashes_of_others(usable, usable, read, grids)


def _with_target(
    cells: np.ndarray,
    inputs: np.ndarray | None,
    values: pl.DataFrame,
    read: LoadedData,
    grids: Grids,
    *,
    asked: bool = False,
) -> Hashes:
    """Used columns are compared on grids, and say nothing by themselves where rows repeat by nature; rows that are
    `asked` about are looked for in neighbouring cells too."""
    near, target = None, _target_hashes(values, read)
    also: tuple[np.ndarray, np.ndarray] | None = None
    if inputs is None and not read.copies.coarse:
        used = values.select(column.name for column in read.columns if column.used)
        inputs = grid_hashes(used, grids.widths)
        if grids.near is not None:
            near = grids.near.hashes(values)
            also = grids.near.others(values) if asked else None
    return Hashes(scrambled(cells + target), None if inputs is None else scrambled(inputs + target), near, also)


def _with_looks(hashes: Hashes, looks: np.ndarray, values: pl.DataFrame, read: LoadedData) -> Hashes:
    """With sketches of the rows' pictures [N, W], and their targets; as it is where pictures look alike by nature."""
    if read.pictures is None or read.copies.similar or read.copies.coarse:
        return hashes
    targets = _target_hashes(values, read).astype("<u8").view("<i2").reshape(-1, TARGET)
    return replace(hashes, looks=np.concatenate([looks, targets], axis=1, dtype=np.int16))


def _target_hashes(values: pl.DataFrame, read: LoadedData) -> np.ndarray:
    name = read.task.target
    return scrambled(cell_hashes(values[name]) ^ text_hash(f"target {name}"))


def _keyed(parts: Sequence[Hashes], secret: Secret) -> Fingerprints:
    """The fingerprints of rows that come in parts. By all cells the first of equal rows is one row, the second another:
    tables in which rows repeat by nature, and those in which they do not yet, know each other's rows."""
    cells = secret.keyed(_numbered(np.concatenate([one.cells for one in parts])))
    inputs = [one.inputs for one in parts if one.inputs is not None]
    near = [one.near for one in parts if one.near is not None]
    exact = secret.keyed(np.concatenate(inputs)) if inputs else cells
    also = parts[0].also
    return Fingerprints(
        cells,
        exact,
        secret.keyed(np.concatenate(near)) if near else exact,
        None if also is None else (also[0], secret.keyed(also[1])),
        looks=parts[0].looks,
    )


def _numbered(hashes: np.ndarray) -> np.ndarray:
    """Equal hashes made different, by their order [N]; the first of them stays as it is."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1] if len(hashes) else np.zeros(0, dtype=int)
    counts = np.diff(np.r_[starts, len(hashes)])
    places = np.empty(len(hashes), dtype=np.uint64)
    places[order] = np.arange(len(hashes)) - np.repeat(starts, counts)
    return np.where(places == 0, hashes, scrambled(hashes + places))


def group_hashes(labels: pl.Series, secret: Secret) -> np.ndarray:
    """A keyed hash of each row's group, uint64 [N]."""
    distinct, places = np.unique(cell_hashes(labels) ^ text_hash(f"group {labels.name}"), return_inverse=True)
    return secret.keyed(distinct)[places]


def _open_groups(read: LoadedData, asked: RunRequest, opened: np.ndarray, secret: Secret) -> np.ndarray:
    if not asked.group:
        return np.zeros(0, dtype=np.uint64)
    labels = read.frame[asked.group].filter(pl.Series(opened)).drop_nulls()
    return np.unique(group_hashes(labels, secret))


def _looked_up(keys: np.ndarray, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The largest value of each key among those known, 0 where it is not [N]."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.int64)
    distinct, places = np.unique(known, return_inverse=True)
    most = np.zeros(len(distinct), dtype=np.int64)
    np.maximum.at(most, places, values)
    at = np.minimum(np.searchsorted(distinct, keys), len(distinct) - 1)
    return np.where(distinct[at] == keys, most[at], 0)
