"""What is printed is shown by a terminal and not obeyed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from luthier.cli import main
from luthier.console import PrintableBytes, console, printable, printable_output
from luthier.storage import json_text

# Set the title, fill the clipboard, clear; the same by a control character of 8 bits; turn the direction of writing.
HOSTILE = (
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b[2J",
    "\x9b2J",
    "\u202egnp.exe",
    "\x08\x08",
    "a\rb",
    "\u2028",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert all(c.isprintable() for c in printable(text))
    assert json.loads(f'"{printable(text)}"') == text  # the codes are JSON's own


def test_other_text_stays_as_it_is() -> None:
    plain = "größe: 3 × 4\t→ 模型\n"
    assert printable(plain) == plain


def test_all_that_is_printed_goes_that_way(capsys: pytest.CaptureFixture[str]) -> None:
    with printable_output():
        print(HOSTILE[0], file=sys.stderr)
        print(json_text({"name": HOSTILE[3]}))
        console().print(HOSTILE[4], markup=False)
    out, err = capsys.readouterr()
    assert err == "\\u001b]0;title\\u0007\n"
    first, second, *_ = out.splitlines()
    assert (json.loads(first), second) == ({"name": HOSTILE[3]}, "\\u202egnp.exe")


def test_rows_that_somebody_looks_at() -> None:
    beneath = io.BytesIO()
    PrintableBytes(beneath).write(f"größe\n{HOSTILE[0]}\n".encode())
    assert beneath.getvalue() == "größe\n\\u001b]0;title\\u0007\n".encode()


def test_a_program_that_draws_still_may() -> None:
    stream = io.StringIO()
    stdout, sys.stdout = sys.stdout, stream
    try:
        with printable_output():
            assert console().file is stream
    finally:
        sys.stdout = stdout


def test_an_error_about_a_hostile_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["show", str(tmp_path / HOSTILE[0])])
    assert "\x1b" not in "".join(capsys.readouterr())
