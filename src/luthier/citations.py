"""Where a claim comes from, in words that a reader can look up: the code names rows of the source documents."""

from __future__ import annotations

import re

_ID = r"S[0-4]-\d+"
_LIST = re.compile(rf"{_ID}(?:(?:, | to ){_ID})*")
# The last row of each part of a document, and what to call the part.
_PARTS: dict[str, tuple[tuple[int, str], ...]] = {
    "S0": ((40, "Andrew Ng's lectures"),),
    "S1": ((5, "Nielsen, chapter 1"), (37, "Nielsen, chapter 2"), (122, "Nielsen, chapter 3")),
    "S2": ((38, "CS231n, lecture 7"),),
    "S3": ((38, "Dive into Deep Learning"),),
    "S4": (
        (2, "Khanna's recipe"),
        (4, "Khanna's recipe, step 1"),
        (7, "Khanna's recipe, step 2"),
        (21, "Khanna's recipe, step 3"),
        (44, "Khanna's recipe, step 4"),
        (47, "Khanna's recipe, step 5"),
        (49, "Khanna's recipe, step 6"),
        (51, "Khanna's recipe"),
    ),
}


def cited(text: str) -> str:
    """The text with ids of rows replaced by titles, each title once; other sources stay as they are.

    >>> cited("S4-12 to S4-16")
    "Khanna's recipe, step 3"
    >>> cited("S0-21; Wu and He 2018")
    "Andrew Ng's lectures; Wu and He 2018"
    """
    return _LIST.sub(lambda found: "; ".join(dict.fromkeys(map(_title, re.findall(_ID, found[0])))), text)


def _title(row: str) -> str:
    document, _, number = row.partition("-")
    return next(title for last, title in _PARTS[document] if int(number) <= last)
