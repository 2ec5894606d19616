"""What a server writes for those who run it: sentences, or JSON with a line for each request."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from luthier.errors import ConfigError
from luthier.messages import Message

KINDS = ("text", "json")
PATH = 200  # characters of an address that are kept
log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """A record as one line of JSON; the `fields` of a record stand beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, message, fields, and the stack of an error.

        >>> JsonLines().format(logging.makeLogRecord({"msg": "a", "levelname": "INFO", "created": 0.0}))
        '{"time": "1970-01-01T00:00:00.000+00:00", "level": "info", "message": "a"}'
        """
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["stack"] = self.formatException(record.exc_info)
        return json.dumps(fields)


@contextmanager
def log_on_stderr(kind: str) -> Iterator[None]:
    """Meanwhile what is logged goes to standard error, as sentences or as JSON. ConfigError for another kind."""
    if kind not in KINDS:
        raise ConfigError([Message("log must be {names}, not '{kind}'", names=" or ".join(KINDS), kind=kind)])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else logging.Formatter("%(message)s"))
    logger = logging.getLogger("luthier")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class LoggedRequests:
    """An ASGI application with a line for each request: method, path, status, milliseconds, bytes of the answer.

    Neither bodies nor headers are written, and of the address no query: they hold people's data and tokens.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, and write its line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        seen = {"status": 0, "bytes": 0}

        async def counted(message: Any) -> None:
            seen["status"] = message.get("status", seen["status"])
            seen["bytes"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            fields = {"method": scope["method"], "path": scope["path"][:PATH], **seen}
            fields["ms"] = round(1000 * (time.perf_counter() - began), 3)
            log.info("request", extra={"fields": fields})
