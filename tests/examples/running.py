"""Pages of Markdown run as they are printed: blocks of Python, and the `luthier` lines of shell blocks, in order.

Budgets alone are shorter: "600steps" on a page becomes "60steps".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.cli import main


def shortened(text: str) -> str:
    """The text with budgets of more than a hundred steps made short."""
    return re.sub(r"\b\d{3,}steps\b", "60steps", text)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each block."""
    yield from re.findall(r"^```(python|sh)\n(.*?)^```", shortened(page.read_text()), re.DOTALL | re.MULTILINE)


def peers_blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each block in a peer's words, ```python title="NAME"."""
    yield from re.findall(r'^```python title="([\w.-]+)"\n(.*?)^```', page.read_text(), re.DOTALL | re.MULTILINE)


def run_peers_side(page: Path) -> None:
    """Run what a page has in a peer's words, behind the blocks that stand before it."""
    before = page.read_text().partition("```python title=")[0]
    ours = re.findall(r"^```python\n(.*?)^```", before, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "page"}
    for text in [*ours, *(text for _, text in peers_blocks(page))]:
        exec(compile(text, page.name, "exec"), names)


def commands(text: str) -> Iterator[list[str]]:
    """The words behind `luthier` of each such line."""
    for line in text.splitlines():
        if line.startswith("luthier "):
            yield shlex.split(line.partition(" #")[0])[1:]


def run_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As the command line would, in this process: starting one for each line takes longer than what they do."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    message = capsys.readouterr()
    assert ended.value.code in (0, None), f"{words}: {message.err}"


def run_page(page: Path, capsys: pytest.CaptureFixture[str], changed: Callable[[list[str]], list[str]]) -> int:
    """Run a page in the current folder; returns how many commands and blocks it had."""
    names: dict[str, Any] = {"__name__": "page"}
    count = 0
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, f"{page.name}", "exec"), names)
            count += 1
            continue
        for words in commands(text):
            run_command(changed(words), capsys)
            count += 1
    return count
