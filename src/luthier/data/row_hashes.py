"""Hashes of rows: the same from CSV, Parquet and frames, in any order of the columns, and in every version.

Polars' own hashes may change with its version; these are stored. N rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from luthier.shortest_decimals import as_written

DISTINCT = 0.95  # share of rows that no other equals, above which equal rows are the same ones

MISSING = np.uint64(0x9E3779B97F4A7C15)
CELLS = 1 << 18  # that are hashed together
_ACCENTS, _BETWEEN = "[\u0300-\u036f]+", r"[\p{P}\p{Z}\p{C}]+"  # marks behind Latin, Greek and Cyrillic letters
_TRUTHS = {"true": 1.0, "false": 0.0}


def row_hashes(frame: pl.DataFrame, names: Iterable[str] | None = None, *, spelt: bool = True) -> np.ndarray:
    """A hash of each row by these columns' names and cells, uint64 [N]; by all columns where none are named. Words that
    are not `spelt` are the same in any spelling.

    >>> one, other = pl.DataFrame({"a": ["1.50", "x"], "b": [1, 2]}), pl.DataFrame({"b": [1.0, 3.0], "a": [1.5, 0.0]})
    >>> (row_hashes(one) == row_hashes(other)).tolist()
    [True, False]
    """
    types, wanted = frame.schema, frame.columns if names is None else list(names)
    result = np.zeros(frame.height, dtype=np.uint64)
    for some, values in number_blocks(frame, [name for name in wanted if types[name].is_numeric()], written=True):
        result += scrambled(number_hashes(values) ^ text_hashes(some)).sum(1, dtype=np.uint64)
    for name in wanted:
        if not types[name].is_numeric():
            result += scrambled(cell_hashes(frame[name], spelt=spelt) ^ text_hash(name))
    return result


def number_blocks(
    frame: pl.DataFrame, names: Sequence[str], *, written: bool = False
) -> Iterator[tuple[Sequence[str], np.ndarray]]:
    """Columns of numbers, some of them together as float64 [N, G], NaN where they are missing: a call for each of
    thousands would take seconds. Numbers as `written` are what a file would say."""
    together = max(1, CELLS // max(1, frame.height))
    for some in (names[start : start + together] for start in range(0, len(names), together)):
        block = frame.select(some)
        if not written:
            yield some, _numbers(block)
            continue
        values = _numbers(block.with_columns(pl.col(pl.Decimal).cast(pl.String)))
        is_single = [dtype == pl.Float32 for dtype in block.dtypes]
        if all(is_single):
            values = as_written(values)
        elif any(is_single):
            values = values.copy()
            values[:, is_single] = as_written(values[:, is_single])
        yield some, values


def cell_hashes(cells: pl.Series, *, spelt: bool = True) -> np.ndarray:
    """A hash of each cell by its value, uint64 [N]: numbers by their number, also as text; text without blanks around
    it, and as it is `spelt` or in any spelling."""
    dtype = cells.dtype
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _text_hashes(cells.cast(pl.String), spelt=spelt)
    if dtype.is_temporal() and dtype not in (pl.Duration, pl.Time):
        return _text_hashes(cells.cast(pl.Datetime("us")).dt.to_string("%Y-%m-%d %H:%M:%S%.f"), spelt=True)
    if dtype in (pl.Duration, pl.Time):
        cells = cells.cast(pl.Int64)
    if dtype == pl.Decimal:  # as a file says it
        cells = cells.cast(pl.String)
    values = cells.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return number_hashes(as_written(values) if dtype == pl.Float32 else values)


def _numbers(block: pl.DataFrame) -> np.ndarray:
    if all(dtype == pl.Float64 for dtype in block.dtypes):
        return block.to_numpy()
    return block.select(pl.all().cast(pl.Float64).fill_null(float("nan"))).to_numpy()


def number_hashes(values: np.ndarray) -> np.ndarray:
    """A hash of each number [...], uint64 [...]; one for all that are missing."""
    bits = np.ascontiguousarray(values + 0.0, dtype=np.float64).view(np.uint64)  # -0 becomes 0
    return np.where(np.isnan(values), MISSING, bits)


def scrambled(values: np.ndarray) -> np.ndarray:
    """Numbers [N] whose bits all depend on all bits of the values (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)


def are_among(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which hashes [N] are among others: as `numpy.isin`, which sorts both and takes many times as long.

    >>> are_among(np.array([1, 2], dtype=np.uint64), np.array([2, 3], dtype=np.uint64)).tolist()
    [False, True]
    """
    return pl.Series(hashes).is_in(pl.Series(others).implode()).to_numpy()


def text_hash(text: str) -> np.uint64:
    """The hash of a text."""
    return np.uint64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


def text_hashes(texts: Sequence[str]) -> np.ndarray:
    """The hashes of texts, uint64 [G]."""
    return np.array([text_hash(text) for text in texts], dtype=np.uint64)


def folded(texts: pl.Series) -> pl.Series:
    """Texts without what people spell in several ways: case, accents, blanks and punctuation. Signs stay, since >50 is
    not <=50; so does a text of nothing but punctuation.

    >>> folded(pl.Series(["São  Paulo", "SAO-PAULO.", "<=50K", ">50K", "?!"])).to_list()
    ['sao paulo', 'sao paulo', '<=50k', '>50k', '?!']
    """
    plain = texts.str.normalize("NFKD").str.replace_all(_ACCENTS, "").str.to_uppercase().str.to_lowercase()
    words = plain.str.replace_all(_BETWEEN, " ").str.strip_chars()
    return pl.select(pl.when(words != "").then(words).otherwise(plain).alias(texts.name)).to_series()


def _text_hashes(cells: pl.Series, *, spelt: bool) -> np.ndarray:
    """By distinct texts, since most columns have few."""
    distinct = cells.drop_nulls().unique()
    text = distinct.str.strip_chars().str.strip_suffix(" 00:00:00")  # a date is the moment at which it begins
    numbers = text.cast(pl.Float64, strict=False)
    truths = text.str.to_lowercase().replace_strict(_TRUTHS, default=None, return_dtype=pl.Float64)
    known = number_hashes(pl.select(pl.coalesce(numbers, truths)).to_series().fill_null(float("nan")).to_numpy())
    words = (known == MISSING) & (text != "").to_numpy()
    said = text.filter(pl.Series(words))
    known[words] = [text_hash(word) for word in (said if spelt else folded(said))]
    if not len(distinct):
        return np.full(len(cells), MISSING)
    return cells.replace_strict(distinct, pl.Series(known), default=int(MISSING), return_dtype=pl.UInt64).to_numpy()


def rows_are_told_apart(hashes: np.ndarray) -> bool:
    """Whether equal rows are the same ones, by a hash of all cells of each [N]: hardly any equals another.

    >>> rows_are_told_apart(np.arange(30)), rows_are_told_apart(np.arange(30) // 2)
    (True, False)
    """
    return bool((np.unique(hashes, return_counts=True)[1] == 1).mean() > DISTINCT)
