"""The one way by which text reaches a terminal: what comes from data is shown and not obeyed.

A class, a label or a path may hold what a terminal takes for a command (set its title, fill the clipboard, clear the
screen) or what turns the direction of writing, so that a line says something else than it holds.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, TextIO

# Control characters but tab and line feed, separators of lines, directions of writing, halves of characters.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Text whose every control character stands there as its code, as JSON writes it.

    >>> print(printable("\x1b]0;title\x07 caf\u00e9"))
    \u001b]0;title\u0007 café
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: two for each Chinese character.

    >>> columns("rate"), columns("学习率")
    (4, 6)
    """
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def padded(text: str, width: int) -> str:
    """A text with blanks up to so many columns.

    >>> [padded(text, 8) + "|" for text in ("rate", "学习率")]
    ['rate    |', '学习率  |']
    """
    return text + " " * (width - columns(text))


class PrintableStream:
    """A text stream that writes `printable` text; `beneath` is the stream itself, for programs that draw."""

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        self.beneath.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


class PrintableBytes:
    """A stream of bytes that writes UTF-8 text as `printable` text: rows that somebody looks at."""

    def __init__(self, beneath: IO[bytes]) -> None:
        self.beneath = beneath

    def write(self, content: bytes) -> int:
        """Write text; returns its length."""
        self.beneath.write(printable(content.decode(errors="replace")).encode())
        return len(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


@contextmanager
def printable_output() -> Iterator[None]:
    """All that is printed inside is `printable`."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (PrintableStream(stream) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def console() -> Any:
    """Rich's console for standard output, where it may draw; its `print` of text is `printable`."""
    from rich.console import Console

    class PrintableConsole(Console):
        """Draws, and prints text as text."""

        def print(self, *objects: Any, **options: Any) -> None:
            """As Rich's; text is `printable` first."""
            super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

    return PrintableConsole(file=getattr(sys.stdout, "beneath", sys.stdout))
