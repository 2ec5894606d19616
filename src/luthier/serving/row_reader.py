"""What a request may hold: the schema of a row, from the model's columns, and errors that name row and field."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from torch import Tensor

from luthier.data import TableEncoder, with_values
from luthier.data.columns import Column
from luthier.data.csv_text import cells_of, open_csv
from luthier.errors import InputError, in_a_line
from luthier.serving.requests import MOST_ERRORS, RefusedError, items_of, limited, shown

FEW = 64  # rows of numbers that take less than handing them to a thread
EXPECTED = {
    "number": "a number or null",
    "boolean": "true, false or null",
    "category": "text, a number, true, false or null",
    "date": "a date as text, or null",
    "text": "text or null",
}
TYPES: dict[str, list[str]] = {
    "number": ["number", "null"],
    "boolean": ["boolean", "string", "number", "null"],
    "category": ["string", "number", "boolean", "null"],
    "date": ["string", "null"],
    "text": ["string", "null"],
}
EXAMPLES: dict[str, Any] = {"number": 0.0, "boolean": True, "category": "unknown", "text": "some words"}
EXAMPLE_DATE = datetime(2025, 1, 31, 12)
LARGEST_NUMBER = 1.7e308  # of float64


@dataclass(frozen=True)
class RequestRows:
    """A request's rows, column by column: numbers, or the text of cells that their columns' parsers read; None where
    missing."""

    columns: Mapping[str, list[Any]]
    count: int
    dtypes: Mapping[str, type[pl.DataType]]

    def __len__(self) -> int:
        return self.count


class RowReader:
    """Requests of a model of tables or text: {"rows": [{...}, ...]}, or CSV with a header."""

    decodes = False

    def __init__(self, encoder: TableEncoder, typical: Mapping[str, Any]) -> None:
        self._encoder, self._typical = encoder, typical
        self.few = 0 if encoder.words else FEW

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them, each with a typical row."""
        names = ",".join(column.name for column in self._encoder.columns)
        row = {column.name: _example(column, self._typical.get(column.name)) for column in self._encoder.columns}
        csv = {
            "schema": {"type": "string", "description": f"a header and rows: {names}"},
            "example": pl.DataFrame([row]).write_csv(),
        }
        rows = {"schema": schema(self._encoder.columns), "example": {"rows": [row]}}
        return {"application/json": rows, "text/csv": csv}

    def read(self, kind: str, body: bytes, most: int) -> RequestRows:
        """The rows of a body. RefusedError with every field that is wrong, the first twenty."""
        return (from_csv if kind == "text/csv" else from_json)(body, self._encoder, most)

    def encode(self, requests: Sequence[RequestRows]) -> tuple[Tensor, Tensor]:
        """Numbers [N, F] and codes [N, K] of several requests."""
        return self._encoder.encode(frame_of(requests))


def schema(columns: Sequence[Column]) -> dict[str, Any]:
    """JSON Schema of {"rows": [...]}."""
    row = {
        "type": "object",
        "additionalProperties": False,
        "required": [column.name for column in columns],
        "properties": {
            column.name: {"type": TYPES[column.kind], "description": EXPECTED[column.kind]} for column in columns
        },
    }
    return {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {"rows": {"type": "array", "minItems": 1, "items": row}},
    }


def _example(column: Column, typical: Any) -> Any:
    """A value to begin with; none is null, which FastAPI would leave out of its page."""
    if column.kind == "date":
        pattern = column.cells.pattern
        return EXAMPLE_DATE.strftime(pattern) if "%" in pattern else EXAMPLE_DATE.date().isoformat()
    return EXAMPLES[column.kind] if typical is None else typical


def frame_of(requests: Sequence[RequestRows]) -> pl.DataFrame:
    """The rows of several requests under each other."""
    return pl.DataFrame(
        [
            pl.Series(name, [value for one in requests for value in one.columns[name]], dtype=dtype)
            for name, dtype in requests[0].dtypes.items()
        ]
    )


def from_json(body: bytes, encoder: TableEncoder, most: int) -> RequestRows:
    """The rows of a JSON body. RefusedError with every field that is wrong, the first twenty."""
    columns = encoder.columns
    rows = items_of(body, "rows", '{"rows": [{...}, ...]}', most)
    named = {column.name: column for column in columns}
    errors: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        if len(errors) >= MOST_ERRORS:
            break
        if not isinstance(row, dict):
            errors.append({"row": place, "field": "", "expected": "an object", "received": shown(row)})
            continue
        errors += [
            {"row": place, "field": name, "expected": "a column of the model", "received": "an unknown column"}
            for name in row
            if name not in named
        ]
        for name, column in named.items():
            if name not in row:
                errors.append({"row": place, "field": name, "expected": EXPECTED[column.kind], "received": "nothing"})
            elif not _fits(row[name], column.kind):
                errors.append(
                    {"row": place, "field": name, "expected": EXPECTED[column.kind], "received": shown(row[name])}
                )
    if errors:
        raise RefusedError(422, f"{len(errors)} fields cannot be used", errors)
    return RequestRows(
        {name: _plain([row[name] for row in rows], column, encoder) for name, column in named.items()},
        len(rows),
        _dtypes(columns),
    )


def from_csv(body: bytes, encoder: TableEncoder, most: int) -> RequestRows:
    """The rows of a CSV body with a header, read as `luthier predict` reads a file. RefusedError where it cannot be."""
    columns = encoder.columns
    try:
        frame = cells_of(open_csv(body, "the body"))
    except InputError as error:
        raise RefusedError(400, f"the body is not CSV: {in_a_line(error)}") from None
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing or not len(frame):
        message = f"columns are missing: {', '.join(missing[:8])}" if missing else "there is no row"
        raise RefusedError(
            422, message, [{"row": 0, "field": name, "expected": "a column", "received": "nothing"} for name in missing]
        )
    limited(len(frame), most, "rows")
    errors = [error for column in columns for error in _lost(frame[column.name], column)]
    if errors:
        raise RefusedError(422, f"{len(errors)} fields cannot be used", errors)
    used = with_values(frame, [column for column in columns if column.kind == "number"])
    used = used.select([column.name for column in columns])
    return RequestRows(used.to_dict(as_series=False), used.height, _dtypes(columns))


def _lost(cells: pl.Series, column: Column) -> list[dict[str, Any]]:
    """What of a column of text cannot be read as numbers or dates."""
    if column.kind not in ("number", "date") or column.cells.lenient:
        return []
    lost = column.cells.lost(cells)
    expected = EXPECTED["number"] if column.kind == "number" else f"a date, {column.cells.pattern}, or nothing"
    return [
        {"row": int(row), "field": column.name, "expected": expected, "received": shown(cells[int(row)])}
        for row in lost.arg_true()
    ]


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return True
    if kind == "number":
        return _is_number(value)
    if kind in ("boolean", "category"):
        return isinstance(value, str | bool) or _is_number(value)
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _plain(values: list[Any], column: Column, encoder: TableEncoder) -> list[Any]:
    """A column's cells, of one type: numbers, or text in which a typed cell has become the level that it means."""
    if column.kind == "number":
        return [None if v is None or math.isnan(v) else float(v) for v in values]
    return [v if v is None or isinstance(v, str) else encoder.level_of(column.name, v) for v in values]


def _dtypes(columns: Sequence[Column]) -> dict[str, type[pl.DataType]]:
    return {column.name: pl.Float64 if column.kind == "number" else pl.String for column in columns}
