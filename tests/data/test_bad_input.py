"""Every kind of unusable input ends in a message that says what was expected and what came."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from luthier.data import infer_columns, infer_task, read_batches, read_source, split_rows, with_values
from luthier.errors import InputError


def message(call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_file_offers_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_text("a,b\n1,2\n")
    assert "did you mean 'houses.csv'?" in message(read_source, tmp_path / "house.csv")
    assert "did you mean 'digits'?" in message(read_source, "digit")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"a,b\n", "has no rows"),
        (b"a,b,a\n1,2,3\n", "more than once: a"),
        (b"a,b\n1,2\n3\n4,5\n", "line 3 of 'x.csv' has 1 cells"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 of 'x.csv' has 3 cells"),
        (bytes(range(256)) * 20, "not a text file"),
        (b"PAR1 and then nothing of use", "not a complete Parquet file"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert said in message(read_source, path)


@pytest.mark.parametrize("read", [pl.read_csv, read_source])
def test_infinite_numbers(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    """Typed cells are looked at where they are read, text where it becomes a number."""
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,inf\n2,3\n4,5\n")

    def columns() -> None:
        frame = read_source(read(path)).frame if read is pl.read_csv else read(path).frame
        with_values(frame, infer_columns(frame, target="a", overrides={}))

    assert "1 infinite value, the first in row 1" in message(columns)


def test_a_parquet_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": list(range(1000))}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a complete Parquet file" in message(read_source, path)


@pytest.mark.parametrize(
    "page", [b"\x2c\x15\xd1\x0f", b"\x2c\x15\xd2\x0f"]
)  # -1001 and 1001 values, the latter in 1000 rows
def test_a_parquet_file_whose_pages_hold_more_than_its_rows(page: bytes, tmp_path: Path) -> None:
    """Polars allocates what a page says that it holds, and aborts the process where that is 2^61."""
    path = tmp_path / "x.parquet"
    pl.DataFrame({"a": np.random.default_rng(0).normal(size=1000)}).write_parquet(path, data_page_size=1 << 20)
    content = path.read_bytes()
    assert content.count(b"\x2c\x15\xd0\x0f") == 1
    path.write_bytes(content.replace(b"\x2c\x15\xd0\x0f", page))
    for read in (read_source, partial(read_source, memory=1), lambda path: read_source(path.parent)):
        assert "a page says that it holds" in message(read, path)


def test_a_column_of_lists() -> None:
    assert "column 'a' holds list" in message(read_source, pl.DataFrame({"a": [[0.5], [2.5]], "b": [1, 2]}))


def test_an_unknown_target_offers_the_nearest_name() -> None:
    frame = pl.DataFrame({"price": [1.0, 2.0], "size": [1.0, 2.0]})
    assert "did you mean 'price'?" in message(read_source, frame, target="prize")


@pytest.mark.parametrize(
    ("values", "said"),
    [([None, None], "every value of the target `y` is missing"), ([1, 1, 1], "has only one value")],
)
def test_targets_that_teach_nothing(values: list[object], said: str) -> None:
    assert said in message(infer_task, pl.Series("y", values, dtype=pl.Int64))


def test_two_rows_are_too_few() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    assert "2 rows" in message(split_rows, frame, task=infer_task(frame["y"]), seed=0)


def test_all_wrong_overrides_are_told_at_once() -> None:
    frame = pl.DataFrame({"cut": ["a", "b"], "y": [1, 2]})
    said = message(infer_columns, frame, target="y", overrides={"cutt": "text", "cut": "numbr"})
    assert "did you mean 'cut'?" in said
    assert "did you mean 'number'?" in said


def test_arrays_that_do_not_fit() -> None:
    assert "X of shape (3, 2), y of shape (4,)" in message(read_source, (np.zeros((3, 2)), np.zeros(4)))


def test_columns_of_the_same_name_in_frames_are_named() -> None:
    columns = np.zeros((20, 3))
    for frame in (
        pd.DataFrame(columns, columns=["a", "b", "a"]),
        pd.DataFrame(columns, columns=["a", 1, "1"]).rename(columns={"1": "a"}),
        pa.table([pa.array(column) for column in columns.T], names=["a", "a", "b"]),
    ):
        said = message(read_source, frame)
        assert "the frame has columns of the same name" in said
        assert "more than once: a" in said


@pytest.mark.parametrize("name", ["*", "^a.*$"])
def test_names_that_stand_for_other_columns_are_refused(name: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], name: [3, 4]})
    frame.write_csv(tmp_path / "x.csv")
    frame.write_parquet(tmp_path / "x.parquet")
    for source in (frame, frame.to_pandas(), frame.to_arrow(), tmp_path / "x.csv", tmp_path / "x.parquet"):
        assert "names stand for other columns" in message(read_source, source)


def test_arrays_may_be_tensors_of_every_kind() -> None:
    X, y = torch.arange(40.0).view(20, 2).requires_grad_(), torch.arange(20, dtype=torch.bfloat16)
    result = read_source((X, y)).frame
    assert result["x1"].to_list() == [1.0 + 2 * k for k in range(20)]
    assert result["y"].to_list() == [float(k) for k in range(20)]


def test_a_frame_and_a_series_keep_their_names() -> None:
    table = pl.DataFrame({"size": [1.0, 2.0], "kind": ["a", "b"], "price": [3, 4]})
    for frame in (table, table.to_pandas()):
        assert read_source((frame[["size", "kind"]], frame["price"])).frame.columns == table.columns


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_must_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    path.chmod(0)
    for read in (read_source, lambda path: list(read_batches(path, 2))):
        assert "cannot be read" in message(read, path)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Standard:
        buffer = io.BytesIO(b"a;b\n1,5;x\n2,5;y\n")

    monkeypatch.setattr(sys, "stdin", Standard)
    result = read_source("-")
    assert (result.frame["a"].to_list(), result.decimal) == (["1,5", "2,5"], ",")
    assert any("decimal commas" in note for note in result.notes)


def test_latin_1_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("stadt\tn\nKöln\t1\nMünchen\t2\n".encode("latin-1"))
    result = read_source(path)
    assert result.frame["stadt"].to_list() == ["Köln", "München"]
    assert any("Latin-1" in note for note in result.notes)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("\ufeffa,b\n1,2\n".encode())
    assert read_source(path).frame.columns == ["a", "b"]


ENDLESS = (  # a list of 2^59 numbers, in a footer of two hundred bytes
    "UEFSMRUEFswBJlwmCBw2APf39/f39/f39/f39/f39/f39/f39/f391AAFff39/f39zr39/f39/f39/f39/f39/f3APf3KAgDAAAAAAAAABgIAQAA"
    "CAAAFgYWsAEWzAEmXCYIHDYAKAgDAAAAAAAAABgIAQAqAAAAAAAAABb8BBUUFvX39/f39/f39/f39/f39/f39/f39/f39/f39/f39/dQABX39/f3"
    "9/c69/f39/cZ9/f39/f39/f39/cA9/f39/f39/f39/f39/f39/f392T9FT4AAABQQVIx"
)


def test_a_parquet_footer_without_end_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(base64.b64decode(ENDLESS))
    assert "not a complete Parquet file" in message(read_source, tmp_path / "x.parquet")
