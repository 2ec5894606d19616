"""What is wrong with what a schema was given, in a line for each mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from luthier.errors import nearest


def mistakes_in(error: ValidationError, known: Iterable[str]) -> list[str]:
    """A line for each mistake; `known` are the names that may be meant."""
    return [_line(item, list(known)) for item in error.errors()]


def _line(item: Any, known: list[str]) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        hint = nearest(str(item["loc"][-1]), known)
        return f"{place}: there is no such setting" + (f"; {hint}" if hint else "")
    return f"{place}: {item['msg'].lower()}, not {shortened(item['input'])}"


def shortened(value: Any, most: int = 80) -> str:
    """A value as it is written, up to so many characters.

    >>> shortened([1] * 99, 9)
    '[1, 1, 1 ...'
    """
    text = repr(value)
    return text if len(text) <= most else text[: most - 1] + " ..."
