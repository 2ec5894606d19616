"""Rows known again where a table was written with fewer digits, by cells so coarse that rounding hardly leaves them.

A cell's width is so small a part of its column's spread that rows which differ hardly ever share all of their cells.
Where a table is written with fewer digits than the one that the cells are of, a number near an edge may have come from
the other side: both cells are tried, for all such numbers of a row together. N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from luthier.data.copies import OFF_GRID, grid_hashes
from luthier.data.row_hashes import number_hashes, scrambled, text_hash
from luthier.records import JsonObject

CHANCE = 1e-3  # of rows that differ, at most this share may lie in one cell with another
HALVED = 2.0  # by which cells are narrower than those counted, in which both cells that are tried lie
COARSEST = 18  # doublings of the finest width, a 60,000th of the quartile range: some four quartile ranges
MOST_COLUMNS = 32  # that are compared: of more, evenly chosen ones tell rows apart as well
SAMPLE, CELLS = 50_000, 1_000_000  # rows, and their cells, by which it is counted who lies together
MOST_DECIMALS, LARGEST_UNIT, DIGITS = 12, 6, 15  # of numbers that were rounded: 1e-12 to 1e6, or to so many digits
MOST_TRIED, MOST_OF_ROW = 4_000_000, 4096  # cells of all rows of a table, and of one


@dataclass(frozen=True)
class Rounding:
    """How the numbers of a column are written: as multiples of a `unit` (0: of none), and with so many significant
    `digits` where the unit would allow more (0: it does not)."""

    unit: float = 0.0
    digits: int = 0

    @classmethod
    def of(cls, values: np.ndarray) -> Rounding:
        """Of values [N].

        >>> Rounding.of(np.array([0.25, 1.51])), Rounding.of(np.array([1200.0, 500.0]))
        (Rounding(unit=0.01, digits=0), Rounding(unit=100.0, digits=0))
        >>> Rounding.of(np.array([123.0, 0.123, 12.3, 0.00123]))
        Rounding(unit=1e-05, digits=3)
        """
        known = values[np.isfinite(values) & (values != 0)]
        known = known[:: -(-len(known) // SAMPLE)] if len(known) else known
        if not len(known):
            return cls()
        unit = next((10.0**k for k in range(LARGEST_UNIT, -MOST_DECIMALS - 1, -1) if _are_multiples(known, k)), 0.0)
        sizes = np.floor(np.log10(np.abs(known))).astype(int) + 1
        needed = sizes.max() - round(np.log10(unit)) if unit else DIGITS
        digits = next((d for d in range(1, min(needed, DIGITS)) if _are_multiples(known, sizes - d)), 0)
        return cls(unit, digits)

    def beside(self, other: Rounding, values: np.ndarray) -> np.ndarray:
        """How far values may lie from the same ones written the other way, rounded up or down [N]."""
        result = np.full(len(values), 0.0 if self.unit == other.unit else max(self.unit, other.unit))
        if self.digits == other.digits:
            return result
        digits = min(filter(None, (self.digits, other.digits)))
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.nan_to_num(10.0 ** (np.floor(np.log10(np.abs(values))) + 1 - digits))
        return np.asarray(np.maximum(result, least))

    def rougher(self, other: Rounding) -> Rounding:
        """The rougher of both."""
        return Rounding(max(self.unit, other.unit), min(filter(None, (self.digits, other.digits)), default=0))


@dataclass(frozen=True)
class NearGrid:
    """The cells in which a table's rows lie: of the columns `names`, of numbers with these `widths`; and how the
    numbers were `written` there."""

    names: tuple[str, ...]
    widths: Mapping[str, float]
    written: Mapping[str, Rounding]

    @classmethod
    def of(cls, frame: pl.DataFrame, finest: Mapping[str, float]) -> NearGrid | None:
        """The widest cells that tell a table's rows apart, from the widths of the finest; None where none do."""
        are_numbers = {name: name in finest and kind.is_numeric() for name, kind in frame.schema.items()}
        numbers, others = ([name for name, one in are_numbers.items() if one is kind] for kind in (True, False))
        names = (*_some(numbers), *_some(others))
        if not numbers or frame.height < 2:
            return None
        sample = frame.select(names)
        sample = sample[:: -(-frame.height // max(2, min(SAMPLE, CELLS // len(names))))]
        allowed = CHANCE * sample.height**2 / frame.height
        held = len(np.unique(grid_hashes(sample, finest)))
        fits, beyond = 0, COARSEST + 1
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            wider = {name: finest[name] * 2.0**middle for name in _some(numbers)}
            lost = held - len(np.unique(grid_hashes(sample, wider)))
            fits, beyond = (middle, beyond) if 2 * lost <= allowed else (fits, middle)
        widths = {name: finest[name] * 2.0**fits / HALVED for name in _some(numbers)}
        return cls(names, widths, _written(frame, widths)) if fits > 1 else None

    def hashes(self, frame: pl.DataFrame) -> np.ndarray:
        """A hash of the cells of each row, uint64 [N]."""
        there = set(frame.columns)
        known = frame.select(name for name in self.names if name in there)
        return grid_hashes(known, self.widths) + self._salt

    def others(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The other cells in which rows may have been as the grid's table was written: rows [P], and a hash of each."""
        steps = [list(self._steps(name, frame[name])) for name in self.widths if name in frame.columns]
        counts = np.prod([1 + sum((step != 0).astype(float) for step in some) for some in steps if some] or [1.0], 0)
        counts = np.broadcast_to(counts, frame.height)
        tried = np.flatnonzero((counts > 1) & (counts <= MOST_OF_ROW))
        tried = tried[np.cumsum(counts[tried]) <= MOST_TRIED]
        rows, hashes = tried, self.hashes(frame[tried])
        for some in steps:
            rows, hashes = _with_moved(rows, hashes, some)
        return rows[len(tried) :], hashes[len(tried) :]

    def beside(self, frame: pl.DataFrame) -> NearGrid:
        """The same cells, for a table that was written like this one."""
        return replace(self, written=_written(frame, self.widths))

    def joined(self, frame: pl.DataFrame) -> NearGrid:
        """The same cells, for rows of which some are another table's."""
        written = _written(frame, self.widths)
        return replace(self, written={n: one.rougher(written.get(n, one)) for n, one in self.written.items()})

    def to_json(self) -> JsonObject:
        """The grid as plain values."""
        written = {name: [one.unit, one.digits] for name, one in self.written.items()}
        return {"names": list(self.names), "widths": dict(self.widths), "written": written}

    @classmethod
    def from_json(cls, value: Any) -> NearGrid | None:
        """What `to_json` gave; ValueError, TypeError or KeyError for anything else."""
        if not value:
            return None
        widths = {str(name): float(width) for name, width in dict(value["widths"]).items()}
        written = {str(name): Rounding(float(unit), int(d)) for name, (unit, d) in dict(value["written"]).items()}
        if not all(0 < width < float("inf") for width in widths.values()) or widths.keys() != written.keys():
            raise ValueError
        if not all(0 <= one.unit <= 10.0**LARGEST_UNIT and 0 <= one.digits < DIGITS for one in written.values()):
            raise ValueError
        return cls(tuple(str(name) for name in value["names"]), widths, written)

    @cached_property
    def _salt(self) -> np.uint64:
        """That cells of other grids are not taken for these."""
        return text_hash(repr((self.names, sorted(self.widths.items()))))

    def _steps(self, name: str, cells: pl.Series) -> Iterator[np.ndarray]:
        """What is added to the hashes of rows for another cell that their number may have been in, 0 for none [N]."""
        values, width, known = _floats(cells), self.widths[name], self.written[name]
        error = known.beside(Rounding.of(values), values)
        error = np.where(error > width / 2, error / 2, error)  # rounded to the nearest, where up or down is too far
        own = np.floor(values / width + OFF_GRID)
        salt = text_hash(name)
        for sign in (-1.0, 1.0):
            other = np.floor((values + sign * error) / width + OFF_GRID)
            moves = (other != own) & (error <= width) & np.isfinite(own)
            if moves.any():
                hashed = [scrambled(number_hashes(cell) ^ salt) for cell in (own + sign, own)]
                yield np.where(moves, hashed[0] - hashed[1], np.uint64(0))


def _with_moved(rows: np.ndarray, hashes: np.ndarray, steps: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and hashes [P], with those of one more column's other cells after them."""
    result = [(rows, hashes)]
    for step in steps:
        moves = step[rows] != 0
        result.append((rows[moves], hashes[moves] + step[rows[moves]]))
    return np.concatenate([some for some, _ in result]), np.concatenate([some for _, some in result])


def _some(names: Sequence[str]) -> list[str]:
    """At most so many of them as are compared, evenly chosen."""
    return list(names[:: -(-len(names) // MOST_COLUMNS)]) if names else []


def _written(frame: pl.DataFrame, names: Iterable[str]) -> dict[str, Rounding]:
    return {name: Rounding.of(_floats(frame[name])) for name in names if name in frame.columns}


def _are_multiples(values: np.ndarray, exponent: int | np.ndarray) -> bool:
    """Whether values are multiples, other than 0, of a power of ten, as exactly as float64 holds them."""
    scaled = values / 10.0**exponent
    whole = np.round(scaled)
    return bool(((np.abs(scaled - whole) <= np.maximum(1e-6, 1e-15 * np.abs(scaled))) & (whole != 0)).all())


def _floats(cells: pl.Series) -> np.ndarray:
    return cells.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
