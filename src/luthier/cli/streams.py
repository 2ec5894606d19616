"""The process at its edges: standard streams that are closed, full or of a small encoding, and what the system refuses.

What is printed beside the work must not end the work: a run trains on where nobody listens, and is saved.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from luthier.console import PrintableBytes
from luthier.errors import InputError, LuthierError
from luthier.messages import Message
from luthier.storage import FULL, UNUSABLE

_NAMES = ("stdin", "stdout", "stderr")


class Lasting(io.FileIO):
    """Bytes to a stream whose other end may go away: from then on they lead nowhere. `refused` is why, a pipe that was
    closed aside: that is how `| head` ends."""

    refused: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write; where that cannot be done, all that follows is dropped."""
        try:
            return super().write(data)
        except OSError as error:
            if not isinstance(error, BrokenPipeError):
                self.refused = error
            _lead_nowhere(self.fileno())
            return len(data)


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def prepare() -> list[Lasting]:
    """Standard streams that can be used whatever the caller closed, and the two that are written to.

    A character that an encoding lacks is written as its number. Streams that are not the process's own, such as those
    of a test, stay as they are.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None and getattr(sys, f"__{name}__") is None:
            _lead_nowhere(number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    return [stream for number in (1, 2) if (stream := _lasting(number)) is not None]


def _lasting(number: int) -> Lasting | None:
    text: Any = getattr(sys, _NAMES[number])
    try:
        if text.fileno() != number:
            return None
    except (AttributeError, OSError, ValueError):
        return None
    text.flush()
    raw = Lasting(number, "wb", closefd=False)
    made = io.TextIOWrapper(
        io.BufferedWriter(raw), text.encoding, "backslashreplace", line_buffering=number == 2 or text.line_buffering
    )
    setattr(sys, _NAMES[number], made)
    return raw


@contextmanager
def ends_with_its_reader() -> Iterator[IO[bytes]]:
    """Standard output for rows that are the whole point: BrokenPipeError once nobody reads them."""
    sys.stdout.flush()
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # not a file, as in a test
        yield cast(IO[bytes], sys.stdout.buffer)
        return
    with open(descriptor, "wb", closefd=False) as file:
        yield cast(IO[bytes], PrintableBytes(file)) if os.isatty(descriptor) else file


def in_our_words(error: OSError | MemoryError) -> LuthierError:
    """What the system refused, and what to do.

    >>> import errno
    >>> print(in_our_words(OSError(errno.ENAMETOOLONG, "File name too long", "x")))
    'x' cannot be used
      received: file name too long
      try: choose another name or folder, or change its permissions
    """
    if isinstance(error, MemoryError):
        return LuthierError("the memory ran out", remedy="set --memory lower, or use fewer rows")
    what = f"'{error.filename}'" if error.filename else "a file or a stream"
    why = (error.strerror or str(error)).lower()
    if error.errno in FULL:
        return LuthierError(
            Message("the disk is full: {what} could not be written", what=what),
            remedy="free some space; what was saved is intact, and `luthier resume` continues it",
        )
    if error.errno in UNUSABLE:
        remedy = "choose another name or folder, or change its permissions"
        return InputError(Message("{what} cannot be used", what=what), received=why, remedy=remedy)
    return LuthierError(Message("{what} could not be read or written", what=what), received=why)
