"""What a program meets at its edges: readers that go away, full disks, signals, paths that are no files."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
import torch

from luthier.assess import BaselineRun
from luthier.cli import streams
from luthier.data import infer_task, read_batches, read_source
from luthier.errors import InputError, LuthierError, TerminatedError
from luthier.recipe.running.interrupted import Interrupted
from luthier.rows import Inputs, Rows
from luthier.runs.signals import ended_by_signals
from luthier.saved.predict import _destination

LONG = "x" * 300


@pytest.fixture
def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_reader_that_goes_away_ends_nothing(closed_pipe: int) -> None:
    raw = streams.Lasting(closed_pipe, "wb")
    with io.TextIOWrapper(io.BufferedWriter(raw)) as text:
        for _ in range(3):
            print("x" * 10_000, file=text, flush=True)
    assert raw.refused is None


def test_a_full_disk_under_standard_output_ends_nothing_and_is_said() -> None:
    raw = streams.Lasting(os.open("/dev/full", os.O_WRONLY), "wb")
    with io.TextIOWrapper(io.BufferedWriter(raw)) as text:
        for _ in range(3):
            print("saved", file=text, flush=True)
    assert raw.refused is not None
    error = streams.in_our_words(raw.refused)
    assert (error.exit_code, "disk is full" in str(error)) == (1, True)


def test_streams_that_the_caller_closed_or_that_know_ascii_alone() -> None:
    """In a child, since these are the process's own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(0)
        os.dup2(writing, 1)
        sys.stdin = sys.__stdin__ = None  # type: ignore[assignment, misc]
        sys.stdout = os.fdopen(1, "w", encoding="ascii", closefd=False)
        streams.prepare()
        print("\u00b1", repr(sys.stdin.read()), flush=True)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as result:
        assert result.read() == "\\xb1 ''\n"
    assert os.waitpid(child, 0)[1] == 0


def test_rows_for_a_reader_end_with_it(closed_pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", os.fdopen(closed_pipe, "w", closefd=False))
    with pytest.raises(BrokenPipeError), streams.ends_with_its_reader() as file:
        file.write(b"x" * 100_000)


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with _destination(pipe) as file:
        file.write(b"rows")
    reader.join()
    assert read == [b"rows"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "fifo", LONG, f"{LONG}/t.csv"])
def test_what_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for read in (read_source, lambda path: list(read_batches(path, 10))):
        with pytest.raises(InputError):
            read(tmp_path / name)


def test_a_long_name_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name too long"), _destination(tmp_path / f"{LONG}.csv"):
        raise AssertionError
    assert isinstance(streams.in_our_words(MemoryError()), LuthierError)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
def test_signals_to_end_save_the_state_whatever_follows(name: signal.Signals) -> None:
    interrupted, before, interrupt = Interrupted(), signal.getsignal(name), signal.getsignal(signal.SIGINT)
    with ended_by_signals(interrupted):
        os.kill(os.getpid(), name)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(TerminatedError):
            bool(interrupted)
    assert signal.getsignal(name) is before
    assert signal.getsignal(signal.SIGINT) is interrupt


def test_where_nothing_is_trained_a_signal_to_end_is_obeyed_at_once() -> None:
    """Reading a wide table takes long, and asks nobody."""
    interrupted = Interrupted()
    with ended_by_signals(interrupted), interrupted.asked(soon=False):
        with interrupted.asked(soon=True):
            os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(TerminatedError):
            os.kill(os.getpid(), signal.SIGTERM)


def test_no_disk_holds_rows_for_the_baselines(tmp_path: Path) -> None:
    values = torch.arange(60.0, dtype=torch.float64) + 0.5
    rows = Rows(Inputs(numbers=values[:, None] ** 0.5), values)
    run = BaselineRun(rows, rows, infer_task(pl.Series("y", values.numpy())), (), place=tmp_path)
    try:
        assert "mean" in run.wait(lambda: False)
        held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert rows.numbers.numpy().tobytes()[:64] not in held
        run.ask(rows)
        assert run.predicted(lambda: False)["mean"].shape == (60,)
    finally:
        run.close()
    assert not list(tmp_path.iterdir())
