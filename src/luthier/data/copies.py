"""Rows that repeat the inputs of others, so that copies do not lie on both sides of a split.

Compared are the columns that are used, without dates and times of day, which number rows as identifiers do. Numbers
are rounded in three ways, so that noise hides no copy: to a millionth of their column's quartile range on two grids
that are shifted against each other, and to single precision. Of words neither case nor accents, blanks and punctuation
count. Rows are copies if they are the same in one of the ways. N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from luthier.data.row_hashes import (
    are_among,
    cell_hashes,
    number_blocks,
    number_hashes,
    row_hashes,
    scrambled,
    text_hash,
    text_hashes,
)
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.facts import MOST_TRUTHS
from luthier.data.typed_columns.levels import TruthWords
from luthier.messages import Message, joined

FINE = 1e-6  # of a column's quartile range: numbers that are nearer count as the same
MOST_COPIES = 4  # a value that more rows have is the column's nature
SHIFTS, QUARTILES = (0.0, 0.5), (0.25, 0.75)
WIDER = 16.0
OFF_GRID = 0.381966  # of a cell: where its edges lie, so that hardly a number that people write lies on one
MOST_ROWS_OF_ONE = 10_000  # of a table with one column of numbers: among more, neighbours lie that near by chance
FEWEST_GROUPS = 10
BY_CHANCE = 0.5  # of the repeated rows
NEGLIGIBLE = 1e-3
MOST_SIMILAR = 0.1  # of all pictures may look alike, one like the next: more are one scene, or nothing but noise
DENSE = 2.0  # distinct whole numbers that lie closer than this number the rows


@dataclass(frozen=True)
class Copies:
    """Rows by what their inputs are: the number of each row's group of equal rows [N], in the order of their first rows
    whatever the columns, how many rows are in a group with others, and how many of these differ by rounding or
    spelling; of pictures, by size or compression. In a `coarse` table repetition is nature. So many `similar` pictures
    are near others that they are not kept together for that."""

    groups: np.ndarray
    repeated: int = 0
    near: int = 0
    coarse: bool = False
    pictures: bool = False
    similar: int = 0

    @property
    def together(self) -> np.ndarray:
        """The number of each row's group of rows that stay on one side of a split [N]."""
        return np.arange(len(self.groups)) if self.coarse else self.groups

    @property
    def in_words(self) -> str:
        """What is to be said of them; empty where no row repeats another."""
        if self.similar:
            similar = Message(
                "{similar} of {rows} pictures look like another one, as if scaled or compressed: too many to keep in "
                "one part of the split",
                similar=self.similar,
                rows=len(self.groups),
            )
            return joined([self._of_copies, similar])
        return self._of_copies

    @property
    def _of_copies(self) -> str:
        if not self.repeated:
            return ""
        if self.coarse:
            return Message(
                "{repeated} of {rows} rows repeat the inputs of another row, as the few values of the columns make "
                "likely: they are not kept in one part of the split",
                repeated=self.repeated,
                rows=len(self.groups),
            )
        near: str = Message(" ({count} of them differ by rounding or spelling only)", count=self.near)
        if self.pictures:
            near = Message(" ({count} of them differ by size or compression only)", count=self.near)
        near = near if self.near else ""
        return Message(
            "{repeated} rows are copies of other rows{near} and stay in the same part of the split",
            repeated=self.repeated,
            near=near,
        )

    def across(self, one: np.ndarray, other: np.ndarray) -> int:
        """How many of some rows have a copy among others, by their numbers; 0 in a coarse table."""
        return 0 if self.coarse else int(np.isin(self.groups[one], self.groups[other]).sum())


@dataclass(frozen=True)
class CopyRule:
    """When two rows of a table count as copies: by these columns, of numbers with the width of a cell of the grids."""

    names: tuple[str, ...]
    widths: Mapping[str, float]

    @classmethod
    def of(cls, frame: pl.DataFrame, columns: Sequence[Column] | None = None) -> CopyRule:
        """From a table, by all of its columns, or by those of `columns` that are used and are not times."""
        names = frame.columns if columns is None else [one.name for one in columns if _is_compared(one)]
        types, widths, counted = frame.schema, dict[str, float](), set[str]()
        for some, values in number_blocks(frame, [name for name in names if types[name].is_numeric()]):
            whole = (values == np.floor(values)).all(0)
            counted |= {name for name, one in zip(some, whole, strict=True) if one and numbers_rows(frame[name])}
            widths |= zip(some, _widths(values), strict=True)
        rest = {name: width for name, width in widths.items() if name not in counted}
        return cls(tuple(name for name in names if name not in counted), rest)

    def keys(self, frame: pl.DataFrame) -> list[np.ndarray]:
        """A hash of each row in each way of rounding, uint64 [N]: copies share one of them."""
        ways = [np.zeros(frame.height, dtype=np.uint64) for _ in range(3 if self.widths else 1)]
        for some, values in number_blocks(frame, list(self.widths)):
            salts, widths = text_hashes(some), np.array([self.widths[name] for name in some])
            for way, cells in zip(ways, _rounded(values, widths), strict=True):
                way += scrambled(number_hashes(cells) ^ salts).sum(1, dtype=np.uint64)
        for name in (name for name in self.names if name not in self.widths):
            cells = scrambled(cell_hashes(frame[name], spelt=False) ^ text_hash(name))
            for way in ways:
                way += cells
        return ways

    def others_than(self, held: pl.DataFrame) -> Callable[[pl.DataFrame], pl.DataFrame]:
        """A step that keeps the rows that are not copies of these."""
        known = self.keys(held)

        def step(frame: pl.DataFrame) -> pl.DataFrame:
            ways = [are_among(key, held_key) for key, held_key in zip(self.keys(frame), known, strict=True)]
            return frame.filter(~np.logical_or.reduce(ways)) if self.names else frame

        return step

    def copies(self, frame: pl.DataFrame) -> Copies:
        """The copies among the rows of a table."""
        rows = frame.height
        rule = self if len(self.widths) != 1 or rows <= MOST_ROWS_OF_ONE else replace(self, widths={})
        keys = [np.unique(key, return_inverse=True)[1] for key in rule.keys(frame)]
        if not self.names or all(int(key.max(initial=-1)) + 1 == rows for key in keys):
            return Copies(np.arange(rows))
        return _judged(self, frame, _in_order(_joined(keys)))


def _joined(keys: Sequence[np.ndarray]) -> np.ndarray:
    """The number of each row's group [N], of rows that share the number of one of the keys."""
    if all((key == keys[0]).all() for key in keys[1:]):
        return keys[0]
    ends = np.cumsum([0, *(int(key.max()) + 1 for key in keys)])
    rows = np.concatenate([keys[0]] * (len(keys) - 1))
    others = np.concatenate([key + end for key, end in zip(keys[1:], ends[1:], strict=False)])
    pairs = coo_array((np.ones(len(rows), dtype=bool), (rows, others)), shape=(ends[-1], ends[-1]))
    return np.asarray(connected_components(pairs, directed=False)[1][keys[0]])


def _in_order(groups: np.ndarray) -> np.ndarray:
    """The groups [N] numbered in the order of their first rows.

    >>> _in_order(np.array([4, 2, 4, 3])).tolist()
    [0, 1, 0, 2]
    """
    first, inverse = np.unique(groups, return_index=True, return_inverse=True)[1:]
    return np.asarray(np.argsort(np.argsort(first))[inverse])


def stored_grid(rule: CopyRule) -> dict[str, float]:
    """The widths of grids, powers of two, on which rows are compared with those of tables that come later.

    There is one grid only, so its cells are wider; of one column of numbers neighbours would fall into one by chance.

    >>> stored_grid(CopyRule(("x", "z"), {"x": 2.0, "z": 0.3}))
    {'x': 32.0, 'z': 4.0}
    """
    wider = WIDER if len(rule.widths) > 1 else 1.0
    return {name: float(2.0 ** np.round(np.log2(wider * width))) for name, width in rule.widths.items()}


def grid_hashes(frame: pl.DataFrame, widths: Mapping[str, float]) -> np.ndarray:
    """A hash of each row, uint64 [N]: of numbers by their cell of a grid of these widths, of words in any spelling, of
    spellings of yes and no by their truth.

    >>> one, other = pl.DataFrame({"x": [0.1], "f": ["yes"]}), pl.DataFrame({"x": [0.1 + 1e-9], "f": [True]})
    >>> bool((grid_hashes(one, {"x": 2.0**-20}) == grid_hashes(other, {"x": 2.0**-20})).all())
    True
    """
    types = frame.schema
    numbers = [name for name in widths if name in types and types[name].is_numeric()]
    known = set(numbers)
    others = [name for name in types if name not in known]
    truths = [truth for name in others if types[name] == pl.String and (truth := _as_truths(frame[name])) is not None]
    result = row_hashes(frame.with_columns(truths) if truths else frame, others, spelt=False)
    for some, values in number_blocks(frame, numbers):
        with np.errstate(over="ignore"):
            cells = np.floor(values / np.array([widths[name] for name in some]) + OFF_GRID)
        result += scrambled(number_hashes(cells) ^ text_hashes(some)).sum(1, dtype=np.uint64)
    return result


def _as_truths(cells: pl.Series) -> pl.Series | None:
    """Texts of yes and no as truth values; None where some are others."""
    if not TruthWords.hold(some := cells.drop_nulls().unique().head(MOST_TRUTHS)):
        return None
    return None if len(some) == MOST_TRUTHS else cells.replace_strict(some, pl.Series(TruthWords().codes(some)) == 3)


def picture_copies(checksums: np.ndarray, alike: tuple[np.ndarray, np.ndarray]) -> Copies:
    """Copies among pictures, by checksums that equal ones share [N], and the pairs that look alike [P].

    >>> none = np.zeros(0, dtype=int)
    >>> picture_copies(np.array([*range(20), 7]), (none, none)).in_words
    '2 rows are copies of other rows and stay in the same part of the split'
    >>> picture_copies(np.arange(20), (np.array([3]), np.array([5]))).near
    2
    """
    exact = _in_order(checksums)
    rows = len(exact)
    pairs = coo_array((np.ones(len(alike[0]), dtype=bool), (exact[alike[0]], exact[alike[1]])), shape=(rows, rows))
    groups = _in_order(connected_components(pairs, directed=False)[1][exact])
    counts, exact_counts = (np.bincount(some)[some] for some in (groups, exact))
    near = (counts > 1) & (exact_counts == 1)
    if near.any() and (counts.max() > MOST_SIMILAR * rows or groups.max() + 1 < FEWEST_GROUPS):
        return replace(picture_copies(checksums, (alike[0][:0], alike[1][:0])), similar=int(near.sum()))
    repeated, few = int((counts > 1).sum()), groups.max(initial=-1) + 1 < FEWEST_GROUPS
    return Copies(groups, repeated, int(near.sum()), coarse=bool(few), pictures=True)


def numbers_rows(cells: pl.Series) -> bool:
    """Whether a column's whole numbers are different in every row and close together: an identifier by another name.

    >>> numbers_rows(pl.Series([5, 3, 4, 1, 2] + list(range(6, 40))))
    True
    """
    known = cells.drop_nulls()
    if len(known) < max(2 * FEWEST_GROUPS, len(cells)) or (known.dtype.is_float() and (known != known.round()).any()):
        return False
    span = float(np.ptp(known.to_numpy()))
    return span < DENSE * len(known) and known.n_unique() == len(known)


def _is_compared(column: Column) -> bool:
    return column.used and column.kind != "date" and not column.cells.style.clock


def _rounded(values: np.ndarray, widths: np.ndarray) -> list[np.ndarray]:
    """Values [N, G] on grids of these widths [G], and in single precision."""
    grids = [np.floor(values / widths + shift) for shift in SHIFTS]
    with np.errstate(over="ignore"):
        return [*grids, values.astype(np.float32).astype(np.float64)]


def _widths(values: np.ndarray) -> list[float]:
    """The width of a grid's cell for each column [N, G]: a millionth of the quartile range, of the deviation where half
    of the rows agree."""
    there = ~np.isnan(values)
    full = there.all(0) & bool(len(values))
    spreads = np.zeros(values.shape[1])
    if full.any():
        low, high = np.quantile(values[:, full], QUARTILES, axis=0)
        spreads[full] = high - low
    for k in np.flatnonzero(~full | (spreads == 0)):
        known = values[there[:, k], k]
        low, high = np.quantile(known, QUARTILES) if len(known) else (0.0, 0.0)
        spreads[k] = float(high - low) or (float(known.std()) if len(known) else 0.0)
    return [FINE * float(spread) if np.isfinite(spread) and spread > 0 else 1.0 for spread in spreads]


def _judged(rule: CopyRule, frame: pl.DataFrame, groups: np.ndarray) -> Copies:
    """With the numbers that are said, and whether chance makes equal rows of such columns."""
    counts = np.bincount(groups)
    repeated = int(counts[counts > 1].sum())
    if not repeated:
        return Copies(groups)
    exact = np.unique(np.stack([groups, _exact(rule, frame)]), axis=1, return_counts=True)
    alone = exact[0][0][exact[1] == 1]
    near = int((counts[alone] > 1).sum())
    coarse = len(counts) < FEWEST_GROUPS or _expected(rule, frame) > BY_CHANCE * repeated
    return Copies(groups, repeated, near, coarse)


def _exact(rule: CopyRule, frame: pl.DataFrame) -> np.ndarray:
    """A hash of each row by its exact cells, as int64 [N]."""
    result = np.zeros(frame.height, dtype=np.uint64)
    for name in rule.names:
        result += scrambled(cell_hashes(frame[name]) ^ text_hash(name))
    return result.view(np.int64)


def _expected(rule: CopyRule, frame: pl.DataFrame) -> float:
    """How many rows would equal another one if each column's values were drawn by themselves."""
    mates = np.full(frame.height, float(frame.height))  # rows that are expected to be equal to each
    for name in rule.names:
        cells, counts = np.unique(cell_hashes(frame[name], spelt=False), return_inverse=True, return_counts=True)[1:]
        mates *= np.where(counts > MOST_COPIES, counts / frame.height, 0.0)[cells]
        if mates.max() < NEGLIGIBLE:
            break
    return float((1 - np.exp(-mates)).sum())
