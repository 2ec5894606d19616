"""Requests that wait together are predicted together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

Predict = Callable[[pl.DataFrame], Sequence[Any]]


class Batches:
    """One thread predicts; while it does, requests gather and go into its next batch, whole, up to `most` rows."""

    def __init__(self, predict: Predict, most: int) -> None:
        self._predict, self._most = predict, most
        self._waiting: list[tuple[pl.DataFrame, asyncio.Future[list[Any]]]] = []
        self._thread = ThreadPoolExecutor(1, "predict")
        self._running: asyncio.Task[None] | None = None

    async def answers(self, frame: pl.DataFrame) -> list[Any]:
        """The answers to a request's rows."""
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((frame, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken = self._take()
            try:
                found = list(await loop.run_in_executor(self._thread, self._predict, pl.concat([f for f, _ in taken])))
            except Exception as error:  # whatever went wrong, every request of the batch is told
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)
                continue
            start = 0
            for frame, future in taken:
                if not future.done():  # nobody waits any more for one that was given up
                    future.set_result(found[start : start + len(frame)])
                start += len(frame)

    def _take(self) -> list[tuple[pl.DataFrame, asyncio.Future[list[Any]]]]:
        rows, count = 0, 0
        for frame, _ in self._waiting:
            if count and rows + len(frame) > self._most:
                break
            rows, count = rows + len(frame), count + 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    def close(self) -> None:
        """End the thread when its work is done."""
        self._thread.shutdown(wait=True)
