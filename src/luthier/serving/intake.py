"""Bodies as they come in: how large one may be, and how much of all of them is held at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from luthier.serving.readers.batching import Rest, others_first
from luthier.serving.readers.limits import BODIES, SMALL
from luthier.serving.readers.requests import RefusedError

STILL = 0.25  # seconds without a byte, after which a body stands still
FULL = "too many large requests at once; send it again in a moment"


@dataclass(eq=False)
class RequestClock:
    """The time that a request has, and what is said where it ends."""

    timeout: asyncio.Timeout
    sentence: str

    def stop(self, sentence: str) -> None:
        """End the request now."""
        if not self.timeout.expired():
            self.sentence = sentence
            self.timeout.reschedule(asyncio.get_running_loop().time())


@asynccontextmanager
async def clock(seconds: float) -> AsyncIterator[RequestClock]:
    """A request's time begins; RefusedError when it is over."""
    found = RequestClock(asyncio.timeout(seconds), f"no answer within {seconds:g} s; send fewer rows per request")
    try:
        async with found.timeout:
            yield found
    except TimeoutError:
        raise RefusedError(503, found.sentence) from None


@dataclass(eq=False)
class _Body:
    """A large body: its request's clock, its bytes so far, when the last came, and whether it waits for room."""

    clock: RequestClock
    size: int = 0
    seen: float = 0.0
    waiting: bool = False
    whole: bool = False


class Intake:
    """The bodies of all requests, from their first byte to their answer.

    All large ones together may hold a few times what one may. Where that is full, the one that stands still longest
    is given up: bodies of which half was sent, and no more comes, keep nobody out.
    """

    def __init__(self, each: int) -> None:
        self._each, self._together = each, BODIES * each
        self._large: set[_Body] = set()
        self._total = 0

    @asynccontextmanager
    async def body(self, request: Any, clock: RequestClock, rest: Rest = others_first) -> AsyncIterator[bytes]:
        """A request's body, held until its answer is there; after each part of a large one there is a `rest`.

        RefusedError as soon as it is too large.
        """
        length = request.headers.get("content-length", "")
        size, parts, held = 0, [], _Body(clock)
        if length.isdecimal() and int(length) > self._each:
            raise self._too_large()
        try:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > self._each:
                    raise self._too_large()
                if size > SMALL:
                    await self._hold(held, size)
                    await rest()
            held.whole = True
            yield b"".join(parts)
        finally:
            self._drop(held)

    async def _hold(self, body: _Body, size: int) -> None:
        """Count its bytes; where there is no room for them, read no more of it until one that stands still is gone."""
        self._large.add(body)
        self._total += size - body.size
        body.size, body.waiting = size, True
        now = asyncio.get_running_loop().time
        while self._total > self._together:
            stalled = min(
                (one for one in self._large if not (one.whole or one.waiting)), key=lambda one: one.seen, default=None
            )
            if stalled is None:  # all others are being sent or answered
                self._drop(body)
                raise RefusedError(503, FULL)
            if now() - stalled.seen > STILL:
                self._drop(stalled)
                stalled.clock.stop(FULL)
            else:
                await asyncio.sleep(STILL / 5)
        body.seen, body.waiting = now(), False

    def _drop(self, body: _Body) -> None:
        if body in self._large:
            self._large.remove(body)
            self._total -= body.size

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f"the body is larger than {self._each:,} bytes")
