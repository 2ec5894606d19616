"""No library's warning reaches a user: of a command and of the processes that it starts, standard error has our words
alone."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from luthier.cli import main
from luthier.data import read_source

COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {  # with what is said on standard error
    "fit": (("fit", "wine.csv", "--target", "cultivar", "--budget", "20steps", "--run", "run"), ""),
    "predict": (("predict", "run", "wine.csv", "-o", "out.csv"), "178 rows predicted, written to out.csv"),
    "tune": (
        (
            "tune",
            "wine.csv",
            "--target",
            "cultivar",
            "--trials",
            "4",
            "--epochs",
            "1",
            "--confirm",
            "1",
            "--workers",
            "2",
        ),
        "",
    ),
}


def test_standard_error_has_our_words_alone(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what a process writes that was started: it is the stream that is read, not the module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "always")  # of those processes
    read_source("wine").frame.write_csv("wine.csv")
    for name, (words, said) in COMMANDS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            with suppress(SystemExit):  # what failed says so on that stream
                main(list(words))
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == bool(said), f"{name}: {lines}"
        assert said in "".join(lines)
