"""CSV as people write it: the cells that Python's csv module gives, read as a whole, in pieces and from the disk."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import TableEncoder, infer_columns, read_batches, read_source
from luthier.data.csv_regular import read_regular
from luthier.data.csv_text import CsvFile, open_csv
from luthier.data.dialect import Dialect
from luthier.data.text_bytes import look_through
from luthier.data.values import styles_of
from luthier.errors import InputError

Rows = list[list[str]]
STYLES = [
    getattr(csv, name)
    for name in ("QUOTE_MINIMAL", "QUOTE_ALL", "QUOTE_NONNUMERIC", "QUOTE_STRINGS")
    if hasattr(csv, name)
]
CELL = st.text(st.sampled_from([*"ab1\n\r\"',;|\t \\.-?ä€#", "\u2028", "\x0b"]), max_size=6)


@st.composite
def tables(draw: st.DrawFn) -> Rows:
    """Distinct names, then rows as long as these."""
    width = draw(st.integers(1, 4))
    names = draw(st.lists(st.text("abc, ;é", min_size=1, max_size=4), min_size=width, max_size=width))
    names = [f"{name}{k}" for k, name in enumerate(names)]
    return [names, *draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8))]


def written(rows: Rows, separator: str = ",", style: int = csv.QUOTE_MINIMAL, end: str = "\r\n") -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator, quoting=style, lineterminator=end).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()


def cells(text: str, separator: str = ",") -> list[tuple[str | None, ...]]:
    """What csv reads below the header, without lines of nothing, an empty cell as None."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    message = [row for row in rows if row and (len(header) == 1 or len(row) > 1 or row[0].strip())]
    return [tuple(cell or None for cell in row) for row in message]


@settings(deadline=None, max_examples=200)
@given(tables(), st.sampled_from(STYLES), st.sampled_from(["\r\n", "\n"]), st.sampled_from([",", ";", "\t", "|"]))
def test_whole_and_in_pieces_a_table_is_what_csv_reads(rows: Rows, style: int, end: str, separator: str) -> None:
    """The separator may be unclear in a table of a few odd cells, so the first line names it: Excel's way."""
    text = written(rows, separator, style, end)
    expected = cells(text, separator)
    table = open_csv(f"sep={separator}{end}{text}".encode(), "x.csv")
    if not expected or {len(row) for row in expected} != {len(rows[0])}:  # a writer may leave a carriage return bare
        if not table.dialect.escaped:
            with pytest.raises(InputError):
                table.frame()
        return
    assert table.columns == [name.strip() for name in rows[0]]
    assert table.frame().rows() == expected
    for block in (1, 7, 64):
        assert [row for frame in table.frames(block) for row in frame.rows()] == expected


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from([*'ab""\n\n\r,, \\'])), st.integers(1, 40))
def test_whatever_text_it_is_cells_are_those_of_csv_or_a_line_is_complained_of(text: str, block: int) -> None:
    text = f"p,q\n{text}"
    expected, end = cells(text), list(csv.reader(io.StringIO(f"{text}\nend", newline="")))[-1]
    table = CsvFile(look_through(text.encode(), "x.csv"), Dialect())
    if not expected or {len(row) for row in expected} != {2} or end != ["end"]:
        with pytest.raises(InputError):
            table.frame()
    else:
        assert table.frame().rows() == expected
        assert pl.concat(table.frames(block)).rows() == expected


@pytest.mark.parametrize("block", [1, 20, 1 << 20])
def test_a_row_that_is_too_long_is_named_by_the_line_it_begins_in(block: int) -> None:
    table = open_csv(b"a,b\r\n" + b'1,"2\r\n"\r\n' * 40 + b'"x\ny",2,3\r\n', "x.csv")
    with pytest.raises(InputError, match=r"line 82 of 'x.csv' has 3 cells"):
        list(table.frames(block))


def both(path: Path) -> tuple[list[str], list[tuple[object, ...]]]:
    """A file's columns and rows, which must be the same read as a whole and piece by piece."""
    table = open_csv(path.read_bytes(), path.name)
    pieces = list(open_csv(path, path.name).frames(64))
    assert pl.concat(pieces).equals(table.frame())
    return table.columns, table.frame().rows()


NAMES = st.sampled_from(["Müller, Hans", "Maier; Eva", 'the "Old" one', "x", "a|b", "two\nlines", ""])
NUMBERS = st.sampled_from(["1", "-2.5", "3e5", "", "17", "1000000"])


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(NUMBERS, NAMES, NUMBERS), min_size=3, max_size=9),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    style=st.sampled_from(STYLES),
    titles=st.sampled_from(["", "Sales of May\n", "Report 17\nmade by hand\n\n", "Sales,,\n,,\n", "May, all\n\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]),
    packed=st.booleans(),
)
def test_however_a_table_is_kept_it_is_read_right(
    rows: Rows, separator: str, style: int, titles: str, encoding: str, packed: bool
) -> None:
    content = (titles.replace(",", separator) + written([["n", "name", "m"], *rows], separator, style)).encode(encoding)
    table = open_csv(gzip.compress(content, mtime=0) if packed else content, "x.csv")
    assert table.columns == ["n", "name", "m"]
    assert table.frame().rows() == [tuple(cell or None for cell in row) for row in rows]
    assert table.dialect.separator == separator
    assert table.dialect.titles == titles.count("\n")


@pytest.mark.parametrize(
    ("content", "columns", "rows", "said"),
    [
        ("a;b\n1,5;x, y\n2,5;z\n", ["a", "b"], [("1,5", "x, y"), ("2,5", "z")], "separator ';', decimal commas"),
        ("a,x;b,y\n1,5;2,5\n3,5;4,5\n", ["a,x", "b,y"], [("1,5", "2,5"), ("3,5", "4,5")], "decimal commas"),
        ("id,tags\n1,a|b\n2,c|d\n", ["id", "tags"], [("1", "a|b"), ("2", "c|d")], ""),
        ("sep=;\na;b\n1;x\n", ["a", "b"], [("1", "x")], "separator ';', its first line names the separator"),
        ('"sep=|"\r\na|b\r\n1|x\r\n', ["a", "b"], [("1", "x")], "separator '|'"),
        ("a\tb\n1,234\tx\n2,500\ty\n", ["a", "b"], [("1,234", "x"), ("2,500", "y")], "read as: separator tab"),
        ("T, 1\n\na;b;c\n1;2;x\n3;4;y\n", ["a", "b", "c"], [("1", "2", "x"), ("3", "4", "y")], "2 title lines skipped"),
        ('a,"b, c"\n1, "d, e"\n2, "f"\n', ["a", "b, c"], [("1", "d, e"), ("2", "f")], "quotes after blanks"),
        ('a,b\n1,5" pipe "x"\n2, y"\n', ["a", "b"], [("1", '5" pipe "x"'), ("2", ' y"')], ""),
        ('a,b\n1,"say \\"no\\", then"\n2,x\n', ["a", "b"], [("1", 'say "no", then'), ("2", "x")], "backslashes"),
        ("a,b\n1,x\\, y\n2,z\n", ["a", "b"], [("1", "x, y"), ("2", "z")], "backslashes as escapes"),
        ('a,b\n1,"C:\\dir\\"\n2,C:\\dir\\\n', ["a", "b"], [("1", "C:\\dir\\"), ("2", "C:\\dir\\")], ""),
        ("a,b\r1,x\r2,y\r", ["a", "b"], [("1", "x"), ("2", "y")], ""),
        ("\n\na,b\n\n1,x\n  \n2,\n\n", ["a", "b"], [("1", "x"), ("2", None)], ""),
        ('a,b\nNA,?\n,""\nNone, n/a \n', ["a", "b"], [("NA", "?"), (None, None), ("None", " n/a ")], ""),
        ("a\nx, y\nz\n", None, [], "line 2 of 'x.csv' has 2 cells"),
        ("text\nfoo\nsome, words\nbar\n", None, [], "line 3 of 'x.csv' has 2 cells"),
        ('a,b\n1,"x\n2,y\n', None, [], "the quote that opens in line 2 of 'x.csv' is never closed"),
        ('a,b\n1,2\n1,2"\n1,"x\n2,y\n', None, [], "the quote that opens in line 4 of 'x.csv' is never closed"),
        ("a, a ,b,b,c\n1,2,3,4,5\n", None, [], "more than once: a, b"),
        ("Sales, May\n\na,b,c\n1,2,3\n", ["a", "b", "c"], [("1", "2", "3")], "2 title lines skipped"),
        (
            "Sales; a, b\n\nn;m;k\n1;a, b;3\n4;c, d;6\n",
            ["n", "m", "k"],
            [("1", "a, b", "3"), ("4", "c, d", "6")],
            "';'",
        ),
        ("Sales, May\na,b,c\n1,2,3\n", None, [], "lines above the header must go"),
        ("a,b\n" + "1,2\n" * 9 + '"two\nlines",3,4\n', None, [], "line 11 of 'x.csv' has 3 cells"),
    ],
)
def test_dialects(tmp_path: Path, content: str, columns: list[str] | None, rows: list[object], said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(content, newline="")
    if columns is not None:
        assert both(path) == (columns, rows)
        notes = open_csv(path, path.name).notes
        assert said in "".join(notes) if said else not notes
        return
    for read in (read_source, lambda path: list(read_batches(path, 2))):
        with pytest.raises(InputError) as caught:
            read(path)
        assert said in str(caught.value)


def test_a_header_longer_than_what_is_sniffed_and_cells_longer_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    names = [f"a column with a long name, number {k}" for k in range(3000)]
    path.write_text(written([names, [str(k) for k in range(3000)], ["é" * (1 << 18), *names[1:]]]), newline="")
    columns, rows = both(path)
    assert columns == names
    assert rows[0][2999] == "2999"
    assert rows[1][0] == "é" * (1 << 18)


@pytest.mark.parametrize("text", ['a,b"\nc,d"\n', 'a,"b"c\n', '""a"",b\n', '"a""b"c,d\n', "a,b\rc,d\n", "a,b\nc\n"])
def test_rows_that_are_not_regular_are_left_to_csv(text: str) -> None:
    assert read_regular(b'a,"b"\n', ",", ["x", "y"]) is not None
    assert read_regular(text.encode(), ",", ["x", "y"]) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04...", "an Excel workbook or a zip archive"),
        (b'{"a": 1, "b": 2}\n{"a": 2, "b": 3}\n', "JSON"),
        (b'[\n  {"a": 1, "b": 2}]', "JSON"),
        (b"<!DOCTYPE html>\n<table><tr><td>1,2</td></tr></table>", "a web page or XML"),
        (b"BZh91AY", "packed with bzip2"),
        (gzip.compress(b"a,b\n1,2\n" * 9, mtime=0)[:-9], "not a whole gzip file"),
        (gzip.compress(bytes(range(256)) * 9, mtime=0), "not a text file"),
        ("a,b\n1,é\n2,ä\n".encode() + b"3,\xff\n", "line 4 of 'x.csv' is not UTF-8"),
        ("a,b\n1,é\n".encode("utf-16") + b"\x00\xd8\x41", "line 3 of 'x.csv' is not UTF-16"),
        (b"\n \n", "'x.csv' is empty"),
        (gzip.compress(b"", mtime=0), "'x.csv' is empty"),
    ],
)
def test_what_is_not_text_says_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    for read in (read_source, lambda path: list(read_batches(path, 2))):
        with pytest.raises(InputError) as caught:
            read(path)
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("separator", "decimal", "encoding", "above"),
    [(";", ",", "utf-16", "Report\n\n"), ("\t", ".", "cp1252", ""), ("|", ".", "utf-8-sig", "sep=|\n")],
)
def test_a_model_reads_rows_in_another_dialect_than_it_learnt_from(
    tmp_path: Path, separator: str, decimal: str, encoding: str, above: str
) -> None:
    frame = pl.DataFrame(
        {
            "price": [k / 8 for k in range(40)],
            "shop": ["süd, unten", "nord", "ost"] * 13 + [None],
            "open": ["yes", "no"] * 20,
        }
    )
    frame.write_csv(tmp_path / "learnt.csv")
    text = frame.write_csv(separator=separator, decimal_comma=decimal == ",")
    (tmp_path / "new.csv").write_bytes((above + text).encode(encoding))
    learnt = read_source(tmp_path / "learnt.csv").frame
    encoder = TableEncoder.fit(learnt, infer_columns(learnt, target="", overrides={}))
    expected = encoder.encode(learnt)
    styles = styles_of(encoder.columns)
    whole = encoder.encode(read_source(tmp_path / "new.csv", styles=styles).frame)
    batches = [encoder.encode(batch) for batch in read_batches(tmp_path / "new.csv", 7, styles=styles)]
    for name, wanted in expected.items():
        assert torch.equal(whole[name], wanted)
        assert torch.equal(torch.cat([batch[name] for batch in batches]), wanted)
