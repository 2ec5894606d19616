"""Tables of very many columns: what is done for all of them at once gives what one after another gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from luthier.data import check_table, infer_columns, infer_task
from luthier.data.parsing import NUMBERS
from luthier.data.values import with_values
from luthier.errors import InputError

ROWS, COLUMNS = 600, 400  # more columns than are looked at closely


def wide(**columns: np.ndarray | list[str]) -> pl.DataFrame:
    g = np.random.default_rng(0)
    noise = {f"x{k}": g.normal(size=ROWS) for k in range(COLUMNS)}
    return pl.DataFrame({**noise, **columns})


@pytest.mark.parametrize("classes", [False, True])
def test_a_leak_among_very_many_numbers_is_found(classes: bool) -> None:
    g = np.random.default_rng(1)
    y = g.integers(0, 6, ROWS) / 4
    bent = (4 * y * 5) % 7 + 0.1 * g.random(ROWS)  # no line, and not monotone, yet it gives the target away
    part = y + 0.7 * g.normal(size=ROWS)
    target = np.where(y > 0.5, "yes", "no") if classes else y
    frame = wide(bent=bent, part=part, y=target)
    task = infer_task(frame["y"], override="binary" if classes else "regression")
    columns = infer_columns(frame, target="y", overrides={})
    found = [f.evidence["column"] for f in check_table(with_values(frame, columns), columns, task)]
    assert found == ["bent"]


def test_numbers_read_at_once_are_those_read_one_by_one() -> None:
    g = np.random.default_rng(2)
    numbers = g.normal(size=ROWS)
    gaps = np.where(np.arange(ROWS) % 7 == 0, np.nan, numbers)
    text = [f"{one:.3f}" if k % 5 else "n/a" for k, one in enumerate(numbers)]
    frame = pl.DataFrame(
        {"a": numbers, "b": gaps, "c": gaps.astype(np.float32), "d": text, "e": [f"{v}" for v in numbers]}
    )
    columns = infer_columns(frame, target="y", overrides={})
    assert [column.kind for column in columns] == ["number"] * 5
    expected = [NUMBERS.values(frame[name]).to_list() for name in frame.columns]
    assert [one.to_list() for one in with_values(frame, columns)] == expected
    assert frame.with_columns(with_values(frame, columns)).columns == frame.columns


def test_the_column_that_is_infinite_is_named() -> None:
    frame = wide(bad=np.where(np.arange(ROWS) == 41, np.inf, 0.5))
    columns = infer_columns(frame.with_columns(bad=pl.lit(0.5)), target="y", overrides={"bad": "number"})
    with pytest.raises(InputError, match=r"'bad' has infinite values(.|\n)*row 42"):
        with_values(frame, columns)
