"""What people read, in their language: one catalogue, the English sentence being the key.

`tr` gives a sentence in the language that `speaking` set, English outside of it and where a translation is
missing. Values go into braces, so that their place may differ between languages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from luthier.errors import ConfigError

LANGUAGES = ("en", "zh")
_language: ContextVar[str] = ContextVar("language", default="en")


def language() -> str:
    """The language that is spoken now."""
    return _language.get()


@contextmanager
def speaking(name: str) -> Iterator[None]:
    """Speak a language for the length of a `with`. ConfigError for one that is not known."""
    if name not in LANGUAGES:
        raise ConfigError([f"--lang {name}: not one of {', '.join(LANGUAGES)}"])
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


def tr(text: str, **values: Any) -> str:
    """A sentence in the language of now, with its values.

    >>> tr("{count} notes", count=3)
    '3 notes'
    >>> with speaking("zh"):
    ...     tr("What next?")
    '下一步做什么？'
    """
    result = text if language() == "en" else catalogue(language()).get(text, text)
    return result.format(**values) if values else result


@cache
def catalogue(name: str) -> dict[str, str]:
    """All translations into a language, by the English sentence."""
    path = Path(__file__).parent / f"{name}.json"
    translations: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return translations


def in_bytes(count: float) -> str:
    """Bytes as people read them.

    >>> in_bytes(1536), in_bytes(3 << 30)
    ('1.5 KiB', '3 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.3g} {unit}"
