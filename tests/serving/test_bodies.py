"""Bodies read a window at a time, beside `json` and `csv`, which read them whole."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.serving.readers import bodies
from luthier.serving.readers.bodies import csv_parts, json_items
from luthier.serving.readers.requests import RefusedError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def whole(body: bytes) -> list[Any] | None:
    """The rows by `json.loads`; nothing where the body is another."""
    try:
        result = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return result["rows"] or None if isinstance(result, dict) and set(result) == {"rows"} else None


@pytest.fixture(params=[16, 100, 32 << 10])
def window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(bodies, "WINDOW", request.param)
    monkeypatch.setattr(bodies, "SMALL", 0)
    return int(request.param)


def test_any_rows_are_read_as_json_reads_them(window: int) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(VALUES, min_size=1, max_size=12), st.booleans(), st.sampled_from([None, 1]))
    def holds(rows: list[Any], ascii_only: bool, indent: int | None) -> None:
        body = json.dumps({"rows": rows}, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
        if whole(body) is not None:
            assert list(json_items(body, "rows", "")) == rows

    holds()


def test_any_damage_is_seen(window: int) -> None:
    """A byte is changed: both read the same rows, or both none."""

    @settings(max_examples=100, deadline=None, derandomize=True)
    @given(st.lists(VALUES, min_size=1, max_size=6), st.data())
    def holds(rows: list[Any], data: st.DataObject) -> None:
        body = bytearray(json.dumps({"rows": rows}).encode())
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.sampled_from(b'"{}[],:a0 \\\xff'))
        wanted = whole(bytes(body))
        try:
            result = list(json_items(bytes(body), "rows", ""))
        except RefusedError:
            assert wanted is None
        else:
            assert repr(result) == repr(wanted)

    holds()


def test_any_table_is_read_as_csv_reads_it(window: int) -> None:
    cells = st.sampled_from(["a", "1.5", "", "x,y", "l\nm", 'q"q', '"', "\n", "a longer cell"])

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=30), st.sampled_from(["\n", "\r\n"]))
    def holds(rows: list[list[str]], end: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator=end).writerows([["A", "B\nC", "D"], *rows])
        parts = [
            list(csv.reader(io.StringIO(part.decode(), newline=""))) for part in csv_parts(text.getvalue().encode(), 3)
        ]
        assert all(part[0] == ["A", "B\nC", "D"] for part in parts)
        assert [row for part in parts for row in part[1:]] == rows

    holds()


@pytest.mark.parametrize(
    "row",
    [
        b'"' + b"a" * 2_000_000 + b'"',
        b"[" + b"[]," * 700_000 + b"[]]",
        b"1" * 2_000_000,
        b'"' + b"\\u0041" * 400_000 + b'"',
    ],
)
def test_a_row_is_read_no_further_than_it_may_be_long(row: bytes) -> None:
    body = b'{"rows": [1, %b]}' % row
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError) as refused:
            list(json_items(body, "rows", "", longest=100_000))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000  # of the 100 million that all of the lists take
    finally:
        tracemalloc.stop()
    assert (refused.value.status, refused.value.sentence) in (
        (413, "item 1 is longer than 100,000 characters"),
        (400, refused.value.sentence),  # a number of a million digits
    )


@pytest.mark.parametrize("body", [b"a,b\n" + b"x" * 2_000_000, b'a,b\n"' + b"x\n" * 1_000_000, b"a" * 2_000_000])
def test_a_record_is_read_no_further_than_it_may_be_long(body: bytes) -> None:
    with pytest.raises(RefusedError, match="longer than") as refused:
        list(csv_parts(body, 2, longest=100_000))
    assert refused.value.status == 413


def test_a_header_has_not_any_number_of_columns() -> None:
    with pytest.raises(RefusedError, match="at most 10,002 columns"):
        list(csv_parts(b"," * 200_000 + b"\n1\n", 2))


@pytest.mark.parametrize(
    ("second", "key"),
    [(b'{"a": 1, "a": 2}', "a"), (b'{"a": 1, "b": 1, "\\u0061": 1}', "a"), (b'{"b": {"c": 1, "c": 1}}', "c")],
)
def test_an_object_with_a_key_twice_is_refused(second: bytes, key: str) -> None:
    with pytest.raises(RefusedError, match=f'item 1 has the key "{key}" twice') as refused:
        list(json_items(b'{"rows": [{"a": 1}, %b]}' % second, "rows", ""))
    assert refused.value.status == 422
    assert refused.value.errors[0] == {
        "row": 1,
        "field": key,
        "expected": "each field once",
        "received": "the same field twice",
    }
