"""What every kind of request has in common: how it is read and encoded, and how it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Sized
from typing import Any, Protocol

from torch import Tensor

MOST_ERRORS = 20  # that an answer names


class RefusedError(Exception):
    """A request that cannot be answered: the status, a sentence, and what is wrong where."""

    def __init__(self, status: int, sentence: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.errors = status, sentence, list(errors)[:MOST_ERRORS]


class Reader(Protocol):
    """How the requests of a model are read and encoded.

    Up to `few` rows take less to predict than to hand to a thread. Reading itself may take long where it `decodes`.
    """

    few: int
    decodes: bool

    @property
    def content(self) -> Mapping[str, Any]:
        """The bodies as OpenAPI describes them, by media type."""

    def read(self, kind: str, body: bytes, most: int) -> Sized:
        """A request of at most so many rows. RefusedError with what is wrong."""

    def encode(self, requests: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Numbers and codes of several requests."""


def items_of(body: bytes, name: str, example: str, most: int) -> list[Any]:
    """The list of at least one and at most so many that is all a JSON body holds. RefusedError with an `example`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    result = value[name] if isinstance(value, dict) and set(value) == {name} else None
    if not isinstance(result, list) or not result:
        raise RefusedError(422, f"the body must be {example}, with at least one")
    limited(len(result), most, name)
    return result


def limited(count: int, most: int, what: str) -> None:
    """RefusedError for a request with too many rows."""
    if count > most:
        raise RefusedError(413, f"a request may have {most:,} {what}, not {count:,}")


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
