"""A run whose best columns were dropped is warned of, with the option that keeps them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from luthier.data import check_table, infer_columns, infer_task
from luthier.data.values import with_values

ROWS = 600


def dropped(cells: list[str] | np.ndarray, y: np.ndarray, **more: np.ndarray) -> list[str]:
    """The columns that the findings name."""
    frame = pl.DataFrame({"x": np.random.default_rng(1).normal(size=ROWS), "d": cells, **more, "y": y})
    columns = infer_columns(frame, target="y", overrides={})
    findings = check_table(with_values(frame, columns), columns, infer_task(frame["y"]))
    return [f.evidence["column"] for f in findings if f.code == "dropped-column"]


@pytest.mark.parametrize("classes", [False, True])
def test_numbers_in_words_that_were_dropped_are_named(classes: bool) -> None:
    rng = np.random.default_rng(0)
    dose = rng.normal(20, 5, ROWS).round(4)
    y = np.where(dose + rng.normal(size=ROWS) > 20, "a", "b") if classes else dose + rng.normal(size=ROWS)
    cells = [f"{value}mg/{k}" for k, value in enumerate(dose)]
    assert dropped(cells, y) == ["d"]
    assert dropped(cells, y, better=dose) == []  # another column says as much
    assert dropped(cells, rng.permutation(y)) == []  # it says nothing


def test_the_number_of_a_row_is_not_missed() -> None:
    y = np.sort(np.random.default_rng(0).normal(size=ROWS))
    assert dropped([f"id {k}" for k in range(ROWS)], y) == []
