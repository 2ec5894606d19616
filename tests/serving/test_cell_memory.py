"""Few rows are encoded without a table, to the numbers and codes that a table gives."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch
from tests.serving import models

from luthier.serving.readers import cell_memory
from luthier.serving.readers.cell_memory import MOST_ROWS, FewRows
from luthier.serving.readers.row_reader import RequestRows, RowReader, from_csv, from_json

CELLS = {
    "size": [3.25, 1e-300, -0.0, 7, 1.7e307, None],
    "kind": ["red", " red ", "RED", "", None, "never seen", "\u00a0", "red\n", 3, True, "x" * 200],
    "old": ["true", "false", "True", "yes", "no", "1", "0", "maybe", None, True, False, 0, 1.0, ""],
    "day": ["2024-02-29", "2025-12-31", None, ""],
}


@pytest.fixture(scope="module")
def reader() -> RowReader:
    model = models.table()
    return RowReader(model.encoder, model.typical_row())  # type: ignore[arg-type]


def rows_of(reader: RowReader, count: int, seed: int) -> list[RequestRows]:
    """Requests of drawn rows, two or three each."""
    rng = np.random.default_rng(seed)
    rows = [{name: cells[rng.integers(len(cells))] for name, cells in CELLS.items()} for _ in range(count)]
    parts = np.array_split(np.arange(count), max(1, count // 2))
    bodies = [json.dumps({"rows": [rows[int(k)] for k in part]}).encode() for part in parts]
    return [piece for body in bodies for piece in from_json(body, reader._encoder, 100)]


@pytest.mark.parametrize("count", [1, 2, 7, MOST_ROWS, MOST_ROWS + 1])
def test_they_are_what_a_table_gives(reader: RowReader, count: int) -> None:
    """Again and again: by then most cells are known."""
    for seed in range(20):
        pieces = rows_of(reader, count, seed)
        frame = pl.DataFrame(
            [
                pl.Series(name, [value for piece in pieces for value in piece.columns[name]], dtype=dtype)
                for name, dtype in pieces[0].dtypes.items()
            ]
        )
        for given, wanted in zip(reader.encode(pieces).values(), reader._encoder.encode(frame).values(), strict=True):
            assert given.dtype == wanted.dtype
            torch.testing.assert_close(given, wanted, rtol=0, atol=0, equal_nan=True)


def test_rows_of_csv_are_what_a_table_gives(reader: RowReader) -> None:
    body = b"size,kind,old,day\n3.5,red,true,2024-02-29\n,,,\n1,blue,false,2025-01-01\n"
    (piece,) = from_csv(body, reader._encoder, 100)
    frame = pl.DataFrame([pl.Series(n, piece.columns[n], dtype=t) for n, t in piece.dtypes.items()])
    for given, wanted in zip(reader.encode([piece]).values(), reader._encoder.encode(frame).values(), strict=True):
        torch.testing.assert_close(given, wanted, rtol=0, atol=0, equal_nan=True)


def test_what_strangers_send_is_not_kept_for_ever(reader: RowReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_memory, "MOST_KEPT", 10)
    few = FewRows(reader._encoder)
    row = {"size": [1.0], "old": ["true"], "day": ["2024-02-29"]}
    for k in range(100):
        few.encode({**row, "kind": [f"level {k}"]}, 1)
        few.encode({**row, "kind": ["y" * (100 + k)]}, 1)
        kept = few._cells["kind"]._known
        assert len(kept) <= 10
        assert max(map(len, kept)) < 100  # type: ignore[arg-type]
