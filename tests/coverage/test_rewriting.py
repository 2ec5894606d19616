"""A place is found by its shape alone, and a place that is not there, or not there once, is an error that says so."""

from __future__ import annotations

import pytest
from tests.coverage.rewriting import PlaceError, rewritten

SOURCE = '''
import math

WIDTH = 2.0


def area(sides):
    """The area of a box of these sides."""
    width, height = sides
    if width > WIDTH:
        height = _cut(height)
    return width * height - _border(width) - _border(height)


def _cut(value):
    return math.sqrt(value) + 1.0


def _border(value):
    return value * 0.5


def alone(value):
    return math.sqrt(value)


class Box:
    def area(self):
        return self._side() * self._side()

    def _side(self):
        return 3 - 1


TABLE = {"cut": _cut, "border": lambda value: _border(value) + 1.0}
'''


@pytest.mark.parametrize(
    ("function", "at", "becomes", "which", "line"),
    [
        ("area", "a * b - c", "a * b", "", "return width * height - _border(height)"),
        ("area", "a - f(b)", "a + f(b)", "1 of 2", "return width * height - _border(width) + _border(height)"),
        ("area", "a - f(b)", "a + f(b)", "2 of 2", "return width * height + _border(width) - _border(height)"),
        ("area", "a > WIDTH", "not a > WIDTH", "", "if not width > WIDTH:"),
        ("area", "if a > WIDTH: ...", "if True: ...", "", "if True:"),
        ("area", "a, b = c", "b, a = c", "", "height, width = sides"),
        ("area", "0.5", "0.25", "", "return value * 0.25"),  # in a helper
        ("area", "math.sqrt(a)", "a", "", "return value + 1.0"),
        ("alone", "math.sqrt(a)", "math.cbrt(a)", "", "return math.cbrt(value)"),
        ("Box.area", "a * a", "a", "", "return self._side()"),
        ("Box", "3 - a", "3", "", "return 3"),
        ("WIDTH", "2.0", "4.0", "", "WIDTH = 4.0"),
        ('TABLE["border"]', "a + 1.0", "a", "", "TABLE = {'cut': _cut, 'border': lambda value: _border(value)}"),
        ('TABLE["cut"]', "a + 1.0", "a", "", "return math.sqrt(value)"),
    ],
)
def test_a_place_is_rewritten(function: str, at: str, becomes: str, which: str, line: str) -> None:
    result = rewritten(SOURCE, function, at, becomes, which).splitlines()
    before = rewritten(SOURCE, "WIDTH", "2.0", "2.0").splitlines()
    assert [one.strip() for one, old in zip(result, before, strict=True) if one != old] == [line]


@pytest.mark.parametrize(
    ("function", "at", "which", "says"),
    [
        ("area", "math.exp(a)", "", r"(?s)nothing in area looks like `math.exp\(a\)`.*math.sqrt\(value\)"),
        ("area", "a - f(b)", "", "(?s)2 places in area.*line 12: width \\* height - _border"),
        ("area", "a - f(b)", "3 of 2", "2 places in area.*which = '3 of 2'"),
        ("area", "a - f(b)", "1 of 3", "2 places in area.*which = '1 of 3'"),
        ("Box.area", "math.sqrt(a)", "", "nothing in Box.area"),  # in the module, and not reached
        ("_cut", "a + 1.0", "", "'_cut' is private"),
        ("volume", "a + 1.0", "", "there is no 'volume'"),
        ("Box.volume", "a + 1.0", "", "there is no 'Box.volume'"),
        ('TABLE["glue"]', "a + 1.0", "", "TABLE holds 'cut', 'border'"),
        ("area", "width * a", "", "spells 'width'"),
        ("area", "_border(a)", "", "spells '_border'"),
        ("Box.area", "a._side()", "", "spells 'a._side'"),
        ("area", "lambda value: a", "", "spells 'value'"),
    ],
)
def test_what_cannot_be_found_is_an_error(function: str, at: str, which: str, says: str) -> None:
    with pytest.raises(PlaceError, match=says):
        rewritten(SOURCE, function, at, "1.0", which)


def test_a_letter_that_stands_for_nothing_is_an_error() -> None:
    with pytest.raises(PlaceError, match="`c`"):
        rewritten(SOURCE, "alone", "math.sqrt(a)", "c")
