"""Whatever bytes come in, a reader reads them or says in words of ours why not."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.reliability.readers import OURS, readers

from luthier.data.csv_text import open_csv
from luthier.errors import InputError

NAMES = (
    *("csv", "csv in batches", "parquet", "idx", "picture", "bundle", "config"),
    *("run", "ledger", "safetensors", "pt", "json body", "csv body"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A whole input with pieces cut out, written over, doubled, or put in; or bytes of no sense at all."""
    content = bytearray(draw(st.sampled_from([b"", *seeds])))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8))
        piece = draw(st.one_of(st.binary(max_size=8), st.sampled_from(PIECES), st.just(bytes(content[at : at + 64]))))
        content[at : at + draw(st.sampled_from([0, length]))] = piece
    return bytes(content)


PIECES = (
    *(
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b'"',
        b",,,,",
        b"\n",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ),
    *(b"nan", b"1e999", b"-inf", b"9" * 400, b"{}", b"[]", b"null", b"../../x", b"=", b"[[x]]", b"PK\x03\x04"),
)


@pytest.mark.filterwarnings("ignore")  # of the libraries that read: a user sees what ours say
@pytest.mark.parametrize("name", NAMES)
def test_only_our_own_errors_come_out(name: str, folder: Path) -> None:
    pytest.importorskip("PIL")
    reader, message = readers(folder)[name], list[str]()

    @settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(changed(reader.seeds))
    def holds(content: bytes) -> None:
        try:
            reader.read(content)
        except OURS as error:
            message.append(str(error).strip())

    holds()
    assert message
    assert all(message)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """CSV of any dialect and encoding, lines above it or not, some bytes changed."""
    cell = st.text(st.sampled_from([*"ab1.,;|\t '\"\\\n\ré"]), max_size=5)
    rows = draw(st.lists(st.lists(cell, min_size=2, max_size=4), max_size=6))
    buffer = io.StringIO(draw(st.sampled_from(["", "sep=;\n", "Sales of May\n\n", "\n"])), newline="")
    buffer.seek(0, io.SEEK_END)
    csv.writer(
        buffer,
        delimiter=draw(st.sampled_from(",;|\t:")),
        quoting=draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONE])),
        escapechar="\\",
        doublequote=draw(st.booleans()),
        lineterminator=draw(st.sampled_from(["\n", "\r\n", "\r"])),
    ).writerows(rows)
    content = buffer.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32-be"])))
    content = gzip.compress(content, mtime=0) if draw(st.booleans()) else content
    return draw(changed((content,)))


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(tables())
def test_csv_of_any_dialect_is_rows_or_a_complaint_and_the_same_in_pieces(content: bytes) -> None:
    try:
        whole: object = open_csv(content, "x.csv").frame().rows()
    except InputError as error:
        whole = str(error)
    try:
        pieces: object = [row for frame in open_csv(content, "x.csv").frames(8) for row in frame.rows()]
    except InputError as error:
        pieces = str(error)
    assert pieces == whole


def test_whole_inputs_are_read(folder: Path) -> None:
    pytest.importorskip("PIL")
    known = readers(folder)
    assert tuple(known) == NAMES
    for name, reader in known.items():
        for seed in reader.seeds[:1]:
            reader.read(seed)
        assert reader.seeds, name


def fuzzed(names: tuple[str, ...], runs: int, folder: Path) -> None:
    pytest.importorskip("atheris")
    command = [sys.executable, Path(__file__).parent / "fuzz.py", *names, "--runs", str(runs), "--folder", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count(f"Done {runs}") == len(names)
    shutil.rmtree(folder)


def test_a_fuzzer_that_sees_the_code_finds_nothing_either(tmp_path: Path) -> None:
    """Atheris steers by coverage; a moment here, longer in `make soak`."""
    fuzzed(("csv", "bundle", "idx"), 2000, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_nothing_in_a_longer_time(name: str, tmp_path: Path) -> None:
    fuzzed((name,), 20_000, tmp_path)
