"""The exported program reads a cell as the model does: numbers, dates and levels, as people write them and damaged."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from luthier.data import TableEncoder, infer_columns
from luthier.data.typed_columns.columns import Column
from luthier.exporting.exported_rows import cells_facts
from luthier.exporting.plain_model import _code, _moment, _number, _truth, _written
from luthier.seeds import numpy_generator

NUMBERS: dict[str, list[str]] = {
    "plain": ["1.5", "-2", "3e2", ".5", "\u22127", "１２", "12.-"],
    "thousands": ["1,163.74", "12", "2,345,678"],
    "Indian thousands": ["₹1,23,456.5", "₹12,345", "₹7"],
    "points and commas": ["1.234,56 €", "999,00 €", "7,1 €"],
    "decimal commas": ["0,85", "1,5e3", "-3,125"],
    "apostrophes": ["CHF 1’163.74", "CHF 12.-", "CHF 3'000"],
    "blanks": ["1\u202f234,5", "12", "1 000"],
    "brackets": ["(1,234)", "56", "$(7)", "($8)"],
    "a minus after": ["1234.50-", "56", "7-"],
    "unit": ["12 kg", "1.5kg", "-3 kg"],
    "unit without a blank": ["1200元", "35元", "7元"],
    "magnitudes": ["1.2K", "3M", "450", "1.5bn", "-2k"],
    "currency and magnitudes": ["$1.2M", "$500K", "-$3B"],
    "Chinese magnitudes": ["1.2万", "3亿", "450"],
    "clock": ["12:30", "1:30 PM", "12:00 am", "0:00:05.5"],
    "lengths of time": ["30:15:00", "2 days 03:00:00", "101:00:30"],
}
FORMATS = (
    *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S UTC", "%Y%m%dT%H%M%SZ", "%Y年%m月%d日 %H:%M"),
    *("%Y-%m-%dT%H:%M:%S+01:00[Europe/Paris]", "%d.%m.%Y", "%m/%d/%Y %I:%M %p", "%m/%d/%Y, %I:%M:%S%p"),
    *("%d/%m/%y %H:%M", "%d-%b-%y", "%b %Y", "%b-%y", "%Y年%m月", "%A, %B %d, %Y"),
    *("%a, %d %b %Y %H:%M:%S +0200", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S -0330"),
)


def column_of(cells: list[str], override: str = "") -> Column:
    overrides = {"x": override} if override else {}
    return infer_columns(pl.DataFrame({"x": cells}), target="", overrides=overrides)[0]


def damaged(cells: list[str], seed: int) -> list[str]:
    """The cells, and as many with a character that is left out, doubled or from another cell."""
    g, result = numpy_generator(seed, "damaged cells"), list(cells)
    letters = "".join(cells) + " -+.,()%kmKM0"
    for cell in cells * 12:
        place = int(g.integers(len(cell) + 1))
        middle = ("", cell[place : place + 1] * 2, letters[int(g.integers(len(letters)))])[int(g.integers(3))]
        result.append(cell[:place] + middle + cell[place + 1 :])
    return result


def read_by_the_program(cells: list[str], column: Column, read: Any) -> list[Any]:
    """What the exported program makes of each cell, None where it is missing or refused."""
    facts, result = cells_facts(column.cells), []
    for cell in cells:
        try:
            value = read(_written(cell, facts), facts, "x")
        except ValueError:
            value = None
        result.append(None if value != value else value)
    return result


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    column = column_of(NUMBERS[name] * 5)
    assert column.kind == "number"
    cells = damaged(NUMBERS[name], 0)
    expected = [
        None if value in (np.inf, -np.inf) else value for value in column.cells.known(pl.Series(cells)).to_list()
    ]
    found = read_by_the_program(cells, column, _number)
    assert [row for row in zip(cells, found, expected, strict=True) if row[1] != row[2]] == []


@pytest.mark.parametrize("form", FORMATS)
def test_dates(form: str) -> None:
    moments = [dt.datetime(2021, 3, 13, 12, 30, 5) + dt.timedelta(hours=737 * k) for k in range(60)]
    cells = [moment.strftime(form) for moment in moments]
    column = column_of(cells)
    assert column.kind == "date"
    assert column.cells.values(pl.Series(cells)).dt.year().to_list()[:3] == [2021] * 3
    cells = damaged(cells[:8], 1)
    found, expected = read_by_the_program(cells, column, _moment), column.cells.known(pl.Series(cells)).to_list()
    assert [row for row in zip(cells, found, expected, strict=True) if row[1] != row[2]] == []


LEVELS: dict[str, list[Any]] = {
    "codes": ["02134", "10001", "00501"],
    "numbers": ["1.0", "2.5", "1e3"],
    "times of day": ["12:30:00", "1:15", "00:00:05.500"],
    "lengths of time": ["1:00:00", "2 days, 3:00:00", "0:00:01"],
    "days": ["2021-03-01", "2021-04-01", "2020-01-01"],
    "truths": ["True", "False", "unknown"],
    "words": ["flat", "house", "Hütte"],
}
TYPED: list[Any] = [
    *(1, 1.0, 2134, 2.5, 1000.0, True, False, 0, "1.00", "2134.0", "true", "2021-03-01 00:00:00"),
    *(dt.date(2021, 3, 1), dt.datetime(2021, 4, 1), dt.time(12, 30), dt.time(1, 15), dt.time(0, 0, 5, 500_000)),
    *(dt.timedelta(hours=1), dt.timedelta(days=2, hours=3), dt.timedelta(seconds=1), "12:30", "01:15:00", "1:00:00"),
]


@pytest.mark.parametrize("name", LEVELS)
def test_levels(name: str) -> None:
    frame = pl.DataFrame({"x": LEVELS[name] * 5})
    column = column_of(LEVELS[name] * 5, "category")
    encoder = TableEncoder.fit(frame, (column,))
    for cell in (*LEVELS[name], *TYPED):
        code = int(encoder.encode(pl.DataFrame({"x": [cell]})).codes.item())
        assert _code(_written(cell, column.cells.to_json()), list(encoder.vocabularies["x"])) == code, cell
    typed = {"times of day": dt.time(12, 30), "lengths of time": dt.timedelta(hours=1), "days": dt.date(2021, 3, 1)}
    if name in typed:
        code = int(encoder.encode(pl.DataFrame({"x": [typed[name]]})).codes.item())
        assert encoder.levels("x")[code] == LEVELS[name][0]


def test_truths() -> None:
    for words in (["yes", "no"], ["1.0", "0.0"], ["Y", "N"], ["true", "unknown"], ["male", "female"]):
        column = column_of(words * 10)
        encoder = TableEncoder.fit(pl.DataFrame({"x": words * 10}), (column,))
        truths = encoder.truths.get("x")
        for cell in (*words, "Yes", " no ", "T", "1", "0.0", 1, 0.0, True, False, 2, "male "):
            value = encoder.encode(pl.DataFrame({"x": [cell]})).numbers.item()
            program = _truth(_written(cell, column.cells.to_json()), None if truths is None else list(truths))
            np.testing.assert_equal(program, value, err_msg=f"{words} {cell}")
