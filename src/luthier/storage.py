"""Writing files so that a kill at any moment leaves the last good state.

Whole files go to a temporary name, are flushed and renamed; a log is appended and synced. A full
disk or a forbidden folder becomes an error that says so, and what was there before stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from luthier.errors import InputError, LuthierError
from luthier.messages import Message

UNUSABLE = (  # what the system says of a path that a person chose
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT),
    *(errno.ENAMETOOLONG, errno.ELOOP),
)
MOST_INDENTED = 1 << 20  # characters
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into an error for people."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise LuthierError(
                Message("the disk is full: '{path}' could not be written", path=path),
                remedy="free some space and continue with luthier resume; what was saved is intact",
            ) from error
        if error.errno in UNUSABLE:
            raise InputError(
                Message("'{path}' cannot be written", path=path),
                received=(error.strerror or str(error)).lower(),
                remedy="choose another name or folder, or change its permissions",
            ) from error
        raise


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to read `path` into an error for people."""
    try:
        yield
    except OSError as error:
        raise InputError(
            Message("'{path}' cannot be read", path=path),
            received=(error.strerror or str(error)).lower(),
            remedy="check its permissions, and that its disk is there",
        ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, until this is left or the process ends, however it ends.

    InputError where another one holds it, with who and since when.
    """
    lock, message = FileLock(folder / ".lock", timeout=0), folder / ".in-use"
    with explained(folder):
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                Message("'{folder}' is being written by another process", folder=folder),
                received=_holder(message),
                remedy="wait until it ends, or end it",
            ) from None
    try:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        write_text(message, f"process {os.getpid()} on {platform.node()}, since {since}")
        yield
    finally:
        message.unlink(missing_ok=True)
        lock.release()


def _holder(said: Path) -> str:
    try:
        return said.read_text()
    except OSError:
        return "a process that has just started"


def write_bytes(path: Path, content: bytes, *, synced: bool = True) -> None:
    """Replace `path` by `content`: the old file or the new one is there, never half of either.

    What is not `synced` survives a killed program but perhaps not a power cut.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                if synced:
                    os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for UTF-8 text; what UTF-8 lacks, as in file names of other encodings, is written as its code."""
    write_bytes(path, content.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """`write_text` for plain JSON values; numbers that are not finite become null. A long text stays in one line:
    to indent a million numbers takes seconds."""
    known = plain(value)
    text = json_text(known)
    write_text(path, (text if len(text) > MOST_INDENTED else json_text(known, indent=2)) + "\n")


def append_line(path: Path, line: str, *, synced: bool = True) -> None:
    """Append one line and sync it (and all before it) to the disk before returning; unsynced, the system has it."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(line.encode() + b"\n")
            file.flush()
            if synced:
                os.fsync(file.fileno())


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader accepts: infinities and NaN become null, arrays and tensors become lists.

    >>> json_text({"loss": float("nan"), "steps": (1, 2)})
    '{"loss": null, "steps": [1, 2]}'
    """
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


_PLAIN = frozenset((str, int, bool, type(None)))


def plain(value: Any) -> Any:
    """A value as JSON's own types."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value) if _PLAIN.issuperset(map(type, value)) else [plain(item) for item in value]
    if hasattr(value, "to_json"):
        return plain(value.to_json())
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return value


def home_folder() -> Path:
    """Where what belongs to this machine and its user is kept: `LUTHIER_HOME`, else below the user's data folder."""
    named = os.environ.get("LUTHIER_HOME")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(named) if named else Path(data) / "luthier"


_OURS = re.compile(r"\.fetching-.+|\.?(rows-|arrays-)?[0-9a-f]{24,64}(\..+)?")
CACHED = {  # what can be made again, a folder for each kind
    "pictures": "decoded pictures, and pictures given as arrays",
    "tables": "rows of tables larger than memory, as Parquet and encoded",
    "vectors": "what pretrained networks make of texts and pictures",
    "fetched": "tables from addresses",
    "graphs": "models as ONNX Runtime computes them",
}


def cache_folder(kind: str) -> Path:
    """Where what can be made again is kept, a folder for each kind: below `LUTHIER_CACHE`, else in the user's cache."""
    assert kind in CACHED, kind
    named = os.environ.get("LUTHIER_CACHE")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luthier"
    return base / kind


def cached(kind: str) -> list[Path]:
    """What lies in a folder of the cache and was named here, by a checksum; other files there are somebody else's."""
    return [path for path in sorted(cache_folder(kind).glob("*")) if _OURS.fullmatch(path.name)]


def sha256(content: bytes) -> str:
    """The hexadecimal SHA-256 checksum of `content`."""
    return hashlib.sha256(content).hexdigest()
