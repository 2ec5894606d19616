"""Where a server of ours listens, and who needs a token."""

from __future__ import annotations

import secrets
import socket

from luthier.errors import InputError
from luthier.messages import Message

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def token_for(host: str, token: str) -> str:
    """The token that callers need: the one given, a fresh one off this machine, none on it."""
    return token or ("" if host in LOOPBACK else secrets.token_urlsafe(24))


def listen(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket (port 0 takes a free one) and its address. InputError where nothing can listen there.

    >>> found, address = listen("127.0.0.1", 0)
    >>> found.close()
    >>> address.startswith("http://127.0.0.1:")
    True
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    result = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # the protocol is named because asyncio sends small answers at once (TCP_NODELAY) only where it is
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        result.bind((host, port))
        result.listen()
    except OSError as error:
        result.close()
        raise InputError(
            Message("cannot listen on {host}:{port}", host=host, port=port),
            received=str(error),
            remedy="choose another port, or --port 0 for a free one",
        ) from None
    return result, f"http://{f'[{host}]' if ':' in host else host}:{result.getsockname()[1]}"
