"""What every kind of request has in common: how it is read and encoded, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from typing import Any, Protocol

from luthier.rows import Inputs
from luthier.serving.readers.limits import Limits

MOST_ERRORS = 20  # that an answer names
SHOWN = 60  # characters of a value that an answer names


class RefusedError(Exception):
    """A request that cannot be answered: the status, a sentence, and what is wrong where."""

    def __init__(self, status: int, sentence: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.errors = status, sentence, list(errors)[:MOST_ERRORS]


class Reader(Protocol):
    """How the requests of a model are read and encoded.

    A request is read as pieces of a few rows each, and all that can be wrong with a row is found then: pieces of
    several requests are encoded and predicted together. That takes less than handing them to a thread where `quick`.
    """

    quick: bool

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them."""

    async def read_in_turns(
        self, kind: str, body: bytes, limits: Limits, rest: Callable[[], Awaitable[None]]
    ) -> Sequence[Sized]:
        """The pieces of a request; the work on a large one may `rest` now and then. RefusedError with what is wrong."""

    def encode(self, pieces: Sequence[Any]) -> Inputs:
        """The inputs of pieces, of one request or several."""


def limited(count: int, most: int, what: str) -> None:
    """RefusedError for a request with too many rows."""
    if count > most:
        raise RefusedError(413, f"a request may have at most {most:,} {what}")


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long.

    >>> shown("a" * 100)
    '"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'
    """
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value[:SHOWN] if isinstance(value, str) else value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
