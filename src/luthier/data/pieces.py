"""A table on the disk that is read piece by piece: what is done to its rows is done to one piece after another.

Polars' streaming engine reads ahead without a bound that could be set: gigabytes, of a table of two thousand columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from luthier.errors import InputError, in_a_line
from luthier.messages import Message

CHUNK, CELLS = 1 << 17, 1 << 20  # rows, and cells, of a piece
FEWEST, MOST_CELLS = 512, 1 << 22  # rows of a piece of a wide table, unless they have more cells
Step = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Pieces:
    """The rows of Parquet files that have the same columns, but for those in some places [K], ascending; after steps.

    A step takes some rows to some rows, each by itself, so that pieces of any length give the same.
    """

    files: tuple[Path, ...]
    without: np.ndarray
    steps: tuple[Step, ...] = ()
    columns: tuple[str, ...] = ()  # that are read; none: all

    def of(self, columns: Sequence[str]) -> Pieces:
        """The same rows, of which these columns are read: all that the steps need."""
        return replace(self, columns=tuple(dict.fromkeys(columns)))

    def then(self, step: Step) -> Pieces:
        """The same with a step more."""
        return replace(self, steps=(*self.steps, step))

    def frames(self, rows: int = CHUNK) -> Iterator[pl.DataFrame]:
        """All rows in pieces of so many or fewer. InputError, in our words, where they cannot be read to the end."""
        for frame, place in self._read(rows):
            yield self._step(frame, place)

    def at(self, places: np.ndarray, rows: int = CHUNK) -> pl.DataFrame:
        """The rows in some places [K], ascending, before any steps. InputError as above."""
        some = []
        for frame, place in self._read(rows, places):
            first, last = np.searchsorted(places, [place, place + frame.height])
            some.append(frame[places[first:last] - place])
        return pl.concat(some, rechunk=True) if some else pl.read_parquet(self.files[0], n_rows=0)

    def _read(self, rows: int, wanted: np.ndarray | None = None) -> Iterator[tuple[pl.DataFrame, int]]:
        """Pieces as they lie there, and the place of each one's first row; those with one of the wanted places."""
        schema: pl.Schema | None = None
        place = 0
        try:
            for file in self.files:
                lazy = pl.scan_parquet(file, hive_partitioning=False)
                schema = schema or lazy.collect_schema()
                if lazy.collect_schema() != schema:
                    raise InputError(
                        Message("'{name}' has other columns than '{first}'", name=file.name, first=self.files[0].name)
                    )
                height = int(lazy.select(pl.len()).collect().item())
                lazy = lazy.select(self.columns) if self.columns else lazy
                size = min(rows, rows_of(len(self.columns or schema)))
                for start in range(0, height, size):
                    ends = [place + start, place + min(start + size, height)]
                    if wanted is None or np.ptp(np.searchsorted(wanted, ends)):
                        yield lazy.slice(start, size).collect(), place + start
                place += height
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise InputError("a table on disk cannot be read to its end", received=in_a_line(error)) from error

    def _step(self, frame: pl.DataFrame, place: int) -> pl.DataFrame:
        first, last = np.searchsorted(self.without, [place, place + frame.height])
        if last > first:
            kept = np.ones(frame.height, dtype=bool)
            kept[self.without[first:last] - place] = False
            frame = frame.filter(kept)
        for step in self.steps:
            frame = step(frame)
        return frame

    def collect(self) -> pl.DataFrame:
        """All rows at once: what is small enough."""
        return pl.concat(list(self.frames()))


def rows_of(columns: int) -> int:
    """Rows of a piece: few of a wide table, but enough that its columns cost more than what is done once for each.

    >>> rows_of(8), rows_of(10_000), rows_of(1_000_000)
    (131072, 419, 4)
    """
    wide = max(1, columns)
    return max(1, CELLS // wide, min(FEWEST, MOST_CELLS // wide))
