"""What one run has to do with its rows, by fingerprints: kept in its folder and in the register of its machine.

N rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from luthier.assess.fingerprints import LOOKS, Fingerprints
from luthier.data.near_rows import NearGrid
from luthier.errors import InputError
from luthier.parquet_pages import parquet_bytes, require_sound_pages

VERSION = 1
MOST_ROWS = 1_000_000  # of a run with more of them only the sealed ones are kept
# A run's own rows, sealed or open; rows that were open, or sealed and read, in a run that it comes from; open groups.
SEALED, OPEN, WAS_OPEN, WAS_READ, GROUP = range(5)
COLUMNS = {"cells": pl.UInt64, "inputs": pl.UInt64, "state": pl.UInt8, "before": pl.UInt16, "near": pl.UInt64}
LOOK = "look"  # the column of sketches, of pictures alone
_NAME = "luthier rows"


@dataclass(frozen=True, eq=False)
class RowRecord:
    """The rows of a run behind the key of that name: their `state` [N], and how often each was read `before` in the
    runs that this one comes from, its `line` [N]. `readings` counts how often this run has read its sealed rows;
    `complete` says whether all open rows are here, `unknown` what of the line cannot be known. Of a group the
    fingerprints are those of its label. Numbers of used columns were compared on grids of these `widths`, and those
    written roughly on the `near_grid`. Sketches of pictures are veiled by the key."""

    run: str
    key: str
    rows: Fingerprints
    state: np.ndarray
    before: np.ndarray
    line: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    readings: int = 0
    complete: bool = True
    widths: Mapping[str, float] = field(default_factory=dict)
    near_grid: NearGrid | None = None

    def of(self, *states: int) -> Fingerprints:
        """The rows of these states."""
        return self.rows.rows(np.any([self.state == state for state in states], axis=0))

    @property
    def times(self) -> np.ndarray:
        """How often each row was read [N]."""
        return np.asarray(self.before.astype(np.int64) + self.readings * (self.state == SEALED))

    @property
    def own(self) -> RowRecord:
        """Without what comes from other runs."""
        return self._only(np.isin(self.state, (SEALED, OPEN)))

    def shortened(self) -> RowRecord:
        """As it is kept: without open rows where there are too many."""
        if len(self.rows) <= MOST_ROWS:
            return self
        is_sealed = self.state == SEALED
        opened_since = (self.state == OPEN) & np.isin(self.rows.cells, self.rows.cells[is_sealed])
        return replace(self._only(is_sealed | opened_since), complete=False)

    def learnt(self) -> RowRecord:
        """After the run has learnt from its sealed rows too: these are open as well, and their readings still count."""
        sealed = np.flatnonzero(self.state == SEALED)
        which = np.r_[np.arange(len(self.state)), sealed]
        state = np.r_[self.state, np.full(len(sealed), OPEN)].astype(np.uint8)
        before = np.r_[self.before, np.zeros(len(sealed))].astype(np.uint16)
        return replace(self, rows=self.rows.rows(which), state=state, before=before)

    def read_again(self, times: int) -> RowRecord:
        """After so many readings by the run itself."""
        return replace(self, readings=times)

    def _only(self, which: np.ndarray) -> RowRecord:
        return replace(self, rows=self.rows.rows(which), state=self.state[which], before=self.before[which])

    def to_bytes(self) -> bytes:
        """The record as the bytes of a Parquet file."""
        columns = (self.rows.cells, self.rows.inputs, self.state, self.before, self.rows.near)
        facts = {
            name: getattr(self, name) for name in ("run", "key", "line", "unknown", "readings", "complete", "widths")
        }
        facts["near_grid"] = None if self.near_grid is None else self.near_grid.to_json()
        table = pl.DataFrame(dict(zip(COLUMNS, columns, strict=True)), schema=COLUMNS)
        if self.rows.looks is not None:
            looks = [row.tobytes() for row in self.rows.looks.astype("<i2")]
            table = table.with_columns(pl.Series(LOOK, looks, dtype=pl.Binary))
        return parquet_bytes(table, {_NAME: json.dumps({"version": VERSION, **facts})})

    @classmethod
    def from_bytes(cls, content: bytes) -> RowRecord:
        """The record that `to_bytes` gave. InputError for anything else."""
        try:
            require_sound_pages(content)
            facts: dict[str, Any] = json.loads(pl.read_parquet_metadata(BytesIO(content))[_NAME])
            if facts["version"] != VERSION:
                raise InputError("the record of rows has another version", received=str(facts["version"])[:20])
            table = pl.read_parquet(BytesIO(content))
            looks = _looks(table[LOOK]) if LOOK in table.columns else None
            rough = "near" if "near" in table.columns else "inputs"  # as in earlier records
            columns = [table[rough if name == "near" else name] for name in COLUMNS]
            if [one.dtype for one in columns] != list(COLUMNS.values()) or any(one.null_count() for one in columns):
                raise TypeError
            cells, inputs, state, before, near = (one.to_numpy() for one in columns)
            line, unknown = (tuple(str(one) for one in facts[name]) for name in ("line", "unknown"))
            counts = max(0, int(facts["readings"])), bool(facts["complete"])
            widths = {str(name): float(width) for name, width in dict(facts.get("widths", {})).items()}
            if not all(0 < width < float("inf") for width in widths.values()):
                raise ValueError
            rows, names = Fingerprints(cells, inputs, near, looks=looks), (str(facts["run"]), str(facts["key"]))
            near_grid = NearGrid.from_json(facts.get("near_grid"))
            return cls(*names, rows, state, before, line, unknown, *counts, widths, near_grid)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, KeyError, TypeError, OSError):
            raise InputError("the record of rows is damaged", expected="a file that Luthier wrote") from None


def _looks(cells: pl.Series) -> np.ndarray:
    """Sketches int16 [N, LOOKS] from a column of bytes; ValueError or TypeError for anything else."""
    if cells.dtype != pl.Binary or cells.null_count() or not (cells.bin.size() == 2 * LOOKS).all():
        raise TypeError
    return np.frombuffer(b"".join(cells), dtype="<i2").reshape(len(cells), LOOKS).astype(np.int16)
