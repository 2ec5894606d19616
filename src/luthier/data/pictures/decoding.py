"""Pictures as tensors of bytes. C channels, H height, W width.

A picture is named by a reference: a file (`cats/1.jpg`), or a row of a file that holds many
(`train-images-idx3-ubyte.gz#17`, `pictures.npy#3`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from luthier.data.pictures.content_names import path_behind
from luthier.data.pictures.idx import read_idx
from luthier.errors import InputError, in_a_line
from luthier.machine import cores
from luthier.messages import Message
from luthier.optional import require

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".webp", ".tif", ".tiff", ".gif")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")  # no other decoder sees a file, whatever its name
MOST_PIXELS = 40_000_000  # of one picture: a small file can unpack to more than any memory holds
DEEP = ("I;16", "I;16B", "I", "F")  # modes of more than 8 bits
PIXEL = {"JPEG": 0.25, "MPO": 0.25, "WEBP": 2.0}  # work and memory of a format's pixel, against a PNG's
SCAN = 0.1  # the same of each scan of a progressive JPEG
STRIP = 1 << 20  # pixels that are brought to 8 bits, or laid over white, at a time: copies of all would fill memory
READS, BYTES_A_READ = 2000, 100  # of a file in memory: headers of a million tiny pieces take minutes
TOGETHER = 64  # pictures that a worker decodes at a time
WORTH_WORKERS = 512  # files, below which starting processes takes longer than decoding

Shape = tuple[int, int, int]  # C, H, W


class UnreadableError(Exception):
    """Why one picture cannot be had."""


def is_packed(reference: str) -> bool:
    """Whether a reference names a row of a file."""
    return "#" in reference and reference.rpartition("#")[2].isdigit()


def shape_of(reference: str) -> Shape:
    """Channels (1 grey, 3 colour), height and width as the picture is to be seen; UnreadableError otherwise."""
    if is_packed(reference):
        return _channels_first(_packed(reference)).shape
    with _opened(reference) as picture, _explained():
        width, height = picture.size
        if picture.getexif().get(0x0112, 1) in (5, 6, 7, 8):  # lies on its side
            width, height = height, width
        grey = picture.mode in ("1", "L", "LA", "I;16", "I", "F")
        return (1 if grey else 3), height, width


def decode(reference: str | bytes, shape: Shape) -> np.ndarray:
    """A picture as uint8 [C, H, W]: turned as its EXIF says, cut to the shape's sides ratio, scaled to its size.

    Bytes are the content of a file. UnreadableError says why it cannot be had.
    """
    images = require("PIL.Image", extra="vision", purpose="reading pictures")
    operations = require("PIL.ImageOps", extra="vision", purpose="reading pictures")
    channels, height, width = shape
    if isinstance(reference, str) and is_packed(reference):
        pixels = _channels_first(_packed(reference))
        if pixels.shape == shape:
            return pixels
        picture = images.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
    else:
        with _opened(reference) as picture, _explained():
            picture.draft(None, (2 * max(height, width),) * 2)  # of JPEG: no more of it than scaling down needs
            picture.load()
            operations.exif_transpose(picture, in_place=True)
    with _explained():
        picture = _plain(picture, "L" if channels == 1 else "RGB", images)
    if picture.size != (width, height):
        picture = operations.fit(picture, (width, height), images.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.uint8)
    return np.ascontiguousarray(pixels[None] if channels == 1 else np.moveaxis(pixels, -1, 0))


def cost_of(content: bytes) -> int:
    """The work of unpacking the content of a file, read from its head: in pixels of a PNG.

    A JPEG is unpacked at a fraction of its size; each scan of a progressive one goes over all of it, and a small file
    can hold thousands. A WebP is held four times. UnreadableError says why the picture cannot be had.
    """
    with _opened(content) as picture:
        pixels, weight = picture.size[0] * picture.size[1], PIXEL.get(picture.format, 1.0)
    if weight < 1:
        weight = max(weight, SCAN * content.count(b"\xff\xda"))
    return int(pixels * weight)


def decode_all(references: Sequence[str], shape: Shape, into: np.ndarray) -> dict[int, str]:
    """Decode into [N, C, H, W]; returns why, for those that cannot be read. Many files go through processes."""
    problems: dict[int, str] = {}
    blocks = [range(at, min(at + TOGETHER, len(references))) for at in range(0, len(references), TOGETHER)]
    files = sum(not is_packed(reference) for reference in references)
    workers = cores()
    if files < WORTH_WORKERS or workers == 1:
        for block in blocks:
            _put(block, *decode_block([references[i] for i in block], shape), into, problems)
        return problems
    with ProcessPoolExecutor(workers) as pool:
        tasks = [[references[i] for i in block] for block in blocks]
        for block, result in zip(blocks, pool.map(decode_block, tasks, [shape] * len(tasks)), strict=True):
            _put(block, *result, into, problems)
    return problems


def _put(block: range, pixels: np.ndarray, failed: dict[int, str], into: np.ndarray, problems: dict[int, str]) -> None:
    into[block.start : block.stop] = pixels
    problems.update({block.start + place: why for place, why in failed.items()})


def decode_block(references: Sequence[str | bytes], shape: Shape) -> tuple[np.ndarray, dict[int, str]]:
    """Pictures [N, C, H, W], and why, for those that cannot be read."""
    pixels, failed = np.zeros((len(references), *shape), dtype=np.uint8), {}
    for place, reference in enumerate(references):
        try:
            pixels[place] = decode(reference, shape)
        except UnreadableError as error:
            failed[place] = str(error)
    return pixels, failed


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever the library raises over a damaged file, as the reason why it cannot be read."""
    images = require("PIL.Image", extra="vision", purpose="reading pictures")
    try:
        yield
    except images.UnidentifiedImageError:
        raise
    except FileNotFoundError:
        raise UnreadableError("there is no such file") from None
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise UnreadableError(f"damaged: {in_a_line(error)}") from error


def _opened(reference: str | bytes) -> Any:
    """A picture whose head was read, not its pixels."""
    images = require("PIL.Image", extra="vision", purpose="reading pictures")
    setattr(images, "MAX_IMAGE_PIXELS", None)  # noqa: B010 (our own bound below gives an error, not a warning)
    try:
        with _explained():
            picture = images.open(
                _Metered(reference) if isinstance(reference, bytes) else path_behind(reference), formats=FORMATS
            )
            frames = getattr(picture, "n_frames", 1)
    except images.UnidentifiedImageError:
        raise UnreadableError("not a picture") from None
    width, height = picture.size
    if width * height > MOST_PIXELS:
        picture.close()
        raise UnreadableError(f"{width} x {height} pixels; at most {MOST_PIXELS // 1_000_000} million are decoded")
    if frames > 1:
        picture.close()
        raise UnreadableError(f"animated, {frames} pictures in one file")
    return picture


class _Metered(BytesIO):
    """A file in memory that can be read so often: Pillow walks headers in Python, one read or more a piece."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._left = READS + len(content) // BYTES_A_READ

    def read(self, size: int | None = -1) -> bytes:
        """As any file's. OSError once it was read too often."""
        self._left -= 1
        if self._left < 0:
            raise OSError("in too many pieces")
        return super().read(size)


def _plain(picture: Any, mode: str, images: Any) -> Any:
    """A picture with 8 bits a channel, in a mode without transparency (over white)."""
    if picture.mode == mode and "transparency" not in picture.info:
        return picture
    deep = picture.mode in DEEP
    top = 65535.0 if deep and max(np.asarray(strip).max() for _, strip in _strips(picture)) > 255 else 255.0
    result = images.new(mode, picture.size)
    for start, strip in _strips(picture):
        result.paste(_flat(strip, top, images).convert(mode), (0, start))
    return result


def _strips(picture: Any) -> Iterator[tuple[int, Any]]:
    """A picture's strips from top to bottom, and where each begins."""
    width, height = picture.size
    rows = max(1, STRIP // width)
    for start in range(0, height, rows):
        yield start, picture.crop((0, start, width, min(height, start + rows)))


def _flat(picture: Any, top: float, images: Any) -> Any:
    """Without transparency (over white), and with 8 bits a channel, of which 255 stands for `top`."""
    if picture.mode in DEEP:
        values = np.asarray(picture, dtype=np.float64)
        return images.fromarray((values.clip(0, top) / top * 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = images.new("RGBA", picture.size, "white")
        return images.alpha_composite(white, picture)
    return picture


def _packed(reference: str) -> np.ndarray:
    name, _, row = reference.rpartition("#")
    try:
        stamp = Path(name).stat().st_mtime_ns
    except FileNotFoundError:
        raise UnreadableError(f"there is no file '{name}'") from None
    array = packed_array(name, stamp)
    if int(row) >= len(array):
        raise UnreadableError(f"'{Path(name).name}' has {len(array)} pictures; there is no picture {row}")
    return np.asarray(array[int(row)])


@lru_cache(maxsize=8)
def packed_array(name: str, stamp: int) -> np.ndarray:
    """All pictures of a file that holds many; `stamp` is when it was changed last."""
    path = Path(name)
    if path.suffix == ".npy":
        try:
            result: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(
                Message("'{name}' is not an array of pictures", name=path.name), received=in_a_line(error)
            ) from error
    else:
        result = read_idx(path)
    if result.dtype != np.uint8 or result.ndim not in (3, 4):
        raise InputError(
            Message("'{name}' holds no pictures", name=path.name),
            expected="bytes of shape [N, H, W], [N, H, W, C] or [N, C, H, W]",
            received=Message("{dtype} of shape {list}", dtype=result.dtype, list=list(result.shape)),
        )
    return result


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels[None]
    return np.moveaxis(pixels, -1, 0) if pixels.shape[-1] in (1, 3) and pixels.shape[0] not in (1, 3) else pixels
