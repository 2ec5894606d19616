"""Who may ask: callers with the token, and on loopback those who call this machine by a name of its own."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from luthier.server_address import LOOPBACK
from luthier.serving.escaping import as_json
from luthier.serving.readers.requests import RefusedError

COOKIE = "luthier-docs"
NO_TOKEN = "the header `Authorization: Bearer TOKEN` is missing or wrong"


class Access:
    """The token that callers need, if any.

    A browser's address bar sends no header: /docs?token=TOKEN leaves a cookie that opens the page and its description,
    nothing else, and that is not the token (browsers send a cookie to every port of a machine).
    """

    def __init__(self, token: str) -> None:
        self.token = token.encode()
        self.cookie = hmac.new(self.token, COOKIE.encode(), hashlib.sha256).hexdigest() if token else ""

    def allowed(self, request: Any) -> bool:
        """Whether a request has the token as a bearer, or none is needed."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode("latin-1"), self.token)
        return not self.token or (scheme.lower() == "bearer" and right)

    def check(self, request: Any) -> None:
        """RefusedError without the token."""
        if not self.allowed(request):
            raise RefusedError(401, NO_TOKEN)

    def check_page(self, request: Any) -> None:
        """RefusedError without the token or the cookie."""
        cookie = request.cookies.get(COOKIE, "").encode()
        if not (self.allowed(request) or hmac.compare_digest(cookie, self.cookie.encode())):
            raise RefusedError(401, f"{NO_TOKEN}; in a browser open /docs?token=TOKEN")

    def opens(self, request: Any) -> bool:
        """Whether a page's address ends with the token."""
        return bool(self.token) and hmac.compare_digest(request.query_params.get("token", "").encode(), self.token)


class OwnNames:
    """An ASGI application that is asked by a loopback name, an address, or a name that was allowed; others get 403.

    A web page of a stranger can let its own name mean 127.0.0.1 (DNS rebinding) and then ask whatever listens there.
    Its name is a public one, with a dot; localhost, addresses and bare names of machines cannot be had by strangers.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], names: Sequence[str] = ()) -> None:
        self._app, self._names = app, {name.lower() for name in names}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        hosts = [value.decode("latin-1") for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] != "http" or all(self._is_own(host) for host in hosts):
            await self._app(scope, receive, send)
            return
        sentence = "this server answers to localhost only; start it with --allow-host NAME for another name"
        body = as_json({"error": sentence, "fields": []})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_own(self, host: str) -> bool:
        name = without_port(host).lower().rstrip(".")
        if name in LOOPBACK or name in self._names or name.endswith(".localhost") or "." not in name:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def without_port(host: str) -> str:
    """The name or address of a Host header.

    >>> without_port("[::1]:8000"), without_port("localhost:8000"), without_port("127.0.0.1")
    ('::1', 'localhost', '127.0.0.1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host
