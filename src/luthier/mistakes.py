"""What is wrong with what a schema was given, in a line for each mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from luthier.errors import nearest
from luthier.messages import Message, joined

_LIMITS = {
    "greater_than": "input should be greater than {gt}",
    "greater_than_equal": "input should be greater than or equal to {ge}",
    "less_than": "input should be less than {lt}",
    "less_than_equal": "input should be less than or equal to {le}",
    "literal_error": "input should be {expected}",
}


def mistakes_in(error: ValidationError, known: Iterable[str]) -> list[str]:
    """A line for each mistake; `known` are the names that may be meant."""
    return [_line(item, list(known)) for item in error.errors()]


def _line(item: Any, known: list[str]) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), known)
        return joined([Message("{place}: there is no such setting", place=place), hint])
    template = "{place}: {mistake}, not {received}"
    return Message(template, place=place, mistake=_mistake(item), received=shortened(item["input"]))


def _mistake(item: Any) -> Message:
    """What Pydantic says, its limits as values; in English as it says it."""
    said, context = item["msg"].lower(), item.get("ctx", {})
    template = _LIMITS.get(item["type"], "")
    return made if template and (made := Message(template, **context)) == said else Message(said)


def shortened(value: Any, most: int = 80) -> str:
    """A value as it is written, up to so many characters.

    >>> shortened([1] * 99, 9)
    '[1, 1, 1 ...'
    """
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + " ..."
