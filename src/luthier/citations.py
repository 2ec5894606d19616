"""Where a claim comes from, in words that a reader can look up: the code names rows of the source documents."""

from __future__ import annotations

import re
from collections.abc import Callable

from luthier.messages import Message, joined

_ID = r"S[0-4]-\d+"
_LIST = re.compile(rf"{_ID}(?:(?:, | to ){_ID})*")
_WORKS = {  # each work's title; with one part of it; with several
    "S0": ("Andrew Ng's lectures",),
    "S1": ("Nielsen", "Nielsen, chapter {parts}", "Nielsen, chapters {parts}"),
    "S2": ("CS231n", "CS231n, lecture {parts}", "CS231n, lectures {parts}"),
    "S3": ("Dive into Deep Learning",),
    "S4": ("Khanna's recipe", "Khanna's recipe, step {parts}", "Khanna's recipe, steps {parts}"),
}
_PARTS = {  # the last row of each part of a work
    "S1": {5: "1", 37: "2", 122: "3"},
    "S2": {38: "7"},
    "S4": {2: "", 4: "1", 7: "2", 21: "3", 44: "4", 47: "5", 49: "6", 51: ""},
}


def cited(text: str) -> str:
    """The text with ids of rows replaced by titles; other sources stay as they are.

    >>> cited("S4-12 to S4-16")
    "Khanna's recipe, step 3"
    >>> cited("S0-21, S1-20, S1-41; Wu and He 2018")
    "Andrew Ng's lectures; Nielsen, chapters 2 and 3; Wu and He 2018"
    """
    return _LIST.sub(lambda found: _titles(re.findall(_ID, found[0]), str), text)


def cited_in_words(text: str) -> str:
    """The same in the language of now.

    >>> from luthier.messages import speaking
    >>> with speaking("zh"):
    ...     cited_in_words("S0-21, S1-20, S1-41; Wu and He 2018")
    '吴恩达的课程; Nielsen，第 2、3 章; Wu and He 2018'
    """
    return _LIST.sub(lambda found: _titles(re.findall(_ID, found[0]), Message.spoken), text)


def _titles(rows: list[str], said: Callable[[Message], str]) -> str:
    """Each work once, with the parts of it that the rows lie in."""
    works: dict[str, list[str]] = {}
    for row in rows:
        work, _, number = row.partition("-")
        part = next((part for last, part in _PARTS.get(work, {}).items() if int(number) <= last), "")
        works.setdefault(work, []).append(part)
    return "; ".join(said(_title(work, sorted({part for part in parts if part}))) for work, parts in works.items())


def _title(work: str, parts: list[str]) -> Message:
    templates = _WORKS[work]
    if not parts:
        return Message(templates[0])
    return Message(templates[min(len(parts), 2)], parts=joined(parts, "{first} and {rest}"))
