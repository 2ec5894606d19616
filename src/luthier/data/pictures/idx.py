"""IDX files, the format that MNIST came in: a magic number, the sizes, then the numbers themselves."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from luthier.errors import InputError
from luthier.messages import Message

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_BYTES = 8 << 30  # of one file, unpacked


def read_idx(path: Path) -> np.ndarray:
    """The array in an IDX file, plain or gzip. InputError for a wrong magic number or a wrong length.

    Source: the description of the format at yann.lecun.com/exdb/mnist.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or not 1 <= content[3] <= 4:
        raise InputError(
            Message("'{name}' is not an IDX file", name=path.name),
            expected="a header of two zero bytes, a type and the number of axes",
            received=Message("the bytes {found}", found=content[:4].hex(" ")) if content else "an empty file",
        )
    kind, axes = np.dtype(TYPES[content[2]]), content[3]
    head = 4 + 4 * axes
    if len(content) < head:
        raise InputError(
            Message("'{name}' ends within its header", name=path.name),
            received=Message("{count} bytes", count=len(content)),
        )
    shape = tuple(int.from_bytes(content[4 + 4 * k : 8 + 4 * k], "big") for k in range(axes))
    wanted = head + prod(shape) * kind.itemsize
    if len(content) != wanted:
        raise InputError(
            Message("the length of '{name}' does not match its header", name=path.name),
            expected=Message("{wanted} bytes for {names}", wanted=wanted, names=" x ".join(map(str, shape))),
            received=Message("{count} bytes", count=len(content)),
            remedy="it may be truncated: copy or download it again",
        )
    if not prod(shape):
        raise InputError(
            Message("'{name}' is empty", name=path.name),
            received=Message("{names} numbers", names=" x ".join(map(str, shape))),
        )
    result = np.frombuffer(content, dtype=kind, offset=head).reshape(shape)
    return result if kind.itemsize == 1 else result.astype(kind.newbyteorder("="))


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.read_bytes()
    try:
        with gzip.open(path) as unpacked:
            content = unpacked.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            Message("'{name}' is not a complete gzip file", name=path.name), received=str(error)
        ) from error
    if len(content) > MOST_BYTES:
        raise InputError(
            Message("'{name}' is too large", name=path.name),
            expected=Message("at most {most_bytes} GiB when unpacked", most_bytes=MOST_BYTES >> 30),
        )
    return content
