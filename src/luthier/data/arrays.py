"""Frames of other libraries, and arrays, as Polars frames: names kept, each cell as it came."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from luthier.data.csv_text import require_names
from luthier.data.typed_columns.levels import text_of
from luthier.errors import InputError, in_a_line
from luthier.messages import Message

WIDE = [getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name)]  # NumPy has no such numbers


def to_polars(source: Any) -> pl.DataFrame:
    """A pandas, Polars or Arrow frame as a Polars frame, or dicts: columns, a row, or a list of rows.

    InputError for anything else.

    >>> to_polars([{"x": 1, "kind": "a"}, {"x": 2.5, "kind": "b"}]).shape, to_polars({"x": 1, "kind": "a"}).shape
    ((2, 2), (1, 2))
    >>> to_polars(3)
    Traceback (most recent call last):
    luthier.errors.InputError: a int is not a table
      expected: a path, a bundled name, a pandas, Polars or Arrow frame, dicts, or arrays (X, y)
    """
    source = source.collect() if isinstance(source, pl.LazyFrame) else _from_dicts(source)
    names = getattr(source, "column_names", getattr(source, "columns", ()))  # Arrow's columns are their values
    require_names(map(str, names), "the frame")
    try:
        frame = nw.from_native(source, eager_only=True)
    except TypeError:
        raise InputError(
            Message("a {kind} is not a table", kind=type(source).__name__),
            expected="a path, a bundled name, a pandas, Polars or Arrow frame, dicts, or arrays (X, y)",
        ) from None
    except Exception as error:  # duplicate names, in each library's own words
        raise InputError("the frame cannot be read", received=in_a_line(error)) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pandas and Polars have to say to each other is not the user's
            if frame.implementation.is_pandas():
                frame = nw.from_native(_mended(source), eager_only=True)
            result: pl.DataFrame = frame.to_polars()
            levels = {name: pl.Enum(kind.categories) for name, kind in frame.schema.items() if _has_order(kind)}
            result = result.with_columns(pl.col(name).cast(pl.String).cast(kind) for name, kind in levels.items())
            return result.with_columns(_narrowed(column) for column in result if column.dtype in WIDE)
    except Exception as error:  # columns of mixed objects, in each library's own words
        raise InputError(
            "the frame cannot be read",
            expected="one kind of values in each column",
            received=_first_unreadable(source, map(str, names)) or in_a_line(error),
        ) from error


def _from_dicts(source: Any) -> Any:
    """A dict of columns, the dict of one row, or a list of those, as a frame; anything else as it is."""
    if isinstance(source, Mapping):
        is_row = not any(hasattr(cells, "__len__") and not isinstance(cells, (str, bytes)) for cells in source.values())
        source = [source] if is_row else dict(source)
    elif not (isinstance(source, (list, tuple)) and source and all(isinstance(row, Mapping) for row in source)):
        return source
    try:
        return pl.DataFrame(source, infer_schema_length=None)
    except Exception as error:  # cells of several kinds in a column, columns of several lengths, in Polars' words
        raise InputError(
            "the dicts are not a table", expected="columns of one length and one kind", received=in_a_line(error)
        ) from error


def _has_order(kind: Any) -> bool:
    """Whether a type is one of levels in an order, all of them text."""
    return isinstance(kind, nw.Enum) and all(isinstance(level, str) for level in kind.categories)


def _first_unreadable(source: Any, names: Iterable[str]) -> str:
    """Which column of a frame cannot be read, and why; empty where each can."""
    for place, name in enumerate(names):
        try:
            nw.from_native(source, eager_only=True)[:, place].to_polars()
        except Exception as error:
            return f"column '{name}': {in_a_line(error)}"
    return ""


def table_of(X: Any, y: Any) -> tuple[pl.DataFrame, str]:
    """Rows and their targets as one table, and the target's name; columns of arrays go by their numbers.

    >>> table_of(np.zeros((2, 1)), np.array([0, 1]))[0].columns
    ['x0', 'y']
    """
    rows, target = _rows(X), _target(y)
    if rows is None or np.ndim(y) != 1 or len(rows) != len(target):
        raise InputError(
            "the arrays do not fit together",
            expected="X with rows and columns, y with one value for each row",
            received=Message("X of shape {X}, y of shape {y}", X=np.shape(X), y=np.shape(y)),
        )
    name = str(getattr(y, "name", None) or "y")
    while name in rows.columns:
        name += "_"
    return rows.with_columns(target.alias(name)), name


def _rows(X: Any) -> pl.DataFrame | None:
    if hasattr(X, "columns"):
        return to_polars(X)
    array = _known(np.asarray(X))
    return pl.DataFrame({f"x{i}": array[:, i] for i in range(array.shape[1])}) if array.ndim == 2 else None


def _known(array: np.ndarray) -> np.ndarray:
    """An array of a type that Polars knows: moments and lengths of time in microseconds. InputError for raw memory."""
    if array.dtype.kind == "V":
        raise InputError(
            "the array holds records or raw bytes",
            expected="one number, text, date or boolean per cell",
            received=str(array.dtype),
            remedy="a frame of its fields: pandas.DataFrame(array)",
        )
    return array.astype(f"{array.dtype.kind}8[us]") if array.dtype.kind in "mM" else array


def _narrowed(column: pl.Series) -> pl.Series:
    """Whole numbers of 128 bits as those of 64, or as floats where one is too large."""
    result = column.cast(pl.Int64, strict=False)
    return result if result.null_count() == column.null_count() else column.cast(pl.Float64)


def _target(y: Any) -> pl.Series:
    if isinstance(y, pl.Series):
        return y
    return to_polars(y.to_frame("y"))["y"] if hasattr(y, "to_frame") else pl.Series(_known(np.asarray(y)))


def _mended(frame: Any) -> Any:
    """A pandas frame whose periods are dates, whose sparse columns are dense, and whose mixed objects are text."""
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        message = str(kind)
        if message.startswith("period"):
            frame = frame.assign(**{name: frame[name].dt.to_timestamp()})
        elif message.startswith("Sparse"):
            frame = frame.assign(**{name: frame[name].sparse.to_dense()})
        elif message == "object" and _is_mixed(frame[name]):
            frame = frame.assign(**{name: [_written(value) for value in frame[name]]})
    return frame


def _is_mixed(cells: Any) -> bool:
    """Whether Python objects of several types stand in a column, as pandas leaves them where a file was mixed."""
    return len({type(value) for value in cells.dropna()}) > 1


def _written(value: Any) -> str | None:
    missing = value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
    return None if missing else value if isinstance(value, str) else text_of(value)
