"""For the site: the doctests of docstrings become blocks of code."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*(?:\n+>>> .*(?:\n(?!\s*$).+)*)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences each run of `>>>` lines with what they print."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """One function, class or module."""
        if obj.docstring is not None and ">>>" in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
