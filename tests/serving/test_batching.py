"""Turns: who is predicted when, and whose failure is whose."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from luthier.serving.readers import batching
from luthier.serving.readers.batching import JOINED, RequestBatches


class Turns:
    """A prediction that answers each row by itself, and notes which rows came together."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def __call__(self, pieces: Sequence[Any]) -> list[Any]:
        rows = [row for piece in pieces for row in piece]
        self.seen.append(rows)
        if "panic" in rows:
            raise pl.exceptions.PanicException("Polars")
        if "bad" in rows:
            raise ValueError("a row of " + " ".join(map(str, rows)))
        return rows


@pytest.mark.parametrize("quick", [True, False])
def test_the_one_at_fault_alone_hears_of_it(quick: bool) -> None:
    """Its own rows are in the error, nobody else's."""

    async def work() -> list[Any]:
        batches = RequestBatches(Turns(), quick=quick)
        asked = [batches.answers([["good", k]]) for k in range(5)]
        asked.insert(2, batches.answers([["first"], ["bad"], ["last"]]))
        asked.insert(4, batches.answers([["panic"]]))
        result = await asyncio.gather(*asked, return_exceptions=True)
        batches.close()
        return result

    result = asyncio.run(work())
    error, panic = result.pop(2), result.pop(3)
    assert result == [["good", k] for k in range(5)]
    assert isinstance(error, ValueError)
    assert str(error) == "a row of bad"
    assert isinstance(panic, RuntimeError)


def test_small_requests_do_not_wait_for_large_ones() -> None:
    """Each comes in the turn after the one that it arrived in, whatever else waits."""
    turns = Turns()

    async def work() -> list[int]:
        batches = RequestBatches(turns, quick=True)
        large = [asyncio.create_task(batches.answers([[f"{k}"] * 16] * 200)) for k in range(8)]
        waited = []
        for k in range(20):
            await asyncio.sleep(0)
            before = len(turns.seen)
            assert await batches.answers([[k]]) == [k]
            waited.append(len(turns.seen) - before)
        for k, answers in enumerate(await asyncio.gather(*large)):
            assert answers == [f"{k}"] * 3200
        return waited

    assert max(asyncio.run(work())) <= 2


def test_large_requests_do_not_wait_for_ever() -> None:
    """However many small ones there are, one piece at least goes with each turn."""
    turns = Turns()

    async def work() -> None:
        batches = RequestBatches(turns, quick=True)
        large = asyncio.create_task(batches.answers([["large"] * 8] * 20))
        small = [asyncio.create_task(batches.answers([[k]])) for k in range(100 * JOINED)]
        assert await large == ["large"] * 160
        await asyncio.gather(*small)

    asyncio.run(work())
    begun = next(k for k, rows in enumerate(turns.seen) if "large" in rows)
    pieces = [rows.count("large") // 8 for rows in turns.seen[begun:]]
    assert sum(pieces) == 20
    assert min(pieces[: pieces.index(0)] if 0 in pieces else pieces) >= 1


@pytest.mark.parametrize("quick", [True, False])
def test_a_slow_model_has_short_turns_where_large_requests_wait(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "TURN", 0.0)  # any turn takes too long
    turns = Turns()

    async def work() -> None:
        batches = RequestBatches(turns, quick=quick)
        await asyncio.gather(*(batches.answers([["large"] * 4] * 30) for _ in range(3)))
        batches.close()

    asyncio.run(work())
    assert len(turns.seen[-1]) == 4
    assert sum(map(len, turns.seen)) == 360


def test_nobody_waits_for_what_was_given_up() -> None:
    turns = Turns()

    async def work() -> None:
        batches = RequestBatches(turns, quick=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await batches.answers([["late"]] * 1000)
        assert await batches.answers([["next"]]) == ["next"]

    asyncio.run(work())
    assert sum(rows.count("late") for rows in turns.seen) < 1000


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_turn_is_predicted_where_requests_are_read_once_it_is_known_to_be_quick(seconds: float) -> None:
    """By the processor's time: one that has waited for it long is quick all the same."""
    threads: list[str] = []

    def predict(pieces: Sequence[Any]) -> list[Any]:
        threads.append(threading.current_thread().name)
        time.sleep(0.01)
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass
        return [row for piece in pieces for row in piece]

    async def work() -> None:
        batches = RequestBatches(predict, quick=False)
        for k in range(3):
            assert await batches.answers([[k]]) == [k]
        batches.close()

    asyncio.run(work())
    assert threads[0].startswith("predict")
    assert [one.startswith("predict") for one in threads[1:]] == [seconds > batching.AT_HAND] * 2
