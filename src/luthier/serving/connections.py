"""Connections: how many, how long one may take to say what it wants, and to read what it asked for.

Uvicorn bounds neither: one that sends half its headers, or reads no answer, is kept for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from luthier.optional import require
from luthier.serving.readers.limits import Limits

HEAD_SECONDS = 10.0  # from the connection, or the last answer on it, to the end of a request's headers
HEAD_BYTES, HEADERS = 64 << 10, 100
EVERY = 1.0  # seconds between looks at all connections
BACKLOG, RESERVE = 2048, 64  # connections that the system holds for us; files that the process has open otherwise
FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


class Connections:
    """All open connections.

    Where there are too many, the one goes that has waited longest without asking for anything, of those that never
    asked first: whoever opens connections and is silent keeps nobody out.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._open: set[Any] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Any) -> None:
        """A connection was opened."""
        self._open.add(connection)
        if len(self._open) > self._most:
            silent = [one for one in self._open if one.silent_since is not None and one is not connection]
            if silent:
                self._close(min(silent, key=lambda one: (one.answered, one.silent_since)))
            else:
                connection.transport.write(FULL)
                self._close(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._look)

    def remove(self, connection: Any) -> None:
        """A connection was closed."""
        self._open.discard(connection)

    def _look(self) -> None:
        """Close connections that have been silent, or have not read, for too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for one in list(self._open):
            silent = one.silent_since is not None and now - one.silent_since > HEAD_SECONDS
            if silent or (one.unread_since is not None and now - one.unread_since > self._seconds):
                self._close(one)
        self._timer = loop.call_later(EVERY, self._look) if self._open else None

    def _close(self, connection: Any) -> None:
        self._open.discard(connection)
        if connection.unread_since is None:
            connection.transport.close()
        else:
            connection.transport.abort()


class LingeringTransport:
    """A connection's transport that does not close while its caller still sends: an answer to a body that is refused
    before its end would be lost, since a connection that closes with bytes unread is reset. The rest is read and thrown
    away until the body ends, or the second call of `close`."""

    def __init__(self, transport: Any, is_sending: Callable[[], bool]) -> None:
        self._transport, self._is_sending, self._lingers = transport, is_sending, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close now, or when the body has ended; at the second call now."""
        if self._lingers or self._transport.is_closing() or not self._is_sending():
            self._transport.close()
            return
        self._lingers = True
        self._transport.resume_reading()

    def is_closing(self) -> bool:
        """Whether it is closed, or will be when the body has ended."""
        return self._lingers or bool(self._transport.is_closing())


def protocol(limits: Limits) -> type:
    """Uvicorn's protocol of a connection, with bounds."""
    http = require("uvicorn.protocols.http.httptools_impl", extra="serve", purpose="serving a model")
    connections = Connections(affordable(limits.connections), limits.seconds)

    class Connection(http.HttpToolsProtocol):  # type: ignore[misc, name-defined]
        """A connection: since when it is silent (no request is in work), and since when it reads no answer."""

        silent_since: float | None = None
        unread_since: float | None = None
        answered = in_body = False
        head = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(LingeringTransport(transport, lambda: self.in_body))
            self.silent_since = self.loop.time()
            connections.add(self)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.remove(self)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.silent_since is not None and not self.in_body:
                self.head += len(data)
                if self.head > HEAD_BYTES:
                    self.transport.close()

        def on_header(self, name: bytes, value: bytes) -> None:
            if len(self.headers) == HEADERS:
                raise ValueError("too many headers")  # httptools stops there, and Uvicorn answers 400
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self.silent_since, self.head, self.in_body = None, 0, True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.in_body = False
            super().on_message_complete()
            if self.transport.is_closing():
                self.transport.close()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.answered = True
            if self.cycle.response_complete:  # and no other request waited behind it
                self.silent_since = self.loop.time()

        def pause_writing(self) -> None:
            self.unread_since = self.loop.time()
            super().pause_writing()

        def resume_writing(self) -> None:
            self.unread_since = None
            super().resume_writing()

    return Connection


def affordable(most: int) -> int:
    """How many connections the system lets this process have, where it can after raising its own bound on files."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + BACKLOG + RESERVE
    if 0 <= soft < wanted:  # below nought is no bound
        soft = wanted if hard < 0 else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return most if soft < 0 else max(1, min(most, soft - min(RESERVE, soft // 2)))
