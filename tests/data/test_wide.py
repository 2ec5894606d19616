"""Tables of very many columns: what is done for all of them at once gives what one after another gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from luthier.data import check_table, facts_by_name, infer_columns, infer_task
from luthier.data.copies import FINE, CopyRule
from luthier.data.preprocess import METHODS, Preprocess
from luthier.data.typed_columns.facts import facts_of
from luthier.data.typed_columns.parsing import NUMBERS
from luthier.data.values import with_values
from luthier.errors import InputError
from luthier.rows import Inputs

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


def test_facts_of_floats_together_are_those_of_each() -> None:
    """Also of columns with gaps, of few values, of whole numbers, and of none."""
    half = np.where(np.arange(ROWS) % 2, np.nan, np.arange(ROWS))
    frame = wide(half=half, two=half % 2, whole=np.arange(ROWS) * 1.0, none=half * np.nan).head(40)
    found = facts_by_name(frame, frame.columns)
    assert found == {name: facts_of(frame[name]) for name in frame.columns}
    assert found["half"].missing == 20


@pytest.mark.parametrize("decimal", ["", ".", ","])
def test_facts_of_texts_together_are_those_of_each(decimal: str) -> None:
    """Numbers with a fraction are worked out together; all else is left to be looked at by itself."""
    x = np.random.default_rng(0).normal(size=40)
    plain = [f"{value:.3f}" for value in x]
    columns: dict[str, list[str | None]] = {
        "plain": list(plain),
        "gaps": [None if k % 3 else one for k, one in enumerate(plain)],
        "first is missing": [None, *plain[1:]],
        "blanks": [f" {one} " for one in plain],
        "empty": ["", *plain[1:]],
        "marks": ["n/a", "-", *plain[2:]],
        "nan": ["nan", *plain[1:]],
        "a word": ["x", *plain[1:]],
        "whole": [str(k) for k in range(40)],
        "long": [f"90071992547409{90 + k}" for k in range(40)],
        "long, one fraction": ["0.5", *(f"90071992547409{90 + k}" for k in range(1, 40))],
        "points": [f"{k}.0" for k in range(40)],
        "exponents": [f"{value:.2e}" for value in x],
        "two": ["0.5", "1.5"] * 20,
        "two values": ["0.5", "0.50", "1.5", "1.50"] * 10,
        "three": ["0.5", "1.5", "2", "2.0"] * 10,
        "one": ["0.5"] * 40,
        "commas": [one.replace(".", ",") for one in plain],
        "thousands": [f"{k},234.5" for k in range(40)],
        "dates": [f"2024-01-{k % 28 + 1:02d}" for k in range(40)],
        "clocks": [f"{k % 24}:30" for k in range(40)],
        "years": [f"{k % 12 + 1}.2024" for k in range(40)],
        "signs": [f"+{k}.5" for k in range(40)],
        "words": ["yes", "no"] * 20,
        "none": [None] * 40,
        "very long": [f"0.{k:02d}{'123456789' * 5}" for k in range(40)],
    }
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    assert facts_by_name(frame, columns, decimal) == {name: facts_of(frame[name], decimal) for name in columns}
    assert facts_by_name(frame.head(0), columns, decimal) == {n: facts_of(frame[n].head(0), decimal) for n in columns}


@pytest.mark.parametrize("method", METHODS)
def test_columns_are_preprocessed_together_as_each_by_itself(method: str) -> None:
    """In pieces, whatever is missing where: but for "common", whose columns share a deviation."""
    numbers = torch.from_numpy(wide().to_numpy())[:, :30].clone()
    for column in range(1, 20, 3):
        numbers[: 7 * column, column] = torch.nan
    numbers[:, 5], numbers[:-9, 8] = 3.0, 2.0
    whole = Preprocess.fit(numbers, method)
    for column in range(30) if method != "common" else []:
        alone = Preprocess.fit(numbers[:, column : column + 1], method)
        for name in ("median", "lowest", "highest", "mean", "scale", "edges"):
            assert torch.equal(getattr(whole, name)[column], getattr(alone, name)[0]), (name, column)
    many = numbers.repeat(20, 1)  # more rows than are prepared together
    assert torch.equal(whole.prepared(Inputs(numbers=many)).numbers, whole(many))


def test_copies_are_found_by_all_columns_together() -> None:
    """Grids' widths are a millionth of the quartile range, of few other values of the deviation."""
    values = wide()["x0"].to_numpy()
    few = np.where(np.arange(ROWS) < 500, 2.0, values)
    frame = wide(few=few, gaps=np.where(values > 1, np.nan, values), number=np.arange(ROWS) * 1.0)
    rule = CopyRule.of(frame)
    assert "number" not in rule.names
    known = values[values <= 1]
    assert rule.widths["x0"] == FINE * np.subtract(*np.quantile(values, (0.75, 0.25)))
    assert rule.widths["gaps"] == FINE * np.subtract(*np.quantile(known, (0.75, 0.25)))
    assert rule.widths["few"] == FINE * few.std()
    twice = pl.concat([frame, frame.head(3).with_columns(pl.lit(-1.0).alias("number"))])
    assert rule.copies(twice).repeated == 6
