"""Tables behind an address (https://, s3://, gs:// and whatever else fsspec knows): fetched once, kept in the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from luthier import storage
from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.optional import require
from luthier.records import JsonObject

NOT_THERE = (404, 410)  # what a web server answers where there is nothing
PIECE = 1 << 22  # bytes that are held while a file is fetched


def is_remote(source: object) -> bool:
    """Whether this is an address.

    >>> is_remote("s3://bucket/rows.csv"), is_remote("C:/rows.csv")
    (True, False)
    """
    return isinstance(source, str) and "://" in source


def fetched(address: str) -> Path:
    """The file behind an address, or the folder of Parquet files, as it lies in the cache now.

    What was fetched before is fetched again only when its size, its time or its tag has changed. InputError for an
    address that cannot be reached, that holds nothing, or whose kind needs a package that is not installed.
    """
    core = require("fsspec.core", extra="remote", purpose="reading from an address")
    try:
        files, start = core.url_to_fs(address)
        files.invalidate_cache()  # what was listed before may have changed
        result = [start]
        if not start.endswith((".csv", ".parquet", ".pq", ".txt", ".tsv", ".gz")) and files.isdir(start):
            result = sorted(files.glob(f"{start.rstrip('/')}/**/*.parquet"))
            if not result:
                raise InputError(
                    Message("'{address}' holds no Parquet files", address=address),
                    remedy="name one file, or another folder",
                )
        facts = [files.info(name) for name in result]
        known = [(name, fact.get("size"), _tag(fact)) for name, fact in zip(result, facts, strict=True)]
        name = start.rstrip("/").rpartition("/")[2].partition("?")[0] or "table"
        kept = storage.cache_folder("fetched") / storage.sha256(repr((address, known)).encode())[:24] / name
        if not kept.exists():
            _fetch(files, start, dict(zip(result, facts, strict=True)), kept)
        return kept
    except (ImportError, ValueError) as error:
        raise InputError(
            Message("'{address}' cannot be read here", address=address),
            received=in_a_line(error),
            remedy="pip install 'luthier[remote]', or download the file yourself",
        ) from error
    except InputError:
        raise
    except Exception as error:  # every kind of storage has errors of its own
        cause = _cause(error)
        if isinstance(cause, FileNotFoundError):
            raise InputError(
                Message("nothing was found at '{address}'", address=address), remedy="check the address"
            ) from error
        raise InputError(
            Message("'{address}' cannot be fetched", address=address),
            received=in_a_line(cause),
            remedy="check the address, the network and your rights",
        ) from error


def _cause(error: Exception) -> BaseException:
    """What went wrong: fsspec calls whatever a web server does, or none does, a file that is not there."""
    cause = error.__cause__
    if cause is None or not isinstance(error, FileNotFoundError) or getattr(cause, "status", 0) in NOT_THERE:
        return error
    return cause


def _tag(fact: JsonObject) -> str:
    return str(
        next((fact[name] for name in ("ETag", "etag", "mtime", "LastModified", "created") if fact.get(name)), "")
    )


def _fetch(files: Any, start: str, facts: dict[str, JsonObject], kept: Path) -> None:
    """Fetch beside the place and move there when all is whole."""
    with storage.explained(kept):
        kept.parent.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=kept.parent.parent, prefix=".fetching-"))
    try:
        for name, fact in facts.items():
            path = temporary / kept.name
            if name != start:
                path = path / name.removeprefix(start.rstrip("/")).lstrip("/")
                if not path.resolve().is_relative_to(temporary.resolve()):
                    raise InputError(Message("'{name}' lies outside the requested folder", name=name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.open(name, "rb") as remote, path.open("wb") as local:
                shutil.copyfileobj(remote, local, PIECE)
            if fact.get("size") not in (None, path.stat().st_size):
                raise InputError(
                    Message("the download of '{name}' is incomplete", name=name),
                    expected=Message("{size} bytes", size=fact["size"]),
                    received=f"{path.stat().st_size}",
                    remedy="try again",
                )
        shutil.rmtree(kept.parent, ignore_errors=True)
        os.replace(temporary, kept.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
