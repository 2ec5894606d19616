"""Honest clients beside one that is not: what becomes of their requests."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.serving.picture_files import picture

PATIENCE = 60.0  # seconds until an answer is given up
MEGABYTES = 15  # of a large body
ROW = {"size": 3.5, "kind": "red", "old": True, "day": "2024-03-04"}
Address = tuple[str, int]
Neighbour = Callable[[Address], Coroutine[Any, Any, None]]


@dataclass
class Outcome:
    """What honest clients saw: statuses (0: no answer), answers that were not theirs, and seconds of each."""

    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def harmed(self) -> int:
        """Requests without their own answer."""
        return sum(count for status, count in self.statuses.items() if status != 200) + self.wrong

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share was answered."""
        return 1000 * sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def post(body: bytes, kind: str = "application/json", length: int | None = None) -> bytes:
    """A request, whole unless a larger `length` is named."""
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
    return head % (kind.encode(), len(body) if length is None else length) + body


def rows(*changes: dict[str, Any]) -> bytes:
    """A request of rows that differ from a good one."""
    return post(json.dumps({"rows": [{**ROW, **one} for one in changes]}).encode())


@asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, closed at once in the end."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status and content of the next answer, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    content = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
    return int(head.split(b" ")[1]), content, b"connection: close" not in head


def alike(one: list[Any], other: list[Any]) -> bool:
    """Whether answers are the same, but for rounding: how many rows are computed together moves the last digits."""
    numbers, others = ([share for row in rows for share in row["probabilities"].values()] for rows in (one, other))
    return len(numbers) == len(others) and all(abs(a - b) < 1e-5 for a, b in zip(numbers, others, strict=True))


async def honest(address: Address, requests: Sequence[bytes], clients: int) -> Outcome:
    """What becomes of requests of some clients at once; requests that are the same must be answered the same."""
    found, known = Outcome(), dict[bytes, list[Any]]()

    async def client(own: list[bytes]) -> None:
        while own:
            async with connected(address) as (reader, writer):
                stays = True
                while own and stays:
                    stays = await asked(own.pop(), reader, writer)

    async def asked(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        began = time.perf_counter()
        try:
            writer.write(request)
            status, content, stays = await asyncio.wait_for(answer(reader), PATIENCE)
        except (OSError, EOFError, TimeoutError):
            status, content, stays = 0, b"", False
        found.seconds.append(time.perf_counter() - began)
        found.statuses[status] += 1
        if status == 200:
            told = json.loads(content)["predictions"]
            found.wrong += not alike(known.setdefault(request, told), told)
        return stays

    await asyncio.gather(*(client(list(requests[k::clients])) for k in range(clients)))
    return found


async def beside(neighbour: Neighbour | None, address: Address, requests: Sequence[bytes], clients: int) -> Outcome:
    """What honest clients see while a neighbour does what it does."""
    task = asyncio.create_task(neighbour(address)) if neighbour else None
    if task:
        await asyncio.sleep(0.1)
    found = await honest(address, requests, clients)
    if task:
        assert not task.done() or task.exception() is None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return found


def repeating(request: bytes, clients: int = 1) -> Neighbour:
    """Some clients that send one request without end."""

    async def client(address: Address) -> None:
        while True:
            with suppress(OSError, EOFError):
                async with connected(address) as (reader, writer):
                    stays = True
                    while stays:
                        writer.write(request)
                        await writer.drain()
                        stays = (await answer(reader))[2]

    async def neighbour(address: Address) -> None:
        await asyncio.gather(*(client(address) for _ in range(clients)))

    return neighbour


def holding(beginning: bytes, connections: int) -> Neighbour:
    """Connections that send a beginning, then nothing; one that is closed is opened again."""

    async def client(address: Address) -> None:
        while True:
            with suppress(OSError, EOFError):
                async with connected(address) as (reader, writer):
                    writer.write(beginning)
                    await writer.drain()
                    await reader.read()
            await asyncio.sleep(0.1)

    async def neighbour(address: Address) -> None:
        await asyncio.gather(*(client(address) for _ in range(connections)))

    return neighbour


def of_tables(scale: int = 1) -> dict[str, Neighbour]:
    """Neighbours at a server of tables; a larger `scale` makes large ones smaller."""
    large = (MEGABYTES << 20) // scale
    return {
        "a bad date": repeating(rows({"day": "SECRET"})),
        "a lone surrogate": repeating(rows({"kind": "\ud800"})),
        "an unknown column": repeating(rows({"more": "SECRET"})),
        "10,000 rows": repeating(rows(*[{}] * (10_000 // scale))),
        "10,000 rows, eight at once": repeating(rows(*[{}] * (10_000 // scale)), 8),
        "10,000 rows of CSV": repeating(
            post(b"size,kind,old,day\n" + b"1,red,true,2024-03-04\n" * (10_000 // scale), "text/csv")
        ),
        "a word of 15 MB": repeating(rows({"kind": "a" * large})),
        "lists in lists, 15 MB": repeating(post(b'{"rows": [' + b"[]," * (large // 3) + b"[]]}")),
        "half headers": holding(b"POST /predict HTTP/1.1\r\nhost: localhost\r\nx-more: ", 60),
        "half a body": holding(post(b" " * large, length=large + 1), 60 // scale),
        "500 connections": holding(b"", 500),
    }


def of_texts(scale: int = 1) -> dict[str, Neighbour]:
    """Neighbours at a server of texts."""
    large = (MEGABYTES << 20) // scale
    words = json.dumps({"rows": [{"said": "some words that are new " * 60}] * (10_000 // scale)}).encode()
    return {
        "a word of 15 MB": repeating(post(json.dumps({"rows": [{"said": "a" * large}]}).encode())),
        "words of 1 MB": repeating(
            post(json.dumps({"rows": [{"said": "a" * 1_000_000}] * (14 // scale or 1)}).encode())
        ),
        "10,000 rows": repeating(post(words)),
    }


def of_pictures(scale: int = 1) -> dict[str, Neighbour]:
    """Neighbours at a server of pictures."""
    side = int(6300 / scale**0.5)
    large = picture(side, mode="RGB")
    many = json.dumps({"pictures": [base64.b64encode(large).decode()] * 60}).encode()
    small = json.dumps({"pictures": [base64.b64encode(picture()).decode()] * (2000 // scale)}).encode()
    return {
        "a 40-megapixel PNG": repeating(post(large, "image/png")),
        "six at once": repeating(post(large, "image/png"), 6),
        "sixty of them in a request, six at once": repeating(post(many), 6),
        "2,000 small pictures": repeating(post(small)),
        "no picture": repeating(post(b"none", "image/png")),
    }


def honest_rows(count: int) -> list[bytes]:
    """One-row requests, each of which has its own answer."""
    return [rows({"size": round(0.01 * (k % 97), 2)}) for k in range(count)]


def honest_texts(count: int) -> list[bytes]:
    """One-row requests of some words."""
    return [post(json.dumps({"rows": [{"said": f"row {k % 97} says so and so " * 8}]}).encode()) for k in range(count)]


def honest_pictures(count: int) -> list[bytes]:
    """Requests of one small picture."""
    files = [picture(side) for side in range(16, 32)]
    return [post(files[k % len(files)], "image/png") for k in range(count)]


def main(kind: str, name: str, host: str, port: str) -> None:
    """Be a neighbour until the end."""
    found = {kind: neighbours for kind, _, neighbours in kinds()}[kind][name]

    async def work() -> None:
        task = asyncio.create_task(found((host, int(port))))
        await asyncio.sleep(0.2)
        print("begun", flush=True)
        await task

    asyncio.run(work())


def kinds(scale: int = 1) -> Iterator[tuple[str, Callable[[int], list[bytes]], dict[str, Neighbour]]]:
    """Each kind of server: its model, honest requests, and neighbours."""
    yield "table", honest_rows, of_tables(scale)
    yield "text", honest_texts, of_texts(scale)
    yield "pictures", honest_pictures, of_pictures(scale)


if __name__ == "__main__":
    main(*sys.argv[1:])
