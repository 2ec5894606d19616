"""What a request may hold: the schema of a row, from the model's columns, and errors that name row and field."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import polars as pl

from luthier.data import Column, MixedEncoder, TableEncoder, with_values
from luthier.data.csv_text import open_csv
from luthier.data.dialect import Dialect
from luthier.data.typed_columns.numerals import in_marks_of
from luthier.data.values import styles_of
from luthier.errors import InputError, in_a_line
from luthier.records import JsonObject
from luthier.rows import Inputs
from luthier.serving.readers.batching import Rest, in_slices, others_first
from luthier.serving.readers.bodies import csv_parts, json_items
from luthier.serving.readers.cell_memory import MOST_ROWS, FewRows
from luthier.serving.readers.limits import LONGEST_ROW, SLICE, SMALL, Limits
from luthier.serving.readers.requests import MOST_ERRORS, SHOWN, RefusedError, limited, shown

PIECE, CELLS = 64, 2048  # rows, and cells of them, that are read and predicted at a time
CELLS_OF_TEXT = 64  # that one cell of text takes as long as
CELL = 64  # characters of a cell, of a row of very many that may be longer than most
FEW = 8  # rows whose dates are looked at one by one
EXAMPLE = '{"rows": [{...}, ...]}'
EXPECTED = {
    "number": "a number or null",
    "boolean": "true, false or null",
    "category": "text, a number, true, false or null",
    "date": "a date as text, or null",
    "text": "text or null",
    "picture": "a picture as base64, or null",
}
TYPES: dict[str, list[str]] = {
    "number": ["number", "null"],
    "boolean": ["boolean", "string", "number", "null"],
    "category": ["string", "number", "boolean", "null"],
    "date": ["string", "null"],
    "text": ["string", "null"],
    "picture": ["string", "null"],
}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # a black one
EXAMPLES: JsonObject = {
    "number": 0.0,
    "boolean": True,
    "category": "unknown",
    "text": "some words",
    "picture": PIXEL,
}
EXAMPLE_DATE = datetime(2025, 1, 31, 12)
LARGEST_NUMBER = 1.7e308  # of float64
_ABSENT = object()
RowEncoder = TableEncoder | MixedEncoder


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

    def __init__(self, encoder: RowEncoder, typical: Mapping[str, Any]) -> None:
        self._encoder, self._typical = encoder, typical
        self._large = asyncio.Lock()  # large bodies are read one after another, small ones between their slices
        self.quick = encoder.medium == "table"  # so that each cell is encoded by itself
        self._few = FewRows(encoder) if isinstance(encoder, TableEncoder) and self.quick else None

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
        """The rows of a body, at most so many. RefusedError with every field that is wrong, the first twenty."""
        return _together(list(self._pieces(kind, body, most)))

    async def read_in_turns(
        self, kind: str, body: bytes, limits: Limits, rest: Rest = others_first
    ) -> list[RequestRows]:
        """The rows of a body in pieces, those of a large one in slices of time. RefusedError as of `read`."""
        if len(body) <= SMALL:
            return list(self._pieces(kind, body, limits.rows))
        async with self._large:
            return [piece async for piece in in_slices(self._pieces(kind, body, limits.rows), rest)]

    def _pieces(self, kind: str, body: bytes, most: int) -> Iterator[RequestRows]:
        return (from_csv if kind == "text/csv" else from_json)(body, self._encoder, most)

    def encode(self, pieces: Sequence[RequestRows]) -> Inputs:
        """The inputs of pieces, of one request or several."""
        rows = sum(len(piece) for piece in pieces)
        if self._few is None or rows > MOST_ROWS:
            return self._encoder.encode(frame_of(pieces))
        return self._few.encode((pieces[0] if len(pieces) == 1 else _together(pieces)).columns, rows)


def schema(columns: Sequence[Column]) -> JsonObject:
    """JSON Schema of {"rows": [...]}."""
    row: JsonObject = {
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
    """The same as a table."""
    rows = _together(requests)
    return pl.DataFrame([pl.Series(name, rows.columns[name], dtype=dtype) for name, dtype in rows.dtypes.items()])


def _together(pieces: Sequence[RequestRows]) -> RequestRows:
    """Pieces of the same columns as one."""
    columns = {name: [value for one in pieces for value in one.columns[name]] for name in pieces[0].dtypes}
    return RequestRows(columns, sum(map(len, pieces)), pieces[0].dtypes)


def from_json(body: bytes, encoder: RowEncoder, most: int) -> Iterator[RequestRows]:
    """The rows of a JSON body in pieces. RefusedError with every field that is wrong, the first twenty."""
    columns = encoder.columns
    named = {column.name: column for column in columns}
    rows = json_items(body, "rows", EXAMPLE, max(LONGEST_ROW, CELL * len(columns)))
    errors: list[JsonObject] = []
    start, size = 0, _piece(columns)
    while piece := list(_some(rows, size)):
        limited(start + len(piece), most, "rows")
        result = list(islice(_wrong_in(piece, start, named), MOST_ERRORS))
        if not result:
            values = {name: _plain([row[name] for row in piece], column, encoder) for name, column in named.items()}
            result = _undated(values, start, columns)
            if not errors and not result:
                yield RequestRows(values, len(piece), _dtypes(columns))
        errors += result
        if len(errors) >= MOST_ERRORS:
            break
        start += len(piece)
    _refuse(errors)


def _some(rows: Iterator[Any], most: int) -> Iterator[Any]:
    """The next rows, so many or what takes a slice of time: some are a megabyte."""
    began = time.perf_counter()
    for row in islice(rows, most):
        yield row
        if time.perf_counter() - began > SLICE:
            return


def _wrong_in(rows: Sequence[Any], start: int, named: Mapping[str, Column]) -> Iterator[JsonObject]:
    """What is wrong with rows, of which the first has the number `start`."""
    for place, row in enumerate(rows, start):
        if not isinstance(row, dict):
            yield _error(place, "", "an object", shown(row))
            continue
        if row.keys() - named.keys():
            unknown = [name for name in row if name not in named]
            yield from (_error(place, name[:SHOWN], "a column of the model", "an unknown column") for name in unknown)
        for name, column in named.items():
            value = row.get(name, _ABSENT)
            if value is _ABSENT:
                yield _error(place, name, EXPECTED[column.kind], "nothing")
            elif not _fits(value, column.kind):
                yield _error(place, name, EXPECTED[column.kind], shown(row[name]))


def from_csv(body: bytes, encoder: RowEncoder, most: int) -> Iterator[RequestRows]:
    """The rows of a CSV body with a header, in pieces, read as `luthier predict` reads a file.

    RefusedError where columns are missing, or cells cannot be read as the numbers and dates of training.
    """
    columns = encoder.columns
    errors: list[JsonObject] = []
    start, dialect = 0, None
    for part in csv_parts(body, len(columns), max(LONGEST_ROW, CELL * len(columns))):
        frame, dialect = _table(part, columns, dialect)
        limited(start + len(frame), most, "rows")
        result = [error for column in columns for error in _lost(frame[column.name], start, column)]
        if not errors and not result:
            values = _typed(frame, columns).to_dict(as_series=False)
            yield from _cut(RequestRows(values, len(frame), _dtypes(columns)), _piece(columns))
        errors += result
        if len(errors) >= MOST_ERRORS:
            break
        start += len(frame)
    _refuse(errors)
    if not start:
        raise RefusedError(422, "there is no row")


def _table(content: bytes, columns: Sequence[Column], known: Dialect | None) -> tuple[pl.DataFrame, Dialect]:
    """The table in a piece of CSV, every cell as text, and how it is written: as `known` from an earlier piece."""
    if b"\n" not in content.strip():
        raise RefusedError(422, "there is no row")
    try:
        table = open_csv(content, "the body", known)
        frame = in_marks_of(table.frame(), styles_of(columns), table.dialect.decimal)
    except InputError as error:
        raise RefusedError(400, f"the body is not CSV: {in_a_line(error)}") from None
    missing = [column.name for column in columns if column.name not in frame.columns]
    if missing:
        errors = [_error(0, name, "a column", "nothing") for name in missing]
        raise RefusedError(422, f"columns are missing: {', '.join(missing[:8])}", errors)
    return frame, table.dialect


def _lost(cells: pl.Series, start: int, column: Column) -> list[JsonObject]:
    """What of a column of text cannot be read as numbers or dates; the first row has the number `start`."""
    if column.kind not in ("number", "date") or column.cells.lenient:
        return []
    expected = (
        EXPECTED["number"] if column.kind == "number" else f"a date in the format {column.cells.pattern}, or nothing"
    )
    return [
        _error(start + int(row), column.name, expected, shown(cells[int(row)]))
        for row in column.cells.lost(cells).arg_true()[:MOST_ERRORS]
    ]


def _typed(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The columns of the model, numbers as numbers."""
    used = with_values(frame, [column for column in columns if column.kind == "number"])
    return used.select([column.name for column in columns])


def _undated(values: Mapping[str, list[Any]], start: int, columns: Sequence[Column]) -> list[JsonObject]:
    """The cells that should be dates as in training and are not."""
    errors: list[JsonObject] = []
    for column in columns:
        if column.kind == "date":
            cells, pattern = values[column.name], column.cells.pattern
            if len(cells) <= FEW and all(cell is None or _is_plain_date(cell, pattern) for cell in cells):
                continue
            errors += _lost(pl.Series(cells, dtype=pl.String), start, column)
    return errors


def _is_plain_date(text: str, pattern: str) -> bool:
    """Whether a text is just how a date is written, so that Polars need not be asked: a call of it is 0.1 ms."""
    try:
        return datetime.strptime(text, pattern).strftime(pattern) == text
    except ValueError:
        return False


def _piece(columns: Sequence[Column]) -> int:
    """How many rows make a piece."""
    cells = sum(CELLS_OF_TEXT if column.kind in ("text", "picture") else 1 for column in columns)
    return min(PIECE, max(1, CELLS // max(1, cells)))


def _cut(rows: RequestRows, size: int) -> Iterator[RequestRows]:
    """Many rows in pieces."""
    for start in range(0, len(rows), size):
        columns = {name: values[start : start + size] for name, values in rows.columns.items()}
        yield RequestRows(columns, min(size, len(rows) - start), rows.dtypes)


def _error(row: int, field: str, expected: str, received: str) -> JsonObject:
    return {"row": row, "field": field, "expected": expected, "received": received}


def _refuse(errors: Sequence[Mapping[str, Any]]) -> None:
    if errors:
        more = " or more" if len(errors) > MOST_ERRORS else ""
        count = min(len(errors), MOST_ERRORS)
        raise RefusedError(422, f"{count}{more} field{'s' * (count > 1)} cannot be used", errors)


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return True
    if kind == "number":
        return -LARGEST_NUMBER < value < LARGEST_NUMBER if type(value) is float else _is_number(value)
    if isinstance(value, str):
        return _is_whole(value)
    return kind in ("boolean", "category") and (isinstance(value, bool) or _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER


def _is_whole(text: str) -> bool:
    """Whether every character is one: JSON can name halves of a pair (surrogates), which nothing else can hold."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(values: list[Any], column: Column, encoder: RowEncoder) -> list[Any]:
    """A column's cells, of one type: numbers, or text in which a typed cell has become the level that it means."""
    if column.kind == "number":
        return [None if v is None or v != v else float(v) for v in values]  # what is NaN is not itself
    return [v if v is None or isinstance(v, str) else encoder.level_of(column.name, v) for v in values]


def _dtypes(columns: Sequence[Column]) -> dict[str, type[pl.DataType]]:
    return {column.name: pl.Float64 if column.kind == "number" else pl.String for column in columns}
