"""`luthier tune` as a user runs it: a whole search, a kill, bad requests."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from tests import warm
from tests.cli.program import luthier

SOAK = pytest.mark.soak
SMALL = ("--trials", 12, "--epochs", 2, "--confirm", 2)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("tune") / "wine"
    done = luthier("tune", "wine", *SMALL, "--run", run)
    assert done.returncode == 0, done.stderr
    for message in ("tier 1 (the learning rate)", "Best is trial", "measured       validation loss", "report  "):
        assert message in done.stdout
    return run


def test_it_leaves_a_whole_run(searched: Path, tmp_path: Path) -> None:
    names = {path.name for path in searched.iterdir()}
    assert {"journal.jsonl", "trials.parquet", "search.json", "study.db", "report.html", "model.luthier"} <= names
    assert not (searched / "checkpoint").exists()
    trials = pl.read_parquet(searched / "trials.parquet")
    assert trials.filter(pl.col("stage").str.starts_with("tier")).height == 12
    ledger = (searched / "ledger.jsonl").read_text()
    assert '"opening"' not in ledger  # the test part stays sealed
    table = tmp_path / "wine.csv"
    from luthier.data import read_source

    read_source("wine").frame.write_csv(table)
    done = luthier("predict", searched, table)
    assert done.returncode == 0
    assert "prediction" in done.stdout.splitlines()[0]
    assert "measured" in luthier("show", searched).stdout
    assert luthier("report", searched).stdout.strip().endswith("report.html")


def test_a_run_is_tuned_from_its_own_setting(tmp_path: Path) -> None:
    assert luthier("fit", "wine", "--budget", "200steps", "--run", tmp_path / "fitted").returncode == 0
    done = luthier("tune", tmp_path / "fitted", *SMALL, "--run", tmp_path / "tuned", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["kind"] == "result"
    fitted = json.loads((tmp_path / "fitted" / "scores.json").read_text())["trials"]
    best = min((t for t in fitted if t["validation_loss"] is not None), key=lambda t: t["validation_loss"])
    default = {name: d["default"] for name, d in result["space"]["dimensions"].items()}
    assert default["learning_rate"] == pytest.approx(best["learning_rate"])
    assert default["rule"] == best["rule"]
    splits = [pl.read_parquet(tmp_path / name / "splits.parquet") for name in ("fitted", "tuned")]
    assert splits[0].equals(splits[1])


def children(process: int) -> list[int]:
    """Processes that another one began, where the system tells."""
    known = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in known.read_text().split()] if known.exists() else []


@pytest.mark.parametrize(
    ("halving", "moments"),
    [("", (8,)), ("hyperband", (3,)), *(pytest.param(one, (1, 3, 5, 8), marks=SOAK) for one in ("", "hyperband"))],
)
def test_killed_anywhere_it_goes_on_to_the_same_numbers(halving: str, moments: tuple[int, ...], tmp_path: Path) -> None:
    """When so many lines of its journal were written."""
    options = ("--trials", 24, "--epochs", 9, "--confirm", 2, "--halving", halving, "--workers", 2)
    assert luthier("tune", "wine", *options, "--run", tmp_path / "whole").returncode == 0
    whole = pl.read_parquet(tmp_path / "whole" / "trials.parquet")
    for lines in moments:
        run = tmp_path / f"killed-{lines}"
        command = [sys.executable, "-m", "luthier", "tune", "wine", *options, "--run", run]
        process = warm.Popen(command, stdout=warm.DEVNULL)
        journal, deadline = run / "journal.jsonl", time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
                break
            time.sleep(0.01)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        done = luthier("resume", run)
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]  # they end with their parent
        assert done.returncode == 0, done.stderr
        assert pl.read_parquet(run / "trials.parquet").equals(whole)


def test_the_registry_is_listed() -> None:
    message = luthier("tune", "--list").stdout
    assert (
        message.index("learning_rate") < message.index("momentum") < message.index("depth") < message.index("epsilon")
    )
    lines = [json.loads(line) for line in luthier("tune", "--list", "--json").stdout.splitlines()]
    assert {"name", "tier", "default", "reason"} <= set(lines[0])


BAD: dict[str, tuple[tuple[object, ...], str]] = {
    "nothing": ((), "nothing to tune"),
    "no such file": (("nowhere.csv",), "nowhere.csv"),
    "unknown sampler": (("wine", "--sampler", "tp"), "did you mean 'tpe'"),
    "unknown halving": (("wine", "--halving", "thirds"), "successive"),
    "no trials": (("wine", "--trials", 0), "trials must be a whole number of at least 1"),
    "a budget of steps": (("wine", "--budget", "100steps"), "must be a time"),
    "an empty space": (("wine", "--space", "empty.toml"), "the space is empty"),
    "a wrong space": (("wine", "--space", "wrong.toml"), "did you mean 'learning_rate'"),
    "no such space": (("wine", "--space", "none.toml"), "there is no file"),
    "a storage out of reach": (("wine", "--storage", "sqlite:////no/such/folder/x.db"), "cannot be reached"),
    "nowhere to train": (("wine", "--on", "moon"), "cannot train on"),
    "resume what is no search": (("--resume", "."), "is not a run"),
    "resume with other trials": (("--resume", "runs/x", "--trials", 9), "No such option: --trials"),
    "a grid that is halved": (("wine", "--sampler", "grid", "--halving", "successive"), "another sampler"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_ends_with_a_message_and_exit_code_2(name: str, tmp_path: Path) -> None:
    arguments, words = BAD[name]
    (tmp_path / "empty.toml").write_text("")
    (tmp_path / "wrong.toml").write_text("learning_rat = { low = 0.1, high = 1.0 }\n")
    done = luthier("tune", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
