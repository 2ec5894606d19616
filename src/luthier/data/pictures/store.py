"""Decoded pictures, kept: a file of bytes [N, C, H, W] in the user's cache, mapped into memory.

Decoding happens once. What is larger than memory stays on the disk, and the system reads the rows of a batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from luthier import storage
from luthier.data.pictures.content_names import path_behind
from luthier.data.pictures.decoding import Shape, decode_all, is_packed
from luthier.data.pictures.sketches import sketches

IN_MEMORY = 512 << 20  # bytes of pictures that are held as a copy; more are mapped from the disk
SKETCHED = 1024  # pictures that are read from the disk at a time


@dataclass(frozen=True, eq=False)
class PictureStore:
    """Pictures of one shape, by reference; `problems` says why some could not be read (their pixels are zeros)."""

    references: tuple[str, ...]
    pixels: np.ndarray
    problems: dict[int, str]

    @property
    def shape(self) -> Shape:
        """C, H, W of every picture."""
        return self.pixels.shape[1:]

    @cached_property
    def places(self) -> dict[str, int]:
        """The row of each reference."""
        return {reference: row for row, reference in enumerate(self.references)}

    def checksums(self, references: Sequence[str]) -> np.ndarray:
        """A checksum of each picture's bytes, uint64 [N]."""
        return checksums(self.pixels[self.places[reference]] for reference in references)

    def sketches(self, references: Sequence[str]) -> np.ndarray:
        """What each picture looks like, int16 [N, WIDTH]."""
        rows = np.array([self.places[reference] for reference in references], dtype=np.int64)
        parts = (sketches(self.pixels[some]) for some in np.array_split(rows, -(-len(rows) // SKETCHED) or 1))
        return np.concatenate(list(parts))

    def take(self, references: Sequence[str]) -> Tensor:
        """Pictures uint8 [N, C, H, W] in this order; KeyError for one that is not here."""
        rows = np.array([self.places[reference] for reference in references], dtype=np.int64)
        size = len(rows) * int(np.prod(self.shape))
        if size <= IN_MEMORY:
            return torch.from_numpy(self.pixels[rows])
        name = f"rows-{storage.sha256(repr(self.shape).encode() + chr(10).join(references).encode())[:24]}.npy"
        return torch.from_numpy(_mapped(cache_folder() / name, (len(rows), *self.shape), self.pixels, rows))


def checksums(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """A checksum of each picture's bytes, uint64 [N]."""
    sums = [hashlib.blake2b(np.ascontiguousarray(one).tobytes(), digest_size=8).digest() for one in pictures]
    return np.frombuffer(b"".join(sums), dtype="<u8").astype(np.uint64)


END = 1 << 13  # bytes of a file's beginning, and of its end, that tell it from others of its size


def cache_folder() -> Path:
    """Where decoded pictures are kept."""
    return storage.cache_folder("pictures")


def store_of(references: Sequence[str], shape: Shape, *, kept: bool = True) -> PictureStore:
    """Decoded pictures, from the cache where these files were decoded before; files of many need none."""
    total = (len(references), *shape)
    if not kept or all(map(is_packed, references)):
        pixels = np.zeros(total, dtype=np.uint8)
        return PictureStore(tuple(references), pixels, decode_all(references, shape, pixels))
    name = fingerprint(references, shape)[:32]
    path = cache_folder() / f"{name}.npy"
    known = path.with_suffix(".json")
    if path.exists() and known.exists():
        told = {int(row): why for row, why in json.loads(known.read_text(encoding="utf-8")).items()}
        return PictureStore(tuple(references), np.load(path, mmap_mode="r", allow_pickle=False), told)
    problems: dict[int, str] = {}

    def fill(pixels: np.ndarray) -> None:
        problems.update(decode_all(references, shape, pixels))
        storage.write_json(known, problems)

    _write_mapped(path, total, fill)
    return PictureStore(tuple(references), np.load(path, mmap_mode="r", allow_pickle=False), problems)


def fingerprint(references: Sequence[str], shape: Shape = (0, 0, 0)) -> str:
    """A checksum of files by name, size and time of change, and of the shape that they are decoded to."""
    lines = [repr(shape)]
    for name in dict.fromkeys(r.rpartition("#")[0] if is_packed(r) else r for r in references):
        try:
            known = os.stat(path_behind(name))
            lines.append(f"{name} {known.st_size} {known.st_mtime_ns}")
        except FileNotFoundError:
            lines.append(f"{name} missing")
    return storage.sha256("\n".join([*lines, *references]).encode())


def contents(references: Sequence[str]) -> str:
    """A checksum of pictures by the bytes of their files, wherever they lie: sizes, and both ends of each."""
    sums = []
    for name in dict.fromkeys(r.rpartition("#")[0] if is_packed(r) else r for r in references):
        try:
            with open(path_behind(name), "rb") as file:
                size, head = os.fstat(file.fileno()).st_size, file.read(END)
                file.seek(max(0, size - END))
                sums.append(f"{size} {hashlib.blake2b(head + file.read(END), digest_size=16).hexdigest()}")
        except OSError:
            sums.append("unreadable")
    places = [r.rpartition("#")[2] for r in references if is_packed(r)]
    return storage.sha256("\n".join([*sums, *places]).encode())


def _mapped(path: Path, shape: tuple[int, ...], pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows as a file of their own, mapped into memory."""

    def fill(into: np.ndarray) -> None:
        for start in range(0, len(rows), 1024):
            into[start : start + 1024] = pixels[rows[start : start + 1024]]

    if not path.exists():
        _write_mapped(path, shape, fill)
    result: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)  # private: torch wants to be able to write
    return result


def _write_mapped(path: Path, shape: tuple[int, ...], fill: Callable[[np.ndarray], None]) -> None:
    """A file of bytes of this shape, filled through a map of it; it has its name only when it is whole."""
    with storage.explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        temporary = Path(name)
        try:
            pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            _allocate(temporary)
            fill(pixels)
            pixels.flush()
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _allocate(path: Path) -> None:
    """Give a file all of its room now: writing to a map of it on a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
