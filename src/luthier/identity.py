"""Objects that a user hands in beside our names: what they go by in records, and whether two are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

DEEPEST = 12  # objects inside of objects that are still looked at


def name_of(value: Any) -> str:
    """The name that an object goes by: a text itself, its `name`, or that of its function or class.

    >>> name_of("adam"), name_of(partial(sorted, reverse=True)), name_of(3.5)
    ('adam', 'sorted(reverse=True)', 'float')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, partial):
        given = ", ".join(f"{name}={one!r}" for name, one in value.keywords.items())
        return f"{name_of(value.func)}({given})"
    own = getattr(value, "name", None)
    if isinstance(own, str) and own:
        return own
    inner = getattr(value, "update", None) or getattr(value, "rows", None) or getattr(value, "value", None)
    if isinstance(value, tuple) and inner is not None:
        return name_of(inner)
    return str(getattr(value, "__name__", type(value).__name__)).strip("<>")


def identity(value: Any) -> str:
    """A text that two objects share where they compute the same: their code, constants and what they enclose.

    >>> identity("adam")
    'adam'
    >>> identity(lambda x: 2 * x) == identity(lambda x: 2 * x), identity(lambda x: 2 * x) == identity(lambda x: 3 * x)
    (True, False)
    """
    if isinstance(value, str):
        return value
    return f"{name_of(value)}-{hashlib.blake2b(_described(value, 0).encode(), digest_size=6).hexdigest()}"


def _described(value: Any, depth: int) -> str:
    within = partial(_described, depth=depth + 1)
    if depth > DEEPEST:
        return type(value).__qualname__
    if isinstance(value, CodeType):
        constants = [within(one) for one in value.co_consts]
        return f"{value.co_code.hex()} {constants} {value.co_names} {value.co_varnames}"
    if isinstance(value, partial):
        return f"partial {within(value.func)} {within(value.args)} {within(value.keywords)}"
    if isinstance(value, FunctionType):
        enclosed = [within(cell.cell_contents) for cell in value.__closure__ or ()]
        return f"{within(value.__code__)} {within(value.__defaults__)} {enclosed}"
    if isinstance(value, MethodType):
        return f"{within(value.__func__)} {within(value.__self__)}"
    if isinstance(value, type | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, tuple | list):
        return f"{type(value).__qualname__} {[within(one) for one in value]}"
    if isinstance(value, Mapping):
        return f"{ {str(key): within(one) for key, one in sorted(value.items(), key=lambda pair: str(pair[0]))} }"
    if hasattr(value, "detach"):  # a tensor; NumPy has no bfloat16
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.blake2b(np.ascontiguousarray(value).tobytes()).hexdigest()}"
    if isinstance(value, str | bytes | int | float | complex | bool | None):
        return repr(value)
    inside = dict(getattr(value, "__dict__", {}))
    if is_dataclass(value):  # without what it only remembers
        inside = {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
    return f"{type(value).__module__}.{type(value).__qualname__} {within(inside)}"
