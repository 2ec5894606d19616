"""Requests that wait together are predicted together, in turns: a large one does not keep small ones waiting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import polars as pl

from luthier.serving.readers.limits import SLICE

T = TypeVar("T")
Rest = Callable[[], Awaitable[None]]
Predict = Callable[[Sequence[Any]], Sequence[Any]]
JOINED, MOST = 32, 4096  # rows of a turn: of small requests, however long it takes; of all, however little
# Seconds of the processor that a turn may take where requests are read. A thread that predicts waits for the
# interpreter at every product, half a millisecond each while a large body is read: 1 ms became 12.
AT_HAND = 0.002
TURN = 0.006  # seconds that a turn takes at most: its rows are halved and doubled until it takes a third or more
FAULTS = (Exception, pl.exceptions.PanicException)  # what a prediction may end in; Polars' panics are no Exception


async def others_first() -> None:
    """Let the others have their turn."""
    await asyncio.sleep(0)


async def in_slices(pieces: Iterable[T], rest: Rest) -> AsyncIterator[T]:
    """The pieces of a large piece of work; after every slice of it there is a `rest`, in which others have their
    turn."""
    began = time.perf_counter()
    for piece in pieces:
        yield piece
        if time.perf_counter() - began > SLICE:
            await rest()
            began = time.perf_counter()


@dataclass
class _Asked:
    """A request: its pieces that wait, the answers to those that were predicted, and who waits for all of them."""

    pieces: deque[Sized]
    future: asyncio.Future[list[Any]]
    left: int
    found: list[Any] = field(default_factory=list)


class RequestBatches:
    """Pieces of the requests that wait are predicted together, a turn after another.

    Small requests, of one piece, come first, then large ones, a piece of each in rotation, at least one in a turn.
    Turns that are `quick`, of any model whose last turn was, are predicted where requests are read: a thread would take
    longer, and wait for the interpreter. Others go to a thread, so that requests are still read.
    """

    def __init__(self, predict: Predict, *, quick: bool) -> None:
        self._predict, self._quick = predict, quick
        self._small: deque[_Asked] = deque()
        self._large: deque[_Asked] = deque()
        self._rows = JOINED
        self._last = 1, float("inf")  # rows of the last turn, and seconds of the processor that it took
        self._thread = ThreadPoolExecutor(1, "predict")
        self._running: asyncio.Task[None] | None = None
        self._in_thread: asyncio.Future[list[Any]] | None = None

    async def answers(self, pieces: Sequence[Sized]) -> list[Any]:
        """The answers to a request's rows. Raises what its own prediction raises; nobody else's."""
        asked = _Asked(deque(pieces), asyncio.get_running_loop().create_future(), len(pieces))
        (self._small if len(pieces) == 1 else self._large).append(asked)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        return await asked.future

    async def rest(self) -> None:
        """Until the others have had their turn, and the thread, where it predicts, is done with it: it would wait for
        the interpreter whenever a large body is received or read."""
        await others_first()
        if self._in_thread is not None:
            await asyncio.wait([self._in_thread])

    async def _work(self) -> None:
        while self._small or self._large:
            await asyncio.sleep(0)  # requests that have come by now join
            turn = self._turn()
            began = time.perf_counter()
            found = await self._predicted([piece for _, piece in turn]) if turn else []
            self._resize(sum(len(piece) for _, piece in turn), time.perf_counter() - began)
            for (asked, _), answers in zip(turn, found, strict=True):
                _hand_out(asked, answers)

    def _turn(self) -> list[tuple[_Asked, Sized]]:
        """The pieces that are predicted next, each with its request."""
        turn = list(_taken(self._small, max(JOINED, self._rows)))
        rows = sum(len(piece) for _, piece in turn)
        return [*turn, *_taken(self._large, max(1, self._rows - rows))]

    async def _predicted(self, pieces: Sequence[Sized]) -> list[Sequence[Any] | Exception]:
        """The answers to each piece, or what its prediction raised: pieces that fail together are asked one by one."""
        try:
            if self._quick or self._expected(sum(map(len, pieces))) < AT_HAND:
                found = self._timed(pieces)
            else:
                found = await self._by_thread(pieces)
        except FAULTS as error:
            if len(pieces) == 1:
                return [error if isinstance(error, Exception) else RuntimeError(str(error))]
            return [(await self._predicted([piece]))[0] for piece in pieces]
        ends = [0]
        for piece in pieces:
            ends.append(ends[-1] + len(piece))
        return [found[start:end] for start, end in pairwise(ends)]

    async def _by_thread(self, pieces: Sequence[Sized]) -> list[Any]:
        self._in_thread = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, pieces)
        try:
            return await self._in_thread
        finally:
            self._in_thread = None

    def _timed(self, pieces: Sequence[Sized]) -> list[Any]:
        """The answers to all rows of pieces; what they took is kept, without what the thread has waited."""
        began = time.thread_time()
        found = list(self._predict(pieces))
        self._last = sum(map(len, pieces)), time.thread_time() - began
        return found

    def _expected(self, rows: int) -> float:
        """Seconds of the processor that so many rows take, by what the last turn took."""
        known, seconds = self._last
        return seconds * max(1.0, rows / known)

    def _resize(self, rows: int, seconds: float) -> None:
        """More rows to the next turn where this one was full and quick, fewer where it took long."""
        if seconds > TURN:
            self._rows = max(1, self._rows // 2)
        elif seconds < TURN / 3 and rows >= self._rows:
            self._rows = min(MOST, self._rows * 2)

    def close(self) -> None:
        """End the thread when its work is done."""
        self._thread.shutdown(wait=True)


def _taken(waiting: deque[_Asked], most: int) -> Iterator[tuple[_Asked, Sized]]:
    """Pieces of those who wait, one of each in rotation, until they have so many rows."""
    rows = 0
    while waiting and rows < most:
        asked = waiting.popleft()
        if asked.future.done():  # nobody waits any more for one that was given up
            continue
        piece = asked.pieces.popleft()
        rows += len(piece)
        if asked.pieces:
            waiting.append(asked)
        yield asked, piece


def _hand_out(asked: _Asked, answers: Sequence[Any] | Exception) -> None:
    if asked.future.done():
        return
    if isinstance(answers, Exception):
        asked.future.set_exception(answers)
        return
    asked.found += answers
    asked.left -= 1
    if not asked.left:
        asked.future.set_result(asked.found)
