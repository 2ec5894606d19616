"""Pictures named by what is in them: beside other columns, so that equal pictures are equal cells wherever they lie.

The name is a checksum of the file's bytes. Behind it stands a link in the user's cache, or the bytes themselves.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage

NAMED = re.compile(r"content:([0-9a-f]{40})")
PACKED = re.compile(r".*#\d+")  # a row of a file that holds many keeps its name
MOST_BYTES = 1 << 30  # of a file that is named


def path_behind(reference: str) -> str:
    """Where a picture lies: of one named by its content its place in the cache.

    >>> path_behind("cat.png")
    'cat.png'
    """
    known = NAMED.fullmatch(reference)
    return str(_folder() / known[1]) if known else reference


def named_by_content(cells: Sequence[Any]) -> list[str | None]:
    """The names of pictures, given as paths or as bytes; None for those that are missing or not files."""
    known: dict[Any, str | None] = {None: None}
    for cell in cells:
        if cell not in known:
            known[cell] = _kept(cell) if isinstance(cell, bytes) else _linked(cell)
    return [known[cell] for cell in cells]


def with_content_names(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """A table whose column of pictures names them by their content."""
    return frame.with_columns(pl.Series(column, named_by_content(frame[column].to_list()), dtype=pl.String))


def _folder() -> Path:
    return storage.cache_folder("pictures") / "by-content"


def _name(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20).hexdigest()


def _linked(path: str) -> str | None:
    if NAMED.fullmatch(path) or PACKED.fullmatch(path):
        return path
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > MOST_BYTES:
            return None
        name = _name(Path(path).read_bytes())
    except (OSError, ValueError):  # no such file, or a name that no file can have
        return None
    place = _folder() / name
    target = os.path.abspath(path)
    if not (place.is_symlink() and os.readlink(place) == target):
        _put(place, lambda beside: os.symlink(target, beside))
    return f"content:{name}"


def _kept(content: bytes) -> str:
    name = _name(content)
    place = _folder() / name
    if not place.is_file():
        _put(place, lambda beside: Path(beside).write_bytes(content))
    return f"content:{name}"


def _put(place: Path, make: Any) -> None:
    """Make a file under another name, and rename it, so that it is whole or not there."""
    with storage.explained(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as beside:
            make(f"{beside}/one")
            os.replace(f"{beside}/one", place)
