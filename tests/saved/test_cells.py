"""Predictions as CSV: what a spreadsheet would run stays text."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest

from luthier.data import Task, infer_columns
from luthier.data.encode import TableEncoder
from luthier.data.preprocess import Preprocess
from luthier.data.typed_columns.columns import Column
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.nets import DenseSpec, build
from luthier.saved import AskedColumns, Model, predict_file
from luthier.saved.model_schemas import _Style

FORMULA = "=HYPERLINK(A1)"
ROWS = pl.DataFrame({"x": [1.0, 2.0, 3.0], "@note": [FORMULA, "-1.5", "plain"]})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose every prediction is a formula."""
    encoder = TableEncoder.fit(ROWS, (Column("x", "number", True, ""),))
    preprocess = Preprocess.fit(encoder.encode(ROWS).numbers)
    net = build(DenseSpec(inputs=1, hidden=(), outputs=1), seed=0)
    Model(Task("binary", "y", (FORMULA, "no")), encoder, preprocess, (net,), (1.0,), threshold=1.0).save(tmp_path / "m")
    ROWS.write_csv(tmp_path / "rows.csv")
    return tmp_path / "m"


@pytest.mark.parametrize(
    ("safe_cells", "header", "notes", "prediction"),
    [
        (None, "@note", [FORMULA, "-1.5", "plain"], f"'{FORMULA}"),
        (True, "'@note", [f"'{FORMULA}", "-1.5", "plain"], f"'{FORMULA}"),
        (False, "@note", [FORMULA, "-1.5", "plain"], FORMULA),
    ],
)
def test_formulas_are_text(
    model: Path, safe_cells: bool | None, header: str, notes: list[str], prediction: str
) -> None:
    output = model.with_suffix(".csv")
    predict_file(model, str(model.with_name("rows.csv")), output, AskedColumns(safe_cells=safe_cells))
    written = pl.read_csv(output, infer_schema=False)
    assert written[header].to_list() == notes
    assert written["prediction"].to_list() == [prediction] * 3


def test_every_way_of_writing_numbers_is_kept_in_a_model(tmp_path: Path) -> None:
    cells = {
        "magnitudes": ["1.2K", "3M", "450"],
        "minus": ["1234.50-", "56", "7-"],
        "clock": ["1:30 PM", "11:15 AM", "12:00 AM"],
        "brackets": ["$(1,234.50)", "$56", "$(7)"],
        "commas": ["1.234,5 kg", "2,5 kg", "3 kg"],
    }
    rows = pl.DataFrame(cells)
    encoder = TableEncoder.fit(rows, infer_columns(rows, target="", overrides={}))
    preprocess = Preprocess.fit(encoder.encode(rows).numbers)
    net = build(DenseSpec(inputs=len(cells), hidden=(), outputs=1), seed=0)
    Model(Task("binary", "y", ("no", "yes")), encoder, preprocess, (net,), (1.0,)).save(tmp_path / "m")
    kept = Model.load(tmp_path / "m").encoder
    assert isinstance(kept, TableEncoder)
    assert kept.columns == encoder.columns
    assert {field.name for field in fields(NumberStyle)} == set(_Style.__annotations__)
    styles = [column.cells.style.to_json() for column in encoder.columns]
    assert set().union(*styles) >= {field.name for field in fields(NumberStyle)}
