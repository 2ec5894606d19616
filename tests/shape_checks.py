"""Shape annotations as assertions, in the first calls of each function in each test.

Every call checked takes as long again as all the training of a test of the engine; a wrong shape shows in the first.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping

FIRST = 10  # calls of a function that are checked in each test
_calls: Counter[CodeType] = Counter()
_always = jaxtyping.jaxtyped


def install(modules: list[str]) -> None:
    """Check what these modules define; before they are imported."""
    jaxtyping.jaxtyped = _at_first  # type: ignore[assignment]  # the decorator that the import hook writes
    jaxtyping.install_import_hook(modules, "beartype.beartype")


def start_anew() -> None:
    """The next test begins."""
    _calls.clear()


def _at_first(*, typechecker: Callable[..., Any]) -> Callable[[Any], Any]:
    return functools.partial(_checked_at_first, typechecker)


def _checked_at_first(typechecker: Callable[..., Any], function: Any) -> Any:
    if not inspect.isfunction(function):
        return _always(typechecker=typechecker)(function)
    code, checked = function.__code__, None

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if _calls[code] >= FIRST:
            return function(*args, **kwargs)
        _calls[code] += 1
        checked = checked or _always(typechecker=typechecker)(function)
        return checked(*args, **kwargs)

    return call
