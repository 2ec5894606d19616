"""Connections and bodies that want to be waited for: who is kept, and who goes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from tests.serving import models
from tests.serving.asking import ThreadServer
from tests.serving.neighbours import ROW, post, rows

from luthier.serving import connections
from luthier.serving.connections import Connections, affordable
from luthier.serving.intake import FULL, Intake, clock
from luthier.serving.readers.limits import Limits
from luthier.serving.readers.requests import RefusedError


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    """Eight connections, bodies of 100 kB."""
    result = ThreadServer(models.table(), Limits(connections=8, body=100_000, seconds=5))
    yield result
    result.end()


def status_of(connection: socket.socket) -> int:
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


@pytest.mark.parametrize("beginning", [b"", b"POST /pre", b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: "])
def test_silent_connections_keep_nobody_out(server: ThreadServer, beginning: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            one = stack.enter_context(socket.create_connection(server.place, timeout=20))
            one.sendall(beginning)
        for _ in range(5):
            assert server.ask(None, path="/health")[0] == 200


def test_a_connection_that_has_asked_stays_longer_than_one_that_never_did(server: ThreadServer) -> None:
    with ExitStack() as stack:
        kept = stack.enter_context(socket.create_connection(server.place, timeout=20))
        kept.sendall(rows({}))
        assert status_of(kept) == 200
        for _ in range(20):
            stack.enter_context(socket.create_connection(server.place, timeout=20))
        assert server.ask(None, path="/health")[0] == 200
        kept.sendall(rows({}))
        assert status_of(kept) == 200


def test_half_sent_bodies_keep_nobody_out(server: ThreadServer) -> None:
    """Seven hold nearly 100 kB each, of the four times as much that all may hold: those that stand still go."""
    large = rows(*[{}] * 1500)
    assert len(large) > 90_000
    with ExitStack() as stack:
        for _ in range(7):
            one = stack.enter_context(socket.create_connection(server.place, timeout=20))
            one.sendall(post(b" " * 99_000, length=99_001))
        with socket.create_connection(server.place, timeout=20) as whole:
            whole.sendall(large)
            assert status_of(whole) == 200


@pytest.mark.parametrize(
    "head",
    [
        b"POST /predict HTTP/1.1\r\n" + b"".join(b"x-%d: y\r\n" % k for k in range(200)) + b"\r\n",
        b"GET /" + b"a" * 200_000,
        b"GET /health HTTP/1.1\r\nx: " + b"a" * 200_000,
    ],
)
def test_headers_are_not_of_any_size(server: ThreadServer, head: bytes) -> None:
    with socket.create_connection(server.place, timeout=20) as connection:
        connection.sendall(head)
        try:
            answer = connection.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert not answer or b" 400 " in answer.split(b"\r\n")[0]


def test_a_body_that_is_too_large_is_refused_before_it_comes(server: ThreadServer) -> None:
    with socket.create_connection(server.place, timeout=20) as connection:
        connection.sendall(post(b"{", length=10**12))
        assert status_of(connection) == 413


@pytest.mark.parametrize(
    ("kind", "chunked", "status"),
    [("application/json", False, 413), ("application/json", True, 413), ("text/html", False, 415)],
)
@pytest.mark.parametrize("stays", ["close", "keep-alive"])
def test_who_sends_all_before_reading_sees_why_it_is_refused(
    server: ThreadServer, kind: str, chunked: bool, status: int, stays: str
) -> None:
    """As most clients do: 8 MB are more than sockets hold, so that a server that had stopped reading would reset."""
    content, length = b" " * (8 << 20), b"content-length: %d" % (8 << 20)
    if chunked:
        content, length = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content), b"transfer-encoding: chunked"
    head = b"POST /predict HTTP/1.1\r\nhost: localhost\r\nconnection: %b\r\ncontent-type: %b\r\n%b\r\n\r\n"
    with socket.create_connection(server.place, timeout=20) as connection:
        connection.sendall(head % (stays.encode(), kind.encode(), length) + content)
        assert status_of(connection) == status
        if stays == "close":
            assert connection.recv(1) == b""  # and it ends when the body has


def test_a_refused_body_that_does_not_end_is_not_waited_for(
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with socket.create_connection(server.place, timeout=20) as connection:
        connection.sendall(post(b"{", length=10**12).replace(b"host", b"connection: close\r\nhost", 1))
        assert status_of(connection) == 413
        assert connection.recv(1) == b""


class Peer:
    """A connection as `Connections` sees one."""

    def __init__(self, silent: float | None, unread: float | None = None, answered: bool = False) -> None:
        self.silent_since, self.unread_since, self.answered, self.transport = silent, unread, answered, self
        self.said = ""

    def close(self) -> None:
        self.said = "closed"

    def abort(self) -> None:
        self.said = "aborted"

    def write(self, content: bytes) -> None:
        assert b" 503 " in content


def test_who_goes_where_there_are_too_many() -> None:
    """First who never asked, the oldest; then who asked longest ago; never who is at work."""

    async def work() -> list[str]:
        result = Connections(4, 10.0)
        working, asked, old, young = Peer(None, answered=True), Peer(1.0, answered=True), Peer(2.0), Peer(3.0)
        order = []
        for one in (working, asked, old, young, *(Peer(9.0) for _ in range(2))):
            result.add(one)
        order += [old.said, young.said, asked.said, working.said]
        for _ in range(5):
            result.add(Peer(None))
        return [*order, asked.said, working.said]

    assert asyncio.run(work()) == ["closed", "closed", "", "", "closed", ""]


def test_who_is_silent_or_does_not_read_goes_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "EVERY", 0.01)

    async def work() -> list[str]:
        result, now = Connections(10, 5.0), asyncio.get_running_loop().time()
        peers = [Peer(now - 11), Peer(now - 9), Peer(None, now - 6), Peer(None, now - 4), Peer(None)]
        for one in peers:
            result.add(one)
        await asyncio.sleep(0.1)
        return [one.said for one in peers]

    assert asyncio.run(work()) == ["closed", "", "aborted", "", ""]


def test_as_many_connections_as_files_may_be_open() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        assert affordable(100) == 100
        assert affordable(10**9) <= max(hard, 10**9)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 512
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Request:
    """A request whose body comes in parts, or stops."""

    def __init__(self, parts: int, stops: bool = False) -> None:
        self.headers: dict[str, str] = {}
        self._parts, self._stops = parts, stops

    async def stream(self) -> Any:
        for _ in range(self._parts):
            yield b"x" * 50_000
            await asyncio.sleep(0.001)
        if self._stops:
            await asyncio.sleep(60)


async def received(intake: Intake, request: Request, held: float = 0.0) -> int | str:
    """The size of a body, which is then held for a while; or why it was refused."""
    try:
        async with clock(30) as time_left, intake.body(request, time_left) as body:
            await asyncio.sleep(held)
            return len(body)
    except RefusedError as error:
        return error.sentence


def test_the_body_that_stands_still_longest_makes_room() -> None:
    async def work() -> list[int | str]:
        intake = Intake(100_000)  # 400 kB in all
        stalled = [asyncio.create_task(received(intake, Request(2, stops=True))) for _ in range(4)]
        await asyncio.sleep(0.1)
        whole = [await received(intake, Request(2)) for _ in range(3)]
        for one in stalled:
            one.cancel()
        return [*whole, *[one for one in await asyncio.gather(*stalled, return_exceptions=True) if one == FULL]]

    assert asyncio.run(work()) == [100_000, 100_000, 100_000, FULL]


def test_bodies_that_are_whole_are_kept_and_who_comes_next_is_asked_to_wait() -> None:
    async def work() -> list[int | str]:
        intake = Intake(100_000)
        held = [asyncio.create_task(received(intake, Request(2), held=0.2)) for _ in range(4)]
        await asyncio.sleep(0.1)
        refused = await received(intake, Request(2))
        small = await received(intake, Request(0))
        return [refused, small, *await asyncio.gather(*held), await received(intake, Request(2))]

    assert asyncio.run(work()) == [FULL, 0, *[100_000] * 5]


def test_work_ends_when_the_caller_has_gone(server: ThreadServer, caplog: pytest.LogCaptureFixture) -> None:
    """And nothing is written about it."""
    for cut in (100, 1):
        with socket.create_connection(server.place, timeout=20) as connection:
            request = rows(*[{}] * 1000)
            connection.sendall(request[:-cut] if cut == 100 else request)
    threads = [threading.Thread(target=server.ask, args=(rows(ROW).partition(b"\r\n\r\n")[2],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not caplog.records
