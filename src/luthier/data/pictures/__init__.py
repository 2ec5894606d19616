"""Pictures: references, decoding, the cache, and what networks are given of them."""

from __future__ import annotations

from luthier.data.pictures.content_names import with_content_names
from luthier.data.pictures.decoding import (
    FORMATS,
    SUFFIXES,
    Shape,
    UnreadableError,
    cost_of,
    decode,
    is_packed,
    shape_of,
)
from luthier.data.pictures.encoder import PictureEncoder, Pixels
from luthier.data.pictures.folders import LABEL, PICTURE
from luthier.data.pictures.idx import read_idx
from luthier.data.pictures.picture_sources import (
    column_of_paths,
    common_shape,
    folder_table,
    idx_table,
    is_idx,
    read_pictures,
)
from luthier.data.pictures.sketches import alike, sketches
from luthier.data.pictures.store import PictureStore, cache_folder, checksums, contents, fingerprint, store_of

__all__ = [
    "FORMATS",
    "LABEL",
    "PICTURE",
    "SUFFIXES",
    "PictureEncoder",
    "PictureStore",
    "Pixels",
    "Shape",
    "UnreadableError",
    "alike",
    "cache_folder",
    "checksums",
    "column_of_paths",
    "common_shape",
    "contents",
    "cost_of",
    "decode",
    "fingerprint",
    "folder_table",
    "idx_table",
    "is_idx",
    "is_packed",
    "read_idx",
    "read_pictures",
    "shape_of",
    "sketches",
    "store_of",
    "with_content_names",
]
