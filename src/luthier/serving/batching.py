"""Requests that wait together are predicted together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Predict = Callable[[Sequence[Any]], Sequence[Any]]


class RequestBatches:
    """What waits is predicted together, whole requests, up to `most` rows; while that goes on, the next batch gathers.

    Up to `few` rows are predicted where the requests are read: a thread would take longer, and wait for the
    interpreter. Many rows go to a thread of their own, so that others are still heard.
    """

    def __init__(self, predict: Predict, most: int, few: int) -> None:
        self._predict, self._most, self._few = predict, most, few
        self._waiting: list[tuple[Sized, asyncio.Future[list[Any]]]] = []
        self._thread = ThreadPoolExecutor(1, "predict")
        self._running: asyncio.Task[None] | None = None

    async def answers(self, rows: Sized) -> list[Any]:
        """The answers to a request's rows."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(0)  # requests that have come by now join
            taken = self._take()
            requests = [rows for rows, _ in taken]
            try:
                if sum(map(len, requests)) <= self._few:
                    found = list(self._predict(requests))
                else:
                    found = list(await loop.run_in_executor(self._thread, self._predict, requests))
            except Exception as error:  # whatever went wrong, every request of the batch is told
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            start = 0
            for rows, future in taken:
                if not future.done():  # nobody waits any more for one that was given up
                    future.set_result(found[start : start + len(rows)])
                start += len(rows)

    def _take(self) -> list[tuple[Sized, asyncio.Future[list[Any]]]]:
        total, count = 0, 0
        for rows, _ in self._waiting:
            if count and total + len(rows) > self._most:
                break
            total, count = total + len(rows), count + 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def close(self) -> None:
        """End the thread when its work is done."""
        self._thread.shutdown(wait=True)
