"""What is searched: dimensions with scales, conditions between them, and what is held fixed."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from luthier.errors import ConfigError, nearest
from luthier.identity import identity
from luthier.records import JsonObject
from luthier.search.spaces.scales import UNIFORM, Scale, scale_named

Value = bool | int | float | str
Values = dict[str, Value]
When = Mapping[str, tuple[Value, ...]]


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`, searched uniformly in the quantity of its `scale`.

    Whole numbers fill equal shares: of 1 to 4 each has a quarter. `limits` bound the values that make
    sense at all: a range that ends there cannot be widened. With `integer` only whole numbers are tried. `default`,
    `tier` and `when` are as for `Choice`.

    >>> Number(1e-4, 1.0, scale="log").at(0.5)
    0.01
    >>> [Number(2, 4, integer=True).at(u) for u in (0.0, 0.4, 1.0)]
    [2, 3, 4]
    """

    low: float
    high: float
    scale: str | Scale = UNIFORM
    integer: bool = False
    default: float | None = None
    tier: int | None = None
    when: When = field(default_factory=dict)
    limits: tuple[float, float] = (-math.inf, math.inf)

    @property
    def on(self) -> Scale:
        """The scale."""
        return scale_named(self.scale)

    @property
    def size(self) -> float:
        """How many values there are."""
        return self.high - self.low + 1 if self.integer else math.inf

    def at(self, share: float) -> Value:
        """The value at a share from 0 to 1 of the range."""
        if not self.integer:
            return float(self.on.between(self.low, self.high, share))
        low, high = self._edges()
        whole = math.floor(self.on.between(low, high, share) + 0.5)
        return int(min(max(whole, self.low), self.high))

    def share(self, value: Any) -> float:
        """Where a value lies in the range, from 0 to 1."""
        low, high = self._edges()
        return min(max(self.on.share(low, high, float(value)), 0.0), 1.0)

    def middle(self) -> Value:
        """The default: the one given, or else the middle of the scale."""
        if self.default is None:
            return self.at(0.5)
        return int(self.default) if self.integer else float(self.default)

    def levels(self, count: int) -> list[Value]:
        """`count` values evenly spread over the range, both ends among them."""
        if self.size <= count:
            return [int(self.low) + k for k in range(int(self.size))]
        shares = [0.5] if count == 1 else [k / (count - 1) for k in range(count)]
        return list(dict.fromkeys(self.at(share) for share in shares))

    def _edges(self) -> tuple[float, float]:
        return (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)

    def mistakes(self) -> list[str]:
        """What is wrong with it, as sentences."""
        bounds = {"low": self.low, "high": self.high, **({} if self.default is None else {"default": self.default})}
        wrong = [f"{name} must be a number, not {value!r}" for name, value in bounds.items() if not _is_number(value)]
        if wrong:
            return wrong
        if not self.low < self.high:
            return [f"low must be below high, not {self.low:g} and {self.high:g}; give one value to hold it fixed"]
        if self.low < self.limits[0] or self.high > self.limits[1]:
            wrong.append(f"{self.low:g} to {self.high:g} is outside the valid range, {_within(self.limits)}")
        if self.integer and any(value != int(value) for value in bounds.values()):
            wrong.append(f"whole numbers are expected, not {', '.join(f'{v:g}' for v in bounds.values())}")
        if self.default is not None and not self.low <= self.default <= self.high:
            wrong.append(f"the default {self.default:g} is not between {self.low:g} and {self.high:g}")
        try:
            return wrong + self.on.mistakes(*self._edges())
        except ConfigError as error:
            return wrong + list(error.mistakes)

    def to_json(self) -> JsonObject:
        """Plain values; a scale of one's own goes by its name."""
        return {
            "low": self.low,
            "high": self.high,
            "scale": self.on.name,
            "integer": self.integer,
            "default": self.middle(),
            "tier": self.tier,
            "when": {name: list(options) for name, options in self.when.items()},
        }


@dataclass(frozen=True)
class Choice:
    """One of several `options`, in no order.

    `default` is the first trial's value (the first option), `tier` when it is searched, 1 first (by the registry), and
    `when` names the values of others under which it is active. What is wrong with it, a `Space` says.

    >>> Choice(("sgd", "adam")).at(0.7)
    'adam'
    """

    options: tuple[Value, ...]
    default: Value | None = None
    tier: int | None = None
    when: When = field(default_factory=dict)

    @property
    def size(self) -> float:
        """How many options there are."""
        return len(self.options)

    def at(self, share: float) -> Value:
        """The option at a share from 0 to 1."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def share(self, value: Any) -> float:
        """Where an option lies among the others: the middle of its part."""
        return (self.options.index(value) + 0.5) / len(self.options)

    def middle(self) -> Value:
        """The default: the one given, or else the first option."""
        return self.options[0] if self.default is None else self.default

    def levels(self, count: int) -> list[Value]:
        """All options, whatever the count: they have no order to thin out by."""
        return list(self.options)

    def mistakes(self) -> list[str]:
        """What is wrong with it, as sentences."""
        if not self.options:
            return ["there are no options"]
        result = []
        if len(set(map(repr, self.options))) < len(self.options):
            result.append(f"an option is given twice: {list(self.options)}")
        if not all(isinstance(option, bool | int | float | str) for option in self.options):
            result.append(f"options must be numbers, names or true and false, not {list(self.options)}")
        elif self.default is not None and self.default not in self.options:
            result.append(f"the default {self.default!r} is not one of {list(self.options)}")
        return result

    def to_json(self) -> JsonObject:
        """Plain values."""
        return {
            "options": list(self.options),
            "default": self.middle(),
            "tier": self.tier,
            "when": {name: list(options) for name, options in self.when.items()},
        }


Dimension = Number | Choice


@dataclass(frozen=True)
class Space:
    """The `dimensions` (`Number` or `Choice`) by name, and the values of what is held `fixed`.

    A dimension with `when` is active where the named hyper-parameters have one of these values; where it
    is not, its value is left out. Options that stand for `objects` are their names. All mistakes are reported at once,
    in a ConfigError.

    >>> space = Space({"rate": Number(0.01, 1.0, scale="log"), "rule": Choice(("sgd", "adam")),
    ...                "beta": Number(0.8, 0.99, when={"rule": ("adam",)})})
    >>> space.values({"rate": 0.5, "rule": 0.0, "beta": 0.5})
    {'rate': 0.1, 'rule': 'sgd'}
    """

    dimensions: Mapping[str, Dimension]
    fixed: Mapping[str, Value] = field(default_factory=dict)
    objects: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        mistakes = [
            f"{name}: {mistake}" for name, dimension in self.dimensions.items() for mistake in dimension.mistakes()
        ]
        mistakes += [f"{name} is both searched and fixed" for name in self.dimensions if name in self.fixed]
        if not self.dimensions:
            mistakes.append("the space is empty: name at least one hyper-parameter to search")
        if not mistakes:
            mistakes = self._contradictions()
        if mistakes:
            raise ConfigError(mistakes)

    def _contradictions(self) -> list[str]:
        result = []
        for name, dimension in self.dimensions.items():
            for parent, wanted in dimension.when.items():
                if parent in self.fixed:
                    if self.fixed[parent] not in wanted:
                        result.append(
                            f"{name} is never used: it needs {parent} to be {_either(wanted)}, "
                            f"which is fixed at {self.fixed[parent]!r}"
                        )
                elif parent not in self.dimensions:
                    hint = nearest(parent, [*self.dimensions, *self.fixed])
                    result.append(f"{name} depends on '{parent}', which is not in the space; {hint}".rstrip("; "))
                else:
                    above = self.dimensions[parent]
                    if isinstance(above, Choice) and not set(wanted) & set(above.options):
                        result.append(
                            f"{name} is never used: {parent} is {_either(above.options)}, not {_either(wanted)}"
                        )
                    if self._circular(name):
                        result.append(f"{name} depends on itself")
        return list(dict.fromkeys(result))

    def _circular(self, name: str) -> bool:
        seen, open_names = set(), list(self.dimensions[name].when)
        while open_names:
            parent = open_names.pop()
            if parent == name:
                return True
            if parent not in seen and parent in self.dimensions:
                seen.add(parent)
                open_names += list(self.dimensions[parent].when)
        return False

    @property
    def size(self) -> float:
        """How many settings there are at most."""
        return math.prod(dimension.size for dimension in self.dimensions.values())

    def active(self, name: str, everything: Mapping[str, Any]) -> bool:
        """Whether a dimension counts beside these values of all hyper-parameters."""
        when = self.dimensions[name].when
        return all(
            everything.get(parent) in wanted and (parent not in self.dimensions or self.active(parent, everything))
            for parent, wanted in when.items()
        )

    def values(self, shares: Mapping[str, float]) -> Values:
        """The setting at these shares of the ranges, fixed values included, inactive ones left out."""
        return self.setting([d.at(shares[name]) for name, d in self.dimensions.items()])

    def setting(self, values: Iterable[Value]) -> Values:
        """The setting of these values of all dimensions, in their order; inactive ones left out."""
        return self.pruned(dict(self.fixed) | dict(zip(self.dimensions, values, strict=True)))

    def pruned(self, everything: Mapping[str, Value]) -> Values:
        """A setting without what is inactive in it."""
        return {
            name: value
            for name, value in everything.items()
            if name not in self.dimensions or self.active(name, everything)
        }

    def shares(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Where a setting lies, from 0 to 1 in each dimension; what it leaves out lies at its default."""
        return {name: d.share(values.get(name, d.middle())) for name, d in self.dimensions.items()}

    def default(self) -> Values:
        """The setting of all defaults."""
        return self.setting(d.middle() for d in self.dimensions.values())

    def open(self, name: str, values: Mapping[str, Value], free: Collection[str]) -> bool:
        """Whether a dimension counts, or may come to count, where `free` are searched and the rest is held."""
        return all(
            parent in free or values.get(parent, self.fixed.get(parent)) in wanted
            for parent, wanted in self.dimensions[name].when.items()
        )

    def holding(self, names: Sequence[str], values: Mapping[str, Value]) -> Space:
        """The space of these dimensions alone, the others held at the values of a setting."""
        free = {name: self.dimensions[name] for name in self.dimensions if name in names}
        held = {name: values.get(name, d.middle()) for name, d in self.dimensions.items() if name not in free}
        for name in names:
            free[name] = replace(free[name], default=values.get(name, free[name].middle()))  # type: ignore[arg-type]
        return Space(free, dict(self.fixed) | held, self.objects)

    def key(self, values: Mapping[str, Any]) -> str:
        """A setting as text: equal settings have equal keys."""
        return repr(sorted((name, _rounded(value)) for name, value in values.items()))

    def to_json(self) -> JsonObject:
        """Plain values; objects by a text that another one's differs in."""
        named = {name: {label: identity(one) for label, one in own.items()} for name, own in self.objects.items()}
        return {
            "dimensions": {name: dimension.to_json() for name, dimension in self.dimensions.items()},
            "fixed": dict(self.fixed),
            **({"objects": named} if named else {}),
        }


def _rounded(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def _within(limits: tuple[float, float]) -> str:
    low, high = limits
    if math.isinf(high):
        return f"{low:g} and above"
    return f"{high:g} and below" if math.isinf(low) else f"{low:g} to {high:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _either(options: Sequence[Value]) -> str:
    return " or ".join(map(repr, options))
