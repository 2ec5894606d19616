"""Files that somebody else may have written: read whole and within bounds, compared with a schema, or refused.

Only a plain file is opened, never a link, a pipe or a device. JSON is bounded in size, depth and number of values
before Python objects are made of it, and its numbers are finite. A schema is a `TypedDict` (what it does not name is
kept), a Pydantic model, or any other type that Pydantic knows.
"""

from __future__ import annotations

import io
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from luthier.errors import InputError, in_a_line
from luthier.messages import Message
from luthier.parquet_pages import require_sound_pages

LARGEST_JSON, LARGEST_LOG = 64 << 20, 1 << 30  # bytes
MOST_VALUES, MOST_CONTAINERS = 8_000_000, 1_000_000  # of a JSON text; an empty list of 2 bytes takes 64 of memory
DEEPEST_TOML = 20
MOST_CELLS = 25_000_000  # of a Parquet file, beside one for each of its bytes: a column of one value packs to nothing
REMEDY = "copy it again from the original, or start a new run"

_TYPES: Mapping[str, Any] = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String}


def open_plain(path: Path) -> BinaryIO:
    """A plain file, open to be read. InputError for links, folders, pipes and devices; FileNotFoundError for none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if "\0" not in str(path) and (path.is_symlink() or path.is_dir()):
            raise _not_plain(path) from None
        received = in_a_line(error)
        raise InputError(
            Message("'{path}' cannot be read", path=path), received=received, remedy="check its permissions"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_plain(path)
    return os.fdopen(descriptor, "rb")


def content_of(path: Path, most: int = LARGEST_JSON) -> bytes:
    """The bytes of a plain file, as `open_plain` opens it. InputError beyond `most` bytes."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            expected, received = (
                Message("at most {most:,} MiB", most=most >> 20),
                Message("{size:,} MiB", size=size >> 20),
            )
            raise InputError(
                Message("'{path}' is too large", path=path), expected=expected, received=received, remedy=REMEDY
            )
        return file.read()


def _not_plain(path: Path) -> InputError:
    kind = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "a pipe or a device"
    return InputError(
        Message("'{path}' is {kind}", path=path, kind=kind), expected="a plain file", remedy="put the file itself there"
    )


def require_plain_files(folder: Path, names: Callable[[str], bool] = lambda name: True) -> None:
    """InputError where an entry of a folder, of those with these names, is neither a plain file nor a folder."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(Message("'{folder}' cannot be read", folder=folder), received=in_a_line(error)) from None
    for entry in entries:
        plain = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
        if names(entry.name) and not plain:
            raise _not_plain(Path(entry.path))


def parse_json(content: bytes, where: str, *, finite: bool = True) -> Any:
    """The value of a JSON text. InputError, about `where`, for what is not JSON or beyond the bounds.

    Unless it is to be `finite`, NaN and Infinity are numbers too.

    >>> parse_json(b'{"a": [1, NaN]}', "scores.json")
    Traceback (most recent call last):
    luthier.errors.InputError: scores.json is not valid JSON
      received: expected value at line 1 column 11
      try: copy it again from the original, or start a new run
    """
    if content.count(b",") > MOST_VALUES or content.count(b"[") + content.count(b"{") > MOST_CONTAINERS:
        raise InputError(
            Message("{where} has too many values", where=where),
            expected=Message("at most {most_values:,}", most_values=MOST_VALUES),
            remedy=REMEDY,
        )
    try:
        return from_json(content, allow_inf_nan=not finite, cache_strings="keys")
    except ValueError as error:
        raise InputError(
            Message("{where} is not valid JSON", where=where), received=in_a_line(error), remedy=REMEDY
        ) from None


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def validated(schema: Any, value: Any, where: str, remedy: str = REMEDY) -> Any:
    """A value as a schema says. InputError, about `where`, that names the first field that is otherwise.

    >>> validated(dict[str, int], {"a": "many"}, "counts.json")
    Traceback (most recent call last):
    luthier.errors.InputError: counts.json does not hold what it should: a
      expected: a valid integer, unable to parse string as an integer
      received: 'many'
      try: copy it again from the original, or start a new run
    """
    try:
        return _adapter(schema).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
    except RecursionError:
        raise InputError(Message("{where} is nested too deeply", where=where), remedy=remedy) from None
    field = ".".join(str(part)[:60] for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    received = "nothing" if first["type"] == "missing" else _short(first["input"])
    expected = "a value" if first["type"] == "missing" else message
    raise InputError(
        Message("{where} does not hold what it should: {field}", where=where, field=field)
        if field
        else Message("{where} does not hold what it should", where=where),
        expected=expected,
        received=received,
        remedy=remedy,
    )


def read_json(path: Path, schema: Any, what: str = "") -> Any:
    """The value of a JSON file, as a schema says. FileNotFoundError where there is none; InputError for another."""
    where = f"'{path}'{what and f', {what},'}"
    return validated(schema, parse_json(content_of(path), where), where)


def read_records(path: Path, schema: Any, what: str) -> tuple[list[Any], int]:
    """The whole lines of a file of JSON values, each as a schema says, and how many bytes they fill.

    A last line that a kill cut short is left out; any other that is damaged is an InputError that calls the file by
    `what` it is.
    """
    try:
        content = content_of(path, LARGEST_LOG)
    except FileNotFoundError:
        return [], 0
    records, good = list[Any](), 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        where = Message("the {what} '{path}', line {count},", what=what, path=path, count=len(records) + 1)
        records.append(validated(schema, parse_json(line, where), where))
        good += len(line)
    return records, good


_CONTRADICTIONS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    pl.exceptions.PolarsError,
)


@contextmanager
def fitting_together(folder: Path) -> Iterator[None]:
    """Each file of a folder holds what it should, and still they may contradict each other: an InputError too."""
    try:
        yield
    except _CONTRADICTIONS as error:
        raise InputError(
            Message("the files in '{folder}' do not fit together", folder=folder),
            received=f"{type(error).__name__}: {in_a_line(error)[:200]}",
            remedy="restore the folder from a backup, or start a new run",
        ) from error


def read_toml(path: Path) -> dict[str, object]:
    """The value of a TOML file, within bounds of size and depth. InputError for what is not TOML."""
    content = content_of(path, 1 << 20)
    if _toml_depth(content) > DEEPEST_TOML:
        raise InputError(
            Message("'{path}' is nested too deeply", path=path),
            expected=Message("at most {deepest_toml} levels", deepest_toml=DEEPEST_TOML),
        )
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # of decoding and of numbers too
        raise InputError(Message("'{path}' is not a TOML file", path=path), received=in_a_line(error)) from None


def _toml_depth(content: bytes) -> int:
    """At most so many brackets are open at once, or names stand in a dotted key."""
    longest = max((line.split(b"=")[0].count(b".") for line in content.splitlines()), default=0)
    deep = most = 0
    for byte in content:
        deep = max(0, deep + (byte in b"[{") - (byte in b"]}"))
        most = max(most, deep)
    return max(most, longest)


def read_frame(path: Path, columns: Mapping[str, str]) -> pl.DataFrame:
    """A Parquet file whose `columns` are an "integer" (never missing), a "number" or "text". Others come as they are.

    FileNotFoundError where there is none; InputError for any other file.
    """
    content = content_of(path, 1 << 40)
    try:
        require_sound_pages(content)
        lazy = pl.scan_parquet(io.BytesIO(content))
        schema = lazy.collect_schema()
        rows = int(lazy.select(pl.len()).collect().item())
        if rows * max(1, len(schema)) > MOST_CELLS + len(content):
            received = Message(
                "{rows:,} rows of {columns:,} columns in {size:,} bytes",
                rows=rows,
                columns=len(schema),
                size=len(content),
            )
            raise InputError(
                Message("'{path}' holds more than its size allows", path=path), received=received, remedy=REMEDY
            )
        for name, kind in columns.items():
            dtype = schema.get(name)
            if dtype is None or not (dtype == pl.String if kind == "text" else dtype.is_numeric()):
                received = Message("a column of type {kind}" if dtype is not None else "no such column", kind=dtype)
                raise _other_column(path, name, kind, received)
        frame = lazy.with_columns(pl.col(name).cast(_TYPES[kind]) for name, kind in columns.items()).collect()
        for name, kind in columns.items():
            if kind == "integer" and frame[name].null_count():
                raise _other_column(path, name, kind, "missing values")
        return frame
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError) as error:
        raise InputError(
            Message("'{path}' cannot be read", path=path), received=in_a_line(error)[:200], remedy=REMEDY
        ) from None


def _other_column(path: Path, name: str, kind: str, received: str) -> InputError:
    problem, expected = (
        Message("'{path}' does not hold what it should: {name}", path=path, name=name),
        Message("a column of type {kind}", kind=kind),
    )
    return InputError(problem, expected=expected, received=received, remedy=REMEDY)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return Message("an object of {count}" if isinstance(value, dict) else "a list of {count}", count=len(value))
    text = "true" if value is True else "false" if value is False else "null" if value is None else repr(value)[:60]
    return text if len(text) < 60 else text + "..."
