"""Whether the values of a column say which row is later, and how its dates are written."""

from __future__ import annotations

import re

from luthier.data import Facts
from luthier.data.typed_columns.numerals import NumberStyle
from luthier.errors import InputError
from luthier.messages import Message
from luthier.request import RunRequest

# Words beside numbers that grow with time.
OF_TIME = re.compile(
    r"ms|s|secs?|seconds?|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|months?|q|quarters?|y|yrs?|years?|"
    r"t|steps?|ad|ce|utc|am|pm|年|月|日|天|周|季度|秒|分|小时"
)


def require_order(asked: RunRequest, facts: Facts | None) -> None:
    """InputError where the order of the rows depends on which of two numbers is the month, or on what a word beside
    each number means: "3 days ago" is later than "9 days ago"."""
    style = NumberStyle() if facts is None or not facts.style else NumberStyle.from_json(facts.style)
    words = [word for affix in (style.before, style.after) for word in affix.lower().split() if word.isalpha()]
    if strange := [word for word in words if not OF_TIME.fullmatch(word)]:
        template = "--time {time}: '{word}' stands beside each number, and may turn their order around"
        raise InputError(
            Message(template, time=asked.time, word=strange[0]),
            expected=Message("dates, or numbers that grow with time"),
            remedy=Message("make them plain numbers that grow with time"),
        )
    if facts is not None and facts.other_format and not dates_of(asked):
        known = {"time": asked.time, **vars(facts)}
        raise InputError(
            Message("--time {time}: '{first}' can be read as {date_format} and as {other_format}", **known),
            expected="dates whose day and month cannot be mistaken",
            remedy=Message("name the format: --column {time}=date:{date_format} or date:{other_format}", **known),
        )


def dates_of(asked: RunRequest) -> str:
    """The format of the column that orders rows by time, where it was said: `--column when=date:%d/%m/%Y`."""
    return asked.columns.get(asked.time, "").partition(":")[2]
