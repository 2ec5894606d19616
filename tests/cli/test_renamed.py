"""Options that have a new name work under the old one, with a line on standard error."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.program import luthier


@pytest.mark.parametrize(
    ("given", "line", "problem"),
    [
        (
            ("--weight", "nowhere"),
            "--weight is now --sample-weight",
            "--sample-weight nowhere: there is no such column",
        ),
        (("--weight=nowhere",), "--weight is now --sample-weight", "--sample-weight nowhere: there is no such column"),
        (("--weights", "x.pt"), "--weights is now --backbone-weights", "--backbone-weights needs --backbone"),
    ],
)
def test_an_old_name_is_taken_for_the_new_one(given: tuple[str, ...], line: str, problem: str, tmp_path: Path) -> None:
    done = luthier("fit", "wine", *given, "--budget", "60steps", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"luthier: {line}"
    assert done.stderr.count("is now") == 1
    assert problem in done.stderr


def test_the_new_names_are_taken_without_a_word_and_the_old_ones_are_hidden(tmp_path: Path) -> None:
    done = luthier("fit", "wine", "--sample-weight", "nowhere", cwd=tmp_path)
    assert "is now" not in done.stderr
    assert "there is no such column" in done.stderr
    shown = luthier("fit", "--help").stdout
    assert "--sample-weight" in shown
    assert "--backbone-weights" in shown
    assert "--weight " not in shown
    assert "--weights" not in shown.replace("--backbone-weights", "")
