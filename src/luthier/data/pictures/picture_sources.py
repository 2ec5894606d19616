"""Where pictures come from: a folder with one sub-folder a class, IDX files, arrays, a table with a column of paths.

Each becomes a table with a column of references, so that whatever holds for tables holds for pictures.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from luthier.data.pictures.content_names import NAMED as NAMED_BY_CONTENT
from luthier.data.pictures.content_names import with_content_names
from luthier.data.pictures.decoding import SUFFIXES, Shape, UnreadableError, is_packed, shape_of
from luthier.data.pictures.folders import LABEL, PICTURE, class_folders
from luthier.data.pictures.idx import read_idx
from luthier.data.pictures.store import PictureStore, store_of
from luthier.errors import InputError
from luthier.messages import Message

LARGEST, SMALLEST = 64, 8  # sides that pictures are scaled to, unless they are asked for
SURVEYED = 400  # pictures whose size is looked at
NAMED = 5  # unreadable pictures that are named
HEADS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"GIF8")  # of the formats of pictures


def is_idx(path: Path) -> bool:
    """Whether a file is named like one of MNIST's, or begins like an IDX file."""
    if not path.is_file():
        return False
    if "idx" in path.name and "ubyte" in path.name:
        return True
    with path.open("rb") as file:
        head = file.read(4)
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in (8, 9, 11, 12, 13, 14) and 1 <= head[3] <= 4


def folder_table(folder: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """References and labels of a folder: classes by sub-folder, or pairs of IDX files."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    packed = [entry for entry in entries if is_idx(entry) and "images" in entry.name]
    if packed:
        frames = [idx_table(path) for path in packed]
        note = Message(
            "{count} files of pictures are read as one data set: {names}",
            count=len(packed),
            names=", ".join(path.name for path in packed),
        )
        return pl.concat(frames), (note,) if len(packed) > 1 else ()
    return class_folders(folder)


def idx_table(path: Path) -> pl.DataFrame:
    """References of an IDX file of pictures, with the labels of the file beside it."""
    images = read_idx(path)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            Message("'{name}' holds no pictures", name=path.name),
            expected="bytes with three axes, as MNIST's images",
            received=Message("{dtype} with {ndim} axes", dtype=images.dtype, ndim=images.ndim),
        )
    references = [f"{path}#{row}" for row in range(len(images))]
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    beside = next(
        (
            path.with_name(one)
            for one in (name, name.removesuffix(".gz"), f"{name}.gz")
            if one != path.name and path.with_name(one).exists()
        ),
        None,
    )
    if beside is None:
        return pl.DataFrame({PICTURE: references})
    labels = read_idx(beside)
    if labels.shape != images.shape[:1]:
        raise InputError(
            Message("'{name}' and '{labels}' do not match", name=path.name, labels=beside.name),
            expected=Message("{count} labels, one per picture", count=len(images)),
            received=Message("labels of shape {list}", list=list(labels.shape)),
        )
    return pl.DataFrame({PICTURE: references, LABEL: labels.astype(np.int64)})


def column_of_paths(frame: pl.DataFrame, folder: Path) -> tuple[str, pl.DataFrame] | None:
    """The column of a table that holds paths of pictures, with the paths made whole; None where there is none."""
    for name in frame.columns:
        values = frame[name]
        if values.dtype == pl.Binary and is_pictures(values.drop_nulls().head(100)):
            return name, with_content_names(frame, name)
        if values.dtype != pl.String:
            continue
        known = values.drop_nulls()
        if len(known) and all(is_packed(str(value)) and ".npy#" in str(value) for value in known.head(100)):
            return name, frame
        if len(known) and all(NAMED_BY_CONTENT.fullmatch(str(value)) for value in known.head(100)):
            return name, frame
        if len(known) and all(str(value).lower().endswith(SUFFIXES) for value in known.head(100)):
            whole = [None if value is None else str(folder / value) for value in values]
            return name, frame.with_columns(pl.Series(name, whole, dtype=pl.String))
    return None


def is_pictures(cells: pl.Series) -> bool:
    """Whether cells are bytes that begin as files of pictures do."""
    return len(cells) > 0 and all(bytes(cell).startswith(HEADS) for cell in cells)


def common_shape(references: list[str], side: int = 0) -> Shape:
    """The shape for all: colour if any has it; the median height and width, no side above 64 unless asked for."""
    indices = np.unique(np.linspace(0, len(references) - 1, min(SURVEYED, len(references))).astype(int))
    shapes = []
    for place in indices:
        try:
            shapes.append(shape_of(references[place]))
        except UnreadableError:
            continue
    if not shapes:
        return 3, side or 32, side or 32
    channels = 3 if max(c for c, _, _ in shapes) == 3 else 1
    height, width = (int(np.median([shape[axis] for shape in shapes])) for axis in (1, 2))
    factor = side / max(height, width) if side else min(1.0, LARGEST / max(height, width))
    return channels, max(SMALLEST, round(height * factor)), max(SMALLEST, round(width * factor))


def read_pictures(
    frame: pl.DataFrame, column: str, shape: Shape, *, strict: bool = False
) -> tuple[pl.DataFrame, PictureStore, tuple[str, ...]]:
    """Decode all pictures of a table; rows whose picture cannot be read are named and left out.

    InputError with `strict`, or when none can be read.
    """
    references = frame[column].fill_null("").to_list()
    store = store_of(references, shape)
    if not store.problems:
        return frame, store, ()
    named = [f"'{Path(references[row]).name}' ({why})" for row, why in list(store.problems.items())[:NAMED]]
    more = len(store.problems) - len(named)
    message = Message(
        "{count} of {rows} pictures cannot be read: {names}{more}",
        count=len(store.problems),
        rows=len(references),
        names=", ".join(named),
        more=Message(" and {count} more", count=more) if more > 0 else "",
    )
    if strict or len(store.problems) == len(references):
        raise InputError(message, expected="pictures of 8 or 16 bits, PNG or JPEG", remedy="repair or remove them")
    kept = np.setdiff1d(np.arange(len(references)), list(store.problems))
    return frame[kept], store, (Message("{message}; they are left out", message=message),)
