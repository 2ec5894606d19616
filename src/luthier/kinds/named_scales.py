"""Scales that people name: which words stand in an order, and which names of columns say that numbers do."""

from __future__ import annotations

import re
from collections.abc import Iterable

# From low to high; words of one place mean the same.
_SCALES = (
    "very low,lowest|low|medium,moderate,middle,mid,average,normal|high|very high,highest",
    "xxs|xs|s|m|l|xl|xxl|xxxl",
    "tiny,extra small|small|medium|large|huge,extra large",
    "terrible,awful,very poor,very bad|poor,bad|fair|below average|average,typical,ok,okay|above average|good|very good"
    "|excellent,great,premium|outstanding,very excellent,ideal,perfect",
    "po|fa|ta|gd|ex",
    "strongly disagree|disagree|neutral|agree|strongly agree",
    "never|rarely,seldom|sometimes,occasionally|often,frequently|always",
    "very dissatisfied|dissatisfied|neutral|satisfied|very satisfied",
    "very unlikely|unlikely|neutral|likely|very likely",
    "none,no,absent|mild,minor,slight|moderate|severe,serious|critical,very severe",
    "first,1st|second,2nd|third,3rd|fourth,4th|fifth,5th|sixth,6th",
    "beginner,novice|intermediate|advanced|expert",
    "junior|mid,middle|senior",
    "primary|secondary|tertiary",
    "cold|cool|mild|warm|hot",
    "slow|medium|fast",
    "easy|medium,moderate|hard,difficult|very hard,very difficult",
    "short|medium|long",
)
SCALES = tuple([frozenset(place.split(",")) for place in scale.split("|")] for scale in _SCALES)
NAMES = ("star", "rating", "quality", "grade", "severity", "satisfaction", "level", "stage", "priority", "likert")
FEWEST, MOST = 3, 11  # levels of a scale of numbers, 0 to 10 at most


def named_scale(levels: Iterable[str]) -> tuple[str, ...]:
    """Levels in the order of the scale that all of them are on; empty where there is none.

    >>> named_scale(["high", "low", "Medium"]), named_scale(["red", "low", "high"])
    (('low', 'Medium', 'high'), ())
    """
    known = {level: re.sub(r"[\s_-]+", " ", level.strip().lower()) for level in levels}
    for scale in SCALES:
        places = {level: next((i for i, at in enumerate(scale) if word in at), -1) for level, word in known.items()}
        found = set(places.values())
        if len(places) >= FEWEST and len(found) == len(places) and -1 not in found:
            return tuple(sorted(places, key=lambda level: places[level]))
    return ()


def names_a_scale(column: str) -> bool:
    """Whether a column's name says that its numbers are levels.

    >>> names_a_scale("CareerSatisfaction"), names_a_scale("star_rating"), names_a_scale("started")
    (True, True, False)
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)
    return any(word.lower().removesuffix("s") in NAMES for word in words)
