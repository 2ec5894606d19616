"""Parquet files: as bytes; and whether pages hold no more than their columns have, which Polars trusts, and ends over.

A page says how many values it holds; Polars allocates for that number, and where one damaged bit makes it 2^61 the
process is aborted, which nothing can catch. Pages' heads, in Thrift's compact protocol, are read here before.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import polars as pl

HEAD = 4096  # bytes, of which a page's head, with its statistics, takes about 30
DEEPEST, LONGEST = 16, 70  # structs within one another; bits of a number
MOST_EMPTY = 1000  # pages without values that are followed
_DATA, _DICTIONARY, _DATA_V2 = 5, 7, 8  # fields of a page's head


def parquet_bytes(frame: pl.DataFrame, metadata: Mapping[str, str] | None = None) -> bytes:
    """A table as the bytes of a Parquet file."""
    content = io.BytesIO()
    frame.write_parquet(content, metadata=None if metadata is None else dict(metadata))
    return content.getvalue()


def require_sound_pages(source: Path | bytes) -> None:
    """ValueError where a page says that it holds fewer values than none, or more than its column has.

    What cannot be followed is left to Polars, whose own errors say what is wrong with it.

    >>> import polars as pl
    >>> require_sound_pages(parquet_bytes(pl.DataFrame({"a": [1.5, 2.5]})))
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        try:
            columns = _columns(file)
        except (IndexError, KeyError, TypeError, RecursionError, OverflowError, OSError):
            return
        for column in columns:
            _walk(file, column)


def _columns(file: BinaryIO) -> list[dict[int, Any]]:
    """What the footer says of each column of each group of rows."""
    end = file.seek(-8, io.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(max(0, end - length))
    footer, _ = _struct(file.read(length), 0)
    return [column[3] for group in footer[4] for column in group[1] if 1 not in column]  # 1: of another file


def _walk(file: BinaryIO, column: dict[int, Any]) -> None:
    """The pages of a column, from the first to the one that completes its values."""
    try:
        left, dictionary = column[5], column.get(11, 0)
        at = min(dictionary, column[9]) if dictionary > 0 else column[9]
        empty = 0
        while left > 0 and empty < MOST_EMPTY:
            file.seek(at)
            head, size = _struct(file.read(HEAD), 0)
            page = head.get(_DATA) or head.get(_DATA_V2) or {1: 0}
            values, coded = page[1], head.get(_DICTIONARY, {1: 0})[1]
            if not (0 <= values <= left and 0 <= coded <= max(0, head[2]) and head[3] >= 0):
                raise ValueError(f"a page says that it holds {values or coded:,} values of a column of {column[5]:,}")
            left, at, empty = left - values, at + size + head[3], empty + (values == 0)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a struct by their numbers, and where it ends. IndexError where the bytes do."""
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            number, at = _integer(data, at)
        fields[number], at = _value(head & 15, data, at, depth)
    return fields, at + 1


def _value(kind: int, data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise RecursionError
    match kind:
        case 1 | 2:  # the kind of a field is its truth
            return kind == 1, at
        case 3:
            return data[at], at + 1
        case 4 | 5 | 6:
            return _integer(data, at)
        case 7:
            return None, _within(data, at + 8)
        case 8:
            size, at = _unsigned(data, at)
            return None, _within(data, at + size)
        case 9 | 10:
            return _list(data, at, depth)
        case 12:
            return _struct(data, at, depth + 1)
    raise KeyError(kind)


def _within(data: bytes, at: int) -> int:
    if at > len(data):
        raise IndexError
    return at


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    count, kind, at = data[at] >> 4, data[at] & 15, at + 1
    if count == 15:
        count, at = _unsigned(data, at)
    if count > len(data) - at:  # each takes a byte at least
        raise IndexError
    found = []
    for _ in range(count):
        value, at = (data[at], at + 1) if kind in (1, 2) else _value(kind, data, at, depth)
        found.append(value)
    return found, at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > LONGEST:
            raise OverflowError


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A number whose lowest bit is its sign."""
    value, at = _unsigned(data, at)
    return (value >> 1) ^ -(value & 1), at
