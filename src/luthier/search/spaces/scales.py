"""Scales: the quantity in which a hyper-parameter's effect is uniform, and the way back.

To search on a scale is to draw that quantity uniformly and to turn it back into the hyper-parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from luthier.errors import ConfigError, nearest
from luthier.messages import Message, joined


@dataclass(frozen=True)
class Scale:
    """`forward` takes a hyper-parameter to the quantity whose effect is uniform; `inverse` takes it back.

    Any strictly rising or falling pair will do; `name` is how it is shown:

    >>> square = Scale("square root", math.sqrt, lambda x: x * x)
    >>> square.between(0.0, 9.0, 1 / 3)
    1.0
    """

    name: str
    forward: Callable[[float], float]
    inverse: Callable[[float], float]

    def between(self, low: float, high: float, share: float) -> float:
        """The value at a share from 0 to 1 of the way from `low` to `high`."""
        first, last = self.forward(low), self.forward(high)
        return min(max(self.inverse(first + share * (last - first)), low), high)

    def share(self, low: float, high: float, value: float) -> float:
        """The way of `value` from `low` (0) to `high` (1)."""
        first, last = self.forward(low), self.forward(high)
        return (self.forward(value) - first) / (last - first)

    def mistakes(self, low: float, high: float) -> list[str]:
        """Why this scale cannot hold values from `low` to `high`; empty where it can."""
        try:
            ends = self.forward(low), self.forward(high)
            back = self.inverse(ends[0]), self.inverse(ends[1])
        except (ValueError, ArithmeticError, TypeError) as error:
            return [f"the {self.name} scale cannot hold {low:g} to {high:g}: {_LIMITS.get(self.name, error)}"]
        if not all(map(math.isfinite, ends)) or ends[0] == ends[1]:
            return [f"the {self.name} scale gives {ends[0]:g} and {ends[1]:g} for {low:g} and {high:g}"]
        return [
            f"the inverse of the {self.name} scale is wrong: {value:g} becomes {again:g}"
            for value, again in zip((low, high), back, strict=True)
            if not math.isclose(value, again, rel_tol=1e-6, abs_tol=1e-9)
        ]


UNIFORM = Scale("uniform", lambda x: x, lambda u: u)
LOG = Scale("log", math.log10, lambda u: 10.0**u)
# Momentum 0.9 averages about 10 terms and 0.99 about 100: what is uniform is log 1/(1 - beta) (S0-06).
WINDOW = Scale("window", lambda beta: -math.log10(1.0 - beta), lambda u: 1.0 - 10.0**-u)
SCALES = {scale.name: scale for scale in (UNIFORM, LOG, WINDOW)}
_LIMITS = {"log": "both bounds must be above 0", "window": "both bounds must be below 1"}


def scale_named(scale: str | Scale) -> Scale:
    """A scale of SCALES by its name.

    >>> round(scale_named("window").between(0.9, 0.999, 0.5), 3)
    0.99
    """
    if isinstance(scale, Scale):
        return scale
    if scale not in SCALES:
        hint = nearest(scale, SCALES) or Message("one of {names}", names=", ".join(SCALES))
        raise ConfigError([joined([Message("'{scale}' is not a scale", scale=scale), hint])])
    return SCALES[scale]
