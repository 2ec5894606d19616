"""Rows that were written with fewer digits are known again, and hardly a row that is another one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from luthier.data.copies import CopyRule, grid_hashes, stored_grid
from luthier.data.near_rows import CHANCE, NearGrid, Rounding


def table(rows: int, columns: int, seed: int = 0) -> pl.DataFrame:
    """Normal numbers of very different sizes, and a name."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(rows, columns)) * 10.0 ** (np.arange(columns) % 4)
    names = draw.choice(["a", "b"], rows)
    return pl.DataFrame({f"x{k}": values[:, k] for k in range(columns)} | {"name": names})


def grid_of(frame: pl.DataFrame) -> NearGrid:
    result = NearGrid.of(frame, stored_grid(CopyRule.of(frame)))
    assert result is not None
    return result


def known(grid: NearGrid, frame: pl.DataFrame, kept: np.ndarray) -> np.ndarray:
    """Which rows are among those kept, by their cells or the others that they may have been in."""
    result = np.isin(grid.hashes(frame), kept)
    rows, hashes = grid.others(frame)
    result[rows[np.isin(hashes, kept)]] = True
    return result


NUMBERS = pl.selectors.float()
WAYS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "as it is": lambda frame: frame,
    "2 decimals": lambda frame: frame.with_columns(NUMBERS.round(2)),
    "3 digits": lambda frame: frame.with_columns(NUMBERS.round_sig_figs(3)),
    "2 digits": lambda frame: frame.with_columns(NUMBERS.round_sig_figs(2)),
    "cut": lambda frame: frame.with_columns((NUMBERS * 100).cast(pl.Int64) / 100),
    "single precision": lambda frame: frame.with_columns(NUMBERS.cast(pl.Float32)),
    "one column in tens": lambda frame: frame.with_columns((pl.col("x3") / 10).round() * 10),
    "capitals": lambda frame: frame.with_columns(pl.col("name").str.to_uppercase()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("rows", "columns"), [(500, 4), (2000, 12), (300, 80)])
def test_rows_with_fewer_digits_are_known_and_fresh_ones_are_not(way: str, rows: int, columns: int) -> None:
    before, fresh = table(rows, columns), table(rows, columns, seed=1)
    grid = grid_of(before)
    kept = grid.hashes(before)
    assert known(grid, WAYS[way](before), kept).mean() >= 0.99
    # At most that share of rows that differ; with so few, 0.01 is nine standard deviations above it.
    assert known(grid, WAYS[way](fresh), kept).mean() <= CHANCE + 0.01


def test_a_table_with_more_digits_than_the_earlier_one_is_known_too() -> None:
    exact = table(500, 8)
    before = WAYS["2 digits"](exact)
    grid = grid_of(before)
    assert known(grid, exact, grid.hashes(before)).mean() >= 0.99


def test_a_table_that_is_written_alike_asks_for_no_other_cell() -> None:
    frame = WAYS["2 decimals"](table(500, 8))
    assert len(grid_of(frame).others(WAYS["2 decimals"](table(500, 8, seed=1)))[0]) == 0


def test_where_rows_lie_close_together_cells_stay_narrow() -> None:
    """Two numbers tell ten thousand rows apart by their digits alone."""
    frame = table(10_000, 2)
    widths = (NearGrid.of(frame, stored_grid(CopyRule.of(frame))) or NearGrid((), {"x0": 0.0}, {})).widths
    assert widths["x0"] < 0.01


@pytest.mark.parametrize(
    ("values", "unit", "digits"),
    [
        ([0.25, 1.51], 0.01, 0),
        ([1234.0, 55.0], 1.0, 0),
        ([1200.0, 500.0], 100.0, 0),
        ([123.0, 0.123, 12.3], 0.001, 3),
        ([0.1 + 0.2, 0.7], 0.1, 0),
        (np.random.default_rng(0).normal(size=50).tolist(), 0.0, 0),
        ([float("nan"), 0.0], 0.0, 0),
        ([], 0.0, 0),
    ],
)
def test_how_numbers_are_written(values: list[float], unit: float, digits: int) -> None:
    assert Rounding.of(np.array(values)) == Rounding(unit, digits)


@pytest.mark.parametrize(
    "damage",
    [
        {"widths": {"x": 0.0}},
        {"widths": {"x": "wide"}},
        {"widths": {}},
        {"written": {"x": [1e300, 0]}},
        {"written": {"x": [0.1]}},
        {"names": None},
    ],
)
def test_a_damaged_grid_is_refused(damage: dict[str, object]) -> None:
    whole = NearGrid(("x",), {"x": 0.5}, {"x": Rounding(0.1)}).to_json()
    assert NearGrid.from_json(whole) is not None
    with pytest.raises((ValueError, TypeError, KeyError)):
        NearGrid.from_json(whole | damage)


def test_cells_of_grids_have_the_hashes_that_registers_keep() -> None:
    """Of the version that took a table's numbers to their cells column by column."""
    x = [0.126, -0.132, 0.64, 0.105, -0.536, 0.362]
    frame = pl.DataFrame(
        {
            "x": x,
            "gap": [1.5, None, float("nan"), -0.0, 1e300, 2.5],
            "n": [3, None, 5, 6, 7, 2**40],
            "f": pl.Series(x, dtype=pl.Float32),
            "yes": ["yes", "No", None, "yes", "no", "YES"],
            "word": ["São", "sao", "b c", "B-C", None, "x"],
            "id": [1, 2, 3, 4, 5, 6],
        }
    )
    widths = {"x": 2.0**-7, "gap": 2.0**-3, "n": 2.0, "f": 2.0**-5, "absent": 1.0}
    assert grid_hashes(frame, widths).tolist() == [
        15202817237616437286,
        7159916094709474831,
        10485128856140700537,
        11588357332226923157,
        3846034181473696907,
        6345232236380798584,
    ]
