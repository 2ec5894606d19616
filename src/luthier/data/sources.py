"""Where data comes from: files, standard input, frames, arrays, bundled sets. All become one frame."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from luthier.data.arrays import table_of, to_polars
from luthier.data.csv_text import open_csv, require_names
from luthier.data.large import (
    LargeTable,
    digest,
    is_parquet,
    read_parquet,
    sample_of,
    table_files,
    too_large,
)
from luthier.data.pictures import (
    LABEL,
    PICTURE,
    cache_folder,
    column_of_paths,
    folder_table,
    idx_table,
    is_idx,
)
from luthier.data.pictures import contents as picture_contents
from luthier.data.pictures import fingerprint as pictures_fingerprint
from luthier.data.pieces import Pieces
from luthier.data.remote import fetched, is_remote
from luthier.data.typed_columns.label_lists import without_lists
from luthier.data.typed_columns.numerals import NumberStyle, in_marks_of
from luthier.data.typed_columns.parsing import require_finite
from luthier.errors import InputError, in_a_line, nearest
from luthier.machine import default_memory
from luthier.messages import Message
from luthier.parquet_pages import require_sound_pages
from luthier.storage import readable, sha256, write_bytes

WRITTEN, DECIMAL = {"luthier": "written"}, "decimal"  # metadata of Parquet files that keep the text of other files
BUNDLED = ("digits", "iris", "wine", "breast-cancer", "diabetes")


@dataclass(frozen=True)
class Source:
    """A table and where it came from; cells of a CSV are text as they are written.

    `target` is known for bundled sets, `(X, y)` and pictures in folders only; `picture` names the column that refers to
    pictures, where there is one. `decimal` is the mark that the numbers of a file's text show, "." or ",", or
    nothing."""

    frame: pl.DataFrame
    name: str
    origin: str
    fingerprint: str
    notes: tuple[str, ...] = ()
    target: str | None = None
    picture: str = ""
    whole: LargeTable | None = None  # where the frame is a sample of a table that stays on the disk
    written: bool = False  # cells are the text of a file, which has no types
    decimal: str = ""

    @property
    def contents(self) -> str:
        """A checksum of the pictures' bytes and the other cells, wherever the pictures lie; empty without pictures."""
        if not self.picture:
            return ""
        pictures = picture_contents(self.frame[self.picture].fill_null("").to_list())
        return sha256((pictures + fingerprint(self.frame.drop(self.picture))).encode())


def is_gone(path: str) -> bool:
    """Whether nothing is where a path points; an address, a bundled set and an empty path are not looked at.

    >>> is_gone("nowhere.csv"), is_gone("https://example.org/x.csv"), is_gone("iris"), is_gone("")
    (True, False, False, False)
    """
    return bool(path) and not (path in BUNDLED or is_remote(path) or Path(path).exists())


def read_source(
    source: Any,
    *,
    target: str | int | None = None,
    memory: int = 0,
    weight: str = "",
    styles: Mapping[str, NumberStyle] | None = None,
) -> Source:
    """Read a path, '-' (CSV on standard input), a bundled name, a frame, dicts, or arrays `(X, y)`.

    Of a file for which a run would need more than `memory` bytes (0: half of the machine's) a sample is read, of rows
    whose `weight` is not 0. Where a file's numbers have other decimal marks than `styles`, in which columns of numbers
    are read, those of these columns are written with the marks that are expected.

    Raises InputError for what cannot be read as a table with distinct column names, at least one
    row, and (when `target` is given) that column.

    >>> read_source("iris").frame.shape
    (150, 5)
    """
    name = None if target is None else str(target)
    if isinstance(source, str) and is_remote(source):
        result = replace(_file(fetched(source), memory or default_memory(), name, weight), origin=source)
    elif isinstance(source, str) and source in BUNDLED:
        result = _bundled(source)
    elif isinstance(source, (str, Path)):
        with readable(Path(source)):
            result = _stdin() if str(source) == "-" else _file(Path(source), memory or default_memory(), name, weight)
    elif isinstance(source, tuple) and len(source) == 2:
        result = _arrays(*source)
    else:
        result = _frame(source)
    return _in_marks_of(_checked(result, name), styles or {})


def _in_marks_of(found: Source, styles: Mapping[str, NumberStyle]) -> Source:
    if not (styles and found.decimal):
        return found
    whole = found.whole and replace(
        found.whole, others=found.whole.others.then(lambda piece: in_marks_of(piece, styles, found.decimal))
    )
    return replace(found, frame=in_marks_of(found.frame, styles, found.decimal), whole=whole)


def _checked(found: Source, target: str | None) -> Source:
    frame = found.frame
    if frame.width == 0 or frame.height == 0:
        raise InputError(
            Message("'{name}' has no rows", name=found.name),
            expected="a header and at least a few rows",
            received=Message("{width} columns", width=frame.width),
        )
    wanted = target if target is not None else found.target
    if wanted is not None and wanted not in frame.columns:
        raise InputError(
            Message("there is no column '{wanted}' in '{name}'", wanted=wanted, name=found.name),
            expected=Message(
                "one of {names}", names=", ".join(frame.columns[:12]) + (", ..." if frame.width > 12 else "")
            ),
            remedy=nearest(wanted, frame.columns) or "check --target",
        )
    require_names(frame.columns, f"'{found.name}'")
    _require_plain(frame)
    require_finite(frame)
    return found


def _require_plain(frame: pl.DataFrame) -> None:
    """InputError for a column whose cells are no single values."""
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype in (pl.Object, pl.Binary) or "Extension" in str(dtype):
            raise InputError(
                Message("column '{name}' holds {lower} values", name=name, lower=str(dtype).lower()),
                expected="one number, text, date or boolean per cell",
                remedy="expand it into several columns, or leave it out",
            )


def _bundled(name: str) -> Source:
    from sklearn import datasets

    loader = {
        "digits": datasets.load_digits,
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
        "diabetes": datasets.load_diabetes,
    }[name]
    bunch = loader()
    labels = getattr(bunch, "target_names", None)
    y = bunch.target
    if labels is not None and name not in ("diabetes", "digits"):
        y = np.array([str(labels[i]) for i in bunch.target])
    target = {"digits": "digit", "iris": "species", "wine": "cultivar"}.get(name, "diagnosis")
    target = "progression" if name == "diabetes" else target
    columns = {str(column): bunch.data[:, i] for i, column in enumerate(bunch.feature_names)}
    frame = pl.DataFrame({**columns, target: y})
    return Source(frame, name, "bundled with scikit-learn", fingerprint(frame), target=target)


def _arrays(X: Any, y: Any) -> Source:
    X, y = (_array(values) if isinstance(values, Tensor) else values for values in (X, y))
    if _are_lists(y):
        y = without_lists(pl.Series("y", [sorted(map(str, labels)) for labels in y], dtype=pl.List(str)).to_frame())[
            "y"
        ]
    if np.ndim(X) in (3, 4) and np.ndim(y) == 1 and len(X) == len(y):
        return _picture_arrays(np.asarray(X), np.asarray(y))
    frame, target = table_of(X, y)
    return Source(frame, "arrays", "arrays", fingerprint(frame), target=target)


def _are_lists(y: Any) -> bool:
    """Whether targets are lists of labels, not a column of one value a row."""
    return isinstance(y, list) and {len(row) if isinstance(row, list | tuple | set) else 1 for row in y} > {1}


def _array(values: Any) -> np.ndarray:
    """An array, also of a tensor on a device or with gradients."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values  # NumPy has no such numbers
    return np.asarray(values)


def _picture_arrays(X: np.ndarray, y: np.ndarray | None = None) -> Source:
    """Pictures of bytes, or of numbers between 0 and 1, kept as a file of the cache that rows can refer to."""
    if X.dtype != np.uint8:
        low, high = float(X.min(initial=0)), float(X.max(initial=0))
        if low < 0 or high > (255 if np.issubdtype(X.dtype, np.integer) else 1):
            raise InputError(
                "the arrays are not pictures",
                expected="bytes, or numbers from 0 to 1",
                received=Message("{dtype} from {low:g} to {high:g}", dtype=X.dtype, low=low, high=high),
            )
        X = X.astype(np.uint8) if np.issubdtype(X.dtype, np.integer) else (X * 255).round().astype(np.uint8)
    content = np.ascontiguousarray(X)
    checksum = sha256(repr(content.shape).encode() + content.tobytes())
    path = cache_folder() / f"arrays-{checksum[:24]}.npy"
    if not path.exists():
        buffer = io.BytesIO()
        np.save(buffer, content, allow_pickle=False)
        write_bytes(path, buffer.getvalue())
    labels = {} if y is None else {LABEL: y}
    frame = pl.DataFrame({PICTURE: [f"{path}#{row}" for row in range(len(X))], **labels})
    checksum = fingerprint(pl.DataFrame(labels)) + checksum
    return Source(frame, "arrays", "arrays", checksum, target=next(iter(labels), None), picture=PICTURE)


def _pictures(path: Path) -> Source:
    frame, notes = folder_table(path) if path.is_dir() else (idx_table(path), ())
    checksum = sha256((pictures_fingerprint(frame[PICTURE].to_list()) + fingerprint(frame)).encode())
    target = LABEL if LABEL in frame.columns else None
    return Source(frame, path.name, str(path), checksum, notes, target=target, picture=PICTURE)


def _with_pictures(found: Source, folder: Path) -> Source:
    """A table whose column of paths, if it has one, refers to pictures."""
    known = column_of_paths(found.frame, folder)
    if known is None:
        return found
    name, frame = known
    checksum = sha256((found.fingerprint + pictures_fingerprint(frame[name].fill_null("").to_list())).encode())
    return replace(found, frame=frame, fingerprint=checksum, picture=name)


def _frame(source: Any) -> Source:
    source = _array(source) if isinstance(source, Tensor) else source
    if isinstance(source, np.ndarray) and source.ndim in (3, 4):
        return _picture_arrays(source)
    if isinstance(source, np.ndarray) and source.ndim == 2:
        frame = pl.DataFrame({f"x{i}": source[:, i] for i in range(source.shape[1])})
        return Source(frame, "array", "array", fingerprint(frame))
    frame = without_lists(to_polars(source))
    result = Source(frame, "table", f"{type(source).__module__.split('.')[0]} frame", fingerprint(frame))
    return _with_pictures(result, Path())


def fingerprint(frame: pl.DataFrame) -> str:
    """A checksum of a frame's names, types and values."""
    _require_plain(frame)  # Polars panics over cells that have no hash
    rows = frame.hash_rows(seed=0).to_numpy()
    return sha256(str(frame.schema).encode() + rows.tobytes())


def _file(path: Path, memory: int, target: str | None, weight: str) -> Source:
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        near = nearest(path.name, [entry.name for entry in folder.iterdir()] + list(BUNDLED))
        raise InputError(
            Message("there is no file '{path}'", path=path),
            expected=Message("a CSV or Parquet file, or one of {names}", names=", ".join(BUNDLED)),
            remedy=near or "check the path",
        )
    _require_stored(path)
    if (path.is_dir() and not is_parquet(path)) or is_idx(path):
        return _pictures(path)
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(
            Message("'{path}' is empty", path=path), expected="a header and at least a few rows", received="0 bytes"
        )
    if too_large(path, memory, target):
        frame, whole, checksum, notes = sample_of(path, memory, target, weight)
        result = Source(frame, path.name, str(path), checksum, notes, whole=whole)
        return replace(result, written=not is_parquet(path), decimal=whole.decimal)
    if path.is_dir():
        return Source(without_lists(read_parquet(path)), path.name, str(path), digest(path))
    content = path.read_bytes()
    if path.suffix.lower() in (".parquet", ".pq") or content[:4] == b"PAR1":
        frame, written, decimal = _parquet(content, path.name)
        result = Source(frame, path.name, str(path), sha256(content), written=written, decimal=decimal)
    else:
        result = _csv(content, path.name, str(path))
    return _with_pictures(result, path.parent)


def _csv(content: bytes, name: str, origin: str) -> Source:
    table = open_csv(content, name)
    result = Source(table.frame(), name, origin, sha256(content), table.notes, written=True)
    return replace(result, decimal=table.dialect.decimal)


def _require_stored(path: Path) -> None:
    """InputError for a device, a pipe or a socket: some never end, and none can be read twice."""
    if not (path.is_file() or path.is_dir()):
        raise InputError(
            Message("'{path}' is not a file or a folder", path=path),
            expected="a CSV or Parquet file",
            received="a pipe" if path.is_fifo() else "a device or a socket",
            remedy="write it to a file, or pipe it in and give '-' as the source",
        )


def _parquet(content: bytes, name: str) -> tuple[pl.DataFrame, bool, str]:
    """The table of a Parquet file, whether its cells are the text of a file without types, and its decimal mark."""
    try:
        require_sound_pages(content)
        known = pl.read_parquet_metadata(io.BytesIO(content))
        written = WRITTEN.items() <= known.items()
        frame = without_lists(pl.read_parquet(io.BytesIO(content)))
        return frame, written, known.get(DECIMAL, "") if written else ""
    except InputError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # Polars panics over some damaged pages
        raise InputError(
            Message("'{name}' is not a complete Parquet file", name=name),
            received=in_a_line(error),
            remedy="it may be truncated; copy or write it again",
        ) from error


def _stdin() -> Source:
    content = sys.stdin.buffer.read()
    if not content:
        raise InputError("standard input is empty", expected="CSV with a header")
    return _csv(content, "standard input", "standard input")


def read_batches(
    source: Any,
    rows: int,
    say: Callable[[str], None] = lambda _: None,
    styles: Mapping[str, NumberStyle] | None = None,
) -> Iterator[pl.DataFrame]:
    """A table in batches of `rows`, so that a file larger than memory can be walked.

    Cells of a CSV are text as they are written, but for the decimal marks of columns with `styles`, as `read_source`
    has them too. What is to be said of how it is read goes to `say`.
    """
    source = fetched(source) if isinstance(source, str) and is_remote(source) else source
    path = Path(source) if isinstance(source, (str, Path)) and str(source) not in ("-", *BUNDLED) else None
    with readable(path or Path()):
        if path is not None and path.exists():
            _require_stored(path)
        if path is None or not path.exists() or not (path.is_file() or is_parquet(path)) or _is_whole(path):
            result = read_source(source, styles=styles)
            for note in result.notes:
                say(note)
            yield from result.frame.iter_slices(rows)
            return
        batches = (
            Pieces(tuple(table_files(path)), np.zeros(0, dtype=np.int64)).frames(rows)
            if is_parquet(path)
            else _csv_batches(path, rows, say, styles or {})
        )
        for batch in batches:
            batch = without_lists(batch)
            known = column_of_paths(batch, path.parent)
            yield batch if known is None else known[1]


def _is_whole(path: Path) -> bool:
    """Whether a file can only be read as a whole; an empty one is complained of then."""
    return path.stat().st_size == 0 or is_idx(path)


def _csv_batches(
    path: Path, rows: int, say: Callable[[str], None], styles: Mapping[str, NumberStyle]
) -> Iterator[pl.DataFrame]:
    table = open_csv(path, path.name)
    for note in table.notes:
        say(note)
    for frame in table.frames():
        yield from in_marks_of(frame, styles, table.dialect.decimal).iter_slices(rows)


def default_name(source: Any, found: Source) -> str:
    """The name of a run's folder: the file's or the bundled set's."""
    return Path(found.name).stem if isinstance(source, (str, Path)) and str(source) != "-" else "table"
