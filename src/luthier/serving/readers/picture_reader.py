"""What a request for a model of pictures may hold: one picture as it is, or several in JSON as base64."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from luthier.data import PICTURE_FORMATS, PictureEncoder
from luthier.data.pictures import UnreadableError, cost_of
from luthier.rows import Inputs
from luthier.serving.readers.batching import Rest, others_first
from luthier.serving.readers.bodies import another_body, list_begins
from luthier.serving.readers.limits import SMALL, Limits
from luthier.serving.readers.requests import MOST_ERRORS, RefusedError, limited, shown

T = TypeVar("T")
Unpacked = tuple[Tensor, dict[int, str]]  # bytes [N, C, H, W], and why some could not be read
KINDS = tuple(f"image/{name.lower()}" for name in PICTURE_FORMATS)
COUNTED = "(a JPEG's count as a quarter, a WebP's double)"
EXAMPLE = 'the bytes of a picture, or {"pictures": [BASE64, ...]}'
TOGETHER, PIECE = 16, 4  # pictures that are unpacked, and predicted, at a time
_ITEM = re.compile(rb'[ \t\n\r]*"')
_FOLLOWING = re.compile(rb"[ \t\n\r]*(?:,|(\][ \t\n\r]*\}[ \t\n\r]*\Z))")
STRETCH = 64 << 10  # characters of base64, in fours, that are decoded at a time
QUICK_PIXELS, QUICK_BYTES = 1 << 20, 128 << 10  # a picture, or a few, that are unpacked in some milliseconds
# Those that take half a millisecond are unpacked where requests are read: a thread would wait longer than that for the
# interpreter, beside another that unpacks large ones.
AT_HAND_PIXELS = 64 << 10


@dataclass(frozen=True)
class Pictures:
    """Some of a request's pictures, decoded: bytes [N, C, H, W]."""

    pixels: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class _Begun:
    """What some pictures cost, in pixels, and themselves where that is little."""

    costs: list[int]
    unpacked: Unpacked | None


class PictureReader:
    """Requests of a model of pictures.

    Requests of a few tiny pictures are unpacked at once, those of small ones by one thread and all others by another,
    so that a small one never waits for a large picture or for many, and memory holds one large picture at a time.
    """

    quick = False

    def __init__(self, encoder: PictureEncoder) -> None:
        self._encoder = encoder
        lanes = "small pictures", "large pictures", "bodies"
        self._small, self._large, self._bodies = (ThreadPoolExecutor(1, name) for name in lanes)

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them."""
        texts = {"type": "array", "minItems": 1, "items": {"type": "string", "contentEncoding": "base64"}}
        several = {
            "type": "object",
            "required": ["pictures"],
            "additionalProperties": False,
            "properties": {"pictures": texts},
        }
        one = {"schema": {"type": "string", "format": "binary", "description": "a picture of any size"}}
        return {"application/json": {"schema": several}, **dict.fromkeys(KINDS, one)}

    async def read_in_turns(self, kind: str, body: bytes, limits: Limits, rest: Rest = others_first) -> list[Pictures]:
        """The pictures of a body. RefusedError that names those which cannot be read."""
        pieces: list[Pictures] = []
        problems: dict[int, str] = {}
        read = total = 0
        async for some in self._contents(kind, body, limits.rows):
            count = read + len(some)
            cost, unpacked, failed = await self.unpacked(count, some, limits, total)
            total += cost
            pieces += [Pictures(some) for pixels in unpacked for some in torch.split(pixels, PIECE)]
            problems |= {read + place: why for place, why in failed.items()}
            read = count
            if len(body) > SMALL:
                await rest()
            if len(problems) >= MOST_ERRORS:
                break
        if problems:
            wrong = [{"picture": place, "expected": "a picture", "received": why} for place, why in problems.items()]
            pictures = "picture" if len(problems) == 1 else "pictures"
            raise RefusedError(422, f"{len(problems)} {pictures} cannot be read", wrong)
        return pieces

    async def unpacked(
        self, count: int, some: Sequence[bytes], limits: Limits, spent: int
    ) -> tuple[int, list[Tensor], dict[int, str]]:
        """Some pictures of a request, of which `count` came so far: their cost in pixels, bytes [..., C, H, W], and why
        some cannot be read. RefusedError where with those `spent` before they cost too much."""
        at_hand = count <= PIECE and sum(map(len, some)) <= SMALL
        unread = self._begin(some, AT_HAND_PIXELS) if at_hand else await self._run(count, 0, self._begin, some)
        cost = sum(unread.costs)
        if spent + cost > limits.pixels:
            raise RefusedError(413, f"a request may have at most {limits.pixels:,} pixels {COUNTED}")
        result, problems = list[Tensor](), dict[int, str]()
        async for group, (pixels, failed) in self._unpacked(count, some, unread):
            result.append(pixels)
            problems |= {group.start + place: why for place, why in failed.items()}
        return cost, result, problems

    async def _contents(self, kind: str, body: bytes, most: int) -> AsyncIterator[list[bytes]]:
        """The pictures of a body, some at a time: of a large body they are taken out of its text by one thread, and no
        more of them than are looked at."""
        if kind in KINDS:
            yield [body]
            return
        rest = _from_json(body, most)
        if len(body) <= SMALL:
            every = list(rest)  # what is wrong with any is said before one is unpacked
            for start in range(0, len(every), TOGETHER):
                yield every[start : start + TOGETHER]
            return
        while some := await asyncio.get_running_loop().run_in_executor(self._bodies, list, islice(rest, TOGETHER)):
            yield some

    async def _run(self, pictures: int, cost: int, work: Callable[..., T], some: Sequence[bytes]) -> T:
        """Work on some of a request's pictures by the thread for small requests, or the one for large."""
        small = pictures <= PIECE and max(map(len, some)) <= QUICK_BYTES and cost <= QUICK_PIXELS
        lane = self._small if small else self._large
        return await asyncio.get_running_loop().run_in_executor(lane, work, some)

    def _begin(self, contents: Sequence[bytes], most: int = QUICK_PIXELS) -> _Begun:
        """Look at the heads of some pictures, and unpack them where these are so few pixels."""
        least = self._encoder.shape[1] * self._encoder.shape[2]
        costs = []
        for content in contents:
            try:
                costs.append(max(least, cost_of(content)))
            except UnreadableError:
                costs.append(0)  # it is said where it is unpacked
        return _Begun(costs, self._encoder.decoded(contents) if sum(costs) <= most else None)

    async def _unpacked(
        self, pictures: int, contents: Sequence[bytes], begun: _Begun
    ) -> AsyncIterator[tuple[range, Unpacked]]:
        """Some pictures of a request in groups that are unpacked together; a large one alone."""
        if begun.unpacked is not None:
            yield range(len(contents)), begun.unpacked
            return
        for group in _groups(begun.costs):
            some, cost = contents[group.start : group.stop], sum(begun.costs[group.start : group.stop])
            yield group, await self._run(pictures, cost, self._encoder.decoded, some)

    def encode(self, pieces: Sequence[Pictures]) -> Inputs:
        """Bytes [N, C, H, W] of pieces, of one request or several."""
        return Inputs(pixels=torch.cat([one.pixels for one in pieces]))


def _groups(costs: Sequence[int]) -> Iterator[range]:
    """Pictures that follow each other and are unpacked together: few, and a large one alone."""
    start = total = 0
    for place, cost in enumerate(costs):
        if place > start and total + cost > QUICK_PIXELS:
            yield range(start, place)
            start, total = place, 0
        total += cost
    yield range(start, len(costs))


def _from_json(body: bytes, most: int) -> Iterator[bytes]:
    """The pictures of a JSON body, found by their quotes: base64 holds none, and need not be parsed."""
    at, count = list_begins(body, "pictures", EXAMPLE), 0
    while item := _ITEM.match(body, at):
        end = body.find(b'"', item.end())
        text = body[item.end() : end if end >= 0 else len(body)].replace(b"\\/", b"/")
        limited(count + 1, most, "pictures")
        following = _FOLLOWING.match(body, end + 1) if end >= 0 else None
        try:
            yield decoded(text)
        except ValueError:
            raise _not_base64(count, shown(text[:100].decode("utf-8", "replace"))) from None
        if following is None:
            raise RefusedError(400, f"the body is not JSON: , or ] is missing after picture {count}")
        at, count = following.end(), count + 1
        if following[1]:
            return
    begins = body[at : at + 20].decode("utf-8", "replace").strip()
    if begins.startswith(("]", "}")):
        raise another_body(EXAMPLE)
    raise _not_base64(count, begins)


def decoded(text: bytes) -> bytes:
    """The bytes that base64 stands for, a stretch at a time, so that other threads have the interpreter in between.

    ValueError for anything else.
    """
    starts = range(0, len(text), STRETCH)
    if any(b"=" in text[at : at + STRETCH] for at in starts[:-1]):
        raise ValueError("padding before the end")
    return b"".join(binascii.a2b_base64(text[at : at + STRETCH], strict_mode=True) for at in starts)


def _not_base64(place: int, received: str) -> RefusedError:
    wrong = {"picture": place, "expected": "base64", "received": received}
    return RefusedError(422, f"picture {place} is not base64", [wrong])
