"""What numbers of single precision are written as, and the hashes of rows that follow from it."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest

from luthier.data.row_hashes import cell_hashes, row_hashes
from luthier.data.typed_columns.levels import values_of
from luthier.shortest_decimals import as_written

EDGES = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 16777215, 16777217, 999999.94, 1000000.06, 3.4028235e38, 1e-45])

KEPT = [11462535126938401725, 15802019400421999107, 15356249553581435072, 14396398269993155084, 1133072353167690628]


def around(values: np.ndarray) -> np.ndarray:
    """Values, and the next ones on both sides."""
    exact = values.astype(np.float32)
    return np.concatenate([exact, *(np.nextafter(exact, np.float32(end)) for end in (0, np.inf)), -exact])


def cases() -> dict[str, np.ndarray]:
    g = np.random.default_rng(0)
    anything = g.integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    powers = np.concatenate([10.0 ** np.arange(-45, 38) * k for k in (1, 0.5, 2.5, 9.9999995, 0.99999994)])
    return {
        "any bits": anything[np.isfinite(anything)],
        "normal": g.normal(size=100_000).astype(np.float32),
        "few digits": (g.integers(-(10**6), 10**6, 100_000) * 10.0 ** g.integers(-9, 4, 100_000)).astype(np.float32),
        "long": g.uniform(0, 2.0**25, 50_000).astype(np.float32),
        "whole": g.integers(-(2**25), 2**25, 50_000).astype(np.float32),
        "powers of two": around(2.0 ** np.arange(-149, 127)),
        "powers of ten": around(powers),
        "edges": EDGES,
        "none": EDGES[:0],
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", cases())
def test_numbers_are_those_that_their_text_says(case: str) -> None:
    values = cases()[case]
    texts = pl.Series(values).cast(pl.String).cast(pl.Float64).to_numpy()
    assert np.array_equal(as_written(values), texts, equal_nan=True)
    assert np.array_equal(as_written(values.astype(np.float64)), texts, equal_nan=True)


def test_rows_are_those_of_a_file_of_them() -> None:
    g = np.random.default_rng(1)
    frame = pl.DataFrame({name: g.normal(size=500).astype(np.float32) for name in "abc"})
    gaps = pl.when(pl.int_range(pl.len()) % 7 != 0).then(pl.col("a"))
    for some in (frame, frame.with_columns(gaps, d=pl.int_range(pl.len()), e=pl.col("b").cast(pl.Float64))):
        read = pl.read_csv(io.StringIO(some.write_csv()))
        assert (row_hashes(some) == row_hashes(read)).all()
        for name in some.columns:
            assert (cell_hashes(some[name]) == cell_hashes(read[name])).all()
            assert values_of(some[name]) == read[name].to_list()


def test_hashes_stay_those_that_registers_keep() -> None:
    """Of the version that hashed numbers of single precision by their text."""
    frame = pl.DataFrame({"x": [0.1, 2.5, None, -1e-20, 123456.7], "y": [1.0, 0.3, 7.7e30, -0.0, 16777216.0]})
    assert row_hashes(frame.cast(pl.Float32)).tolist() == KEPT
