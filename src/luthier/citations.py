"""Where a claim comes from, in words that a reader can look up: the code names rows of the source documents."""

from __future__ import annotations

import re

_ID = r"S[0-4]-\d+"
_LIST = re.compile(rf"{_ID}(?:(?:, | to ){_ID})*")
_WORKS = {
    "S0": "Andrew Ng's lectures",
    "S1": "Nielsen, chapter",
    "S2": "CS231n, lecture",
    "S3": "Dive into Deep Learning",
    "S4": "Khanna's recipe, step",
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
    return _LIST.sub(lambda found: _titles(re.findall(_ID, found[0])), text)


def _titles(rows: list[str]) -> str:
    """Each work once, with the parts of it that the rows lie in."""
    works: dict[str, list[str]] = {}
    for row in rows:
        work, _, number = row.partition("-")
        part = next((part for last, part in _PARTS.get(work, {}).items() if int(number) <= last), "")
        works.setdefault(work, []).append(part)
    return "; ".join(_title(work, sorted({part for part in parts if part})) for work, parts in works.items())


def _title(work: str, parts: list[str]) -> str:
    name = _WORKS[work]
    if not parts:
        return name.partition(",")[0]
    return f"{name}{'s' * (len(parts) > 1)} {' and '.join(parts)}"
