"""Killed, told to end, refused, out of room: what was saved stays whole, and what went wrong is said."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import warm
from tests.reliability.soak import COMMANDS, broken_files, soak

import luthier
from luthier.recipe import Clock
from luthier.runs import resume_search
from luthier.runs.screen import SilentScreen
from luthier.storage import held

STEPS = "900steps"
FIT = [sys.executable, "-m", "luthier", "fit", "iris", "--budget", STEPS]


QUICK = {"fit": ["fit", "iris", "--budget", "60steps"], "tune": ["tune", "iris", "--trials", "6", "--epochs", "3"]}


@pytest.mark.parametrize("kind", QUICK)
def test_killed_at_random_moments_the_numbers_stay(kind: str, tmp_path: Path) -> None:
    assert soak(kind, 1, tmp_path, seed=random.randrange(1000), command=QUICK[kind]) == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", COMMANDS)
def test_killed_many_times_the_numbers_stay(kind: str, tmp_path: Path) -> None:
    assert soak(kind, 30, tmp_path, seed=random.randrange(1000)) == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of the fit that is interrupted here, where nothing interrupted it."""
    found = luthier.fit("iris", budget=STEPS, run=tmp_path_factory.mktemp("whole") / "run", screen=SilentScreen())
    assert found is not None
    return found.folder.bundle.read_bytes()


def begun(run: Path, *options: str) -> warm.Popen:
    """A fit in a process of its own, in the midst of training."""
    process = warm.Popen([*FIT, "--run", run, *options], stdout=warm.PIPE, stderr=warm.PIPE, text=True)
    for _ in range(600):
        if list(run.glob("checkpoint/train-*")):
            return process
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def test_told_to_end_it_saves_and_goes_on_later(whole: bytes, tmp_path: Path) -> None:
    process = begun(tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "the state is saved" in errors
    assert "luthier resume" in errors
    assert "Traceback" not in errors
    assert broken_files(tmp_path / "run") == []
    luthier.resume(tmp_path / "run", screen=SilentScreen())
    assert (tmp_path / "run/model.luthier").read_bytes() == whole


SEARCH: dict[str, Any] = {"trials": 8, "epochs": 300, "confirm": 2}


@pytest.fixture(scope="module")
def whole_search(tmp_path_factory: pytest.TempPathFactory) -> luthier.Study:
    """The search that is interrupted here, where nothing interrupted it; how many work at it changes nothing."""
    return luthier.tune_table("iris", run=tmp_path_factory.mktemp("search") / "run", workers=1, **SEARCH)


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        pytest.param(1, os.kill, id="alone"),
        pytest.param(2, os.kill, id="before its workers", marks=pytest.mark.soak),
        pytest.param(2, os.killpg, id="with its workers"),
    ],
)
def test_a_search_that_is_told_to_end_goes_on_later(
    workers: int, told: Callable[[int, int], None], whole_search: luthier.Study, tmp_path: Path
) -> None:
    options = [word for name, value in {**SEARCH, "workers": workers}.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "luthier", "tune", "iris", *options, "--run", tmp_path / "run"]
    process = warm.Popen(command, stdout=warm.PIPE, stderr=warm.PIPE, text=True, start_new_session=True)
    journal, deadline = tmp_path / "run" / "journal.jsonl", time.monotonic() + 120
    while not (journal.exists() and b"layout" in journal.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # in the midst of training
    began = time.monotonic()
    told(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "luthier resume" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - began < 30
    assert list((tmp_path / "run" / "checkpoint").glob("*.state"))  # what was under way is saved
    assert broken_files(tmp_path / "run") == []
    assert resume_search(tmp_path / "run").trials.equals(whole_search.trials)


def test_a_second_process_on_a_run_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = begun(run, "--budget", "100000steps")
    process.send_signal(signal.SIGSTOP)  # it would end while the others start
    try:
        for options in (["resume", str(run)], ["fit", "iris", "--run", str(run), "--replace", "--budget", "9steps"]):
            second = warm.run([sys.executable, "-m", "luthier", *options], capture_output=True, text=True)
            assert second.returncode == 2
            assert "is being written by another process" in second.stderr
            assert f"process {process.pid} on" in second.stderr
    finally:
        process.kill()
        process.communicate()
    assert broken_files(run) == []
    with held(run):  # a killed process holds nothing
        assert str(os.getpid()) in (run / ".in-use").read_text()
    assert not (run / ".in-use").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    """A file system of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_full_disk_what_was_saved_stays_and_it_goes_on_when_there_is_room(small_disk: Path, whole: bytes) -> None:
    run = small_disk / "run"
    done = warm.run([*FIT, "--run", run], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout[-500:]
    assert "the disk is full" in done.stderr
    assert "luthier resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert broken_files(run) == []
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    luthier.resume(run, screen=SilentScreen())
    assert (run / "model.luthier").read_bytes() == whole


AS_NOBODY = """
    import os, sys
    from pathlib import Path
    import luthier
    from luthier.cli import main
    from luthier.runs.screen import SilentScreen
    luthier.fit("iris", budget="30steps", run=sys.argv[1] + "/warm", screen=SilentScreen())  # all is imported
    os.chdir("/")
    os.setgid(65534)
    os.setuid(65534)
    main(["fit", "iris", "--budget", "30steps", "--run", sys.argv[1] + "/other/run"])
"""


def test_a_folder_that_is_not_ones_own_is_said(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("becoming an unprivileged user needs the rights of root")
    (tmp_path / "other").mkdir(mode=0o755)
    done = warm.run([sys.executable, "-c", textwrap.dedent(AS_NOBODY), tmp_path], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert "permission denied" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wall_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    luthier.fit("iris", budget="60steps", run=tmp_path / "whole", screen=SilentScreen())
    draw = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(0, 4e9))
    luthier.fit("iris", budget="60steps", run=tmp_path / "jumping", screen=SilentScreen())
    assert (tmp_path / "whole/model.luthier").read_bytes() == (tmp_path / "jumping/model.luthier").read_bytes()


class Slept(Clock):
    """A machine that is put to sleep for an hour in the midst of a run."""

    asked = 0

    def now(self) -> float:
        self.asked += 1
        return time.monotonic() + (3600 if self.asked > 400 else 0)


def test_a_run_that_was_put_to_sleep_delivers_what_it_has(tmp_path: Path) -> None:
    result = luthier.fit("iris", budget="20s", run=tmp_path / "run", screen=SilentScreen(), clock=Slept())
    assert result is not None
    assert result.scores["headline"]["value"] > 0.5
    assert any(record["kind"] == "cut" for record in result.ledger)


def test_a_search_killed_before_its_space_was_known_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.runs import tuning_tables

    wanted: dict[str, Any] = {"trials": 4, "epochs": 2, "confirm": 2}

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tuning_tables, "first_width", killed)
        with pytest.raises(KeyboardInterrupt):
            luthier.tune_table("iris", run=tmp_path / "run", **wanted)
    whole = luthier.tune_table("iris", run=tmp_path / "whole", **wanted)
    assert resume_search(tmp_path / "run").trials.equals(whole.trials)
