"""Spaces as people write them: a mapping or a TOML file, with the registry behind it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any, TypeGuard

from luthier.errors import ConfigError, InputError, nearest
from luthier.messages import Message
from luthier.nets import ACTIVATIONS, INITIALISERS
from luthier.optimise import RULES
from luthier.optimise.schedules import KINDS
from luthier.renamed import current_hyper_parameters
from luthier.search.spaces.objects import Objects, labelled, readers
from luthier.search.spaces.registry import RATES_OF, REGISTRY, TIERS
from luthier.search.spaces.scales import Scale
from luthier.search.spaces.space import Choice, Dimension, Number, Space, Value
from luthier.untrusted import read_toml

_NAMED: dict[str, Collection[str]] = {
    "rule": RULES,
    "schedule": KINDS,
    "activation": ACTIVATIONS,
    "initialiser": INITIALISERS,
}
_KEYS = {"low", "high", "scale", "integer", "options", "choices", "default", "tier", "when"}
_POSITIVE, _SHARE = (0.0, math.inf), (0.0, 1.0)
_LIMITS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("learning_rate", "l2", "l1", "weight_decay", "clip_norm", "clip_value", "epsilon"), _POSITIVE),
    **dict.fromkeys((*RATES_OF, "number_frequencies", "number_pieces", "noise", "mixup"), _POSITIVE),
    **dict.fromkeys(("momentum", "restart_period", "decay", "warmup", "dropout"), _SHARE),
    **dict.fromkeys(("beta1", "beta2", "rho", "ema_decay", "label_smoothing"), _SHARE),
    **dict.fromkeys(("depth", "epochs", "width", "batch_size", "restart_multiplier"), (1.0, math.inf)),
    "number_width": (2.0, math.inf),
    "number_deviation": (1e-9, math.inf),
}


def usual_space(names: Collection[str]) -> Space:
    """The usual ranges of these hyper-parameters.

    >>> list(usual_space(["learning_rate", "width"]).dimensions)
    ['learning_rate', 'width']
    """
    return space_from({name: REGISTRY[name].usual for name in names})


def space_from(described: Mapping[str, Any] | str | Path | Space, *, taken: Collection[str] | None = None) -> Space:
    """A space from a mapping or a TOML file, all its mistakes reported at once.

    By name: a Number or a Choice; a pair (low, high), searched on the name's usual scale; a list of
    options; a table with `low`, `high`, `scale`, `integer`, `default`, `tier`, `when`, or `options`; any
    other value is held fixed. Rules and schedules may be objects: they go by their names.
    Without a default of its own a dimension takes the registry's, where that
    lies in it. `taken` are the names that the networks take (None: any). Conditions
    that follow from the engine hold too: `momentum` counts where the rule has one.

    >>> space = space_from({"learning_rate": (1e-3, 1.0), "rule": ["sgd", "adam"], "momentum": (0.8, 0.99)})
    >>> space.dimensions["learning_rate"].on.name, space.dimensions["momentum"].on.name
    ('log', 'window')
    """
    if isinstance(described, Space):
        return described
    if isinstance(described, str | Path):
        described = _read(Path(described))
    if not isinstance(described, Mapping) or not all(isinstance(name, str) for name in described):
        raise InputError(
            "the space is not understood",
            expected="names with a range, options or one value for each, or a TOML file",
            received=type(described).__name__ if not isinstance(described, Mapping) else "names that are not text",
            remedy='{"learning_rate": (1e-4, 1e-1), "units": [16, 32]}',
        )
    described = current_hyper_parameters(described)
    described, objects, mistakes = labelled(described)
    dimensions: dict[str, Dimension] = {}
    fixed: dict[str, Value] = {}
    for name, value in described.items():
        if taken is not None and name not in taken:
            hint = nearest(name, taken) or f"choose from {', '.join(sorted(taken))}"
            mistakes.append(f"'{name}' is not a hyper-parameter of these networks; {hint}")
            continue
        try:
            made = _understood(name, value)
        except ConfigError as error:
            mistakes += [f"{name}: {mistake}" for mistake in error.mistakes]
            continue
        mistakes += [f"{name}: {mistake}" for mistake in _unknown_options(name, made, objects.get(name, {}))]
        mistakes += [f"{name}: {mistake}" for mistake in _meaningless(name, made, everything=taken is not None)]
        if isinstance(made, Number) and name in _LIMITS:
            made = replace(made, limits=_LIMITS[name])
        if isinstance(made, Number | Choice):
            dimensions[name] = made
        else:
            fixed[name] = made
    if mistakes:
        own = [f"{name}: {mistake}" for name, dimension in dimensions.items() for mistake in dimension.mistakes()]
        raise ConfigError([*mistakes, *own])
    ours = {name: _with_conditions(name, d, dimensions, fixed, objects) for name, d in dimensions.items()}
    return Space(ours, fixed, objects)


def _with_conditions(
    name: str, dimension: Dimension, dimensions: Mapping[str, Dimension], fixed: Mapping[str, Value], objects: Objects
) -> Dimension:
    """The engine's own conditions, as far as the space decides them; a rule that is not in it is the default."""
    usual = REGISTRY[name].usual.when if name in REGISTRY else {}
    when = dict(dimension.when)
    for parent, wanted in usual.items():
        if parent in dimensions or parent in fixed:
            when.setdefault(parent, (*wanted, *readers(name, objects.get(parent, {}))))
        elif REGISTRY[parent].usual.middle() not in wanted:
            standing = REGISTRY[parent].usual.middle()
            template = "{name} is never used: it needs {parent} to be one of {names}, which is {standing!r} by default"
            names = ", ".join(map(str, wanted))
            raise ConfigError(
                [Message(template, name=name, parent=parent, names=names, standing=standing)],
                remedy=Message('set {parent} = "{first}" as well', parent=parent, first=wanted[0]),
            )
    return replace(dimension, when=when)


def _understood(name: str, value: Any) -> Dimension | Value:
    usual = REGISTRY[name].usual if name in REGISTRY else None
    if isinstance(value, Number | Choice):
        return value
    if isinstance(value, tuple) and len(value) == 2 and not any(isinstance(v, str | bool) for v in value):
        value = {"low": value[0], "high": value[1]}
    if isinstance(value, list | tuple):
        value = {"options": value}
    if isinstance(value, Mapping):
        return _with_default(_from_table(value, usual), usual)
    if not isinstance(value, bool | int | float | str):
        template = "expected a range, options, a table or one value, not {kind}"
        raise ConfigError([Message(template, kind=type(value).__name__)])
    return value


def _with_default(made: Dimension, usual: Dimension | None) -> Dimension:
    """The dimension with the name's usual default, where it has none of its own and that one is in it."""
    if usual is None or made.default is not None or made.mistakes():
        return made
    default = usual.middle()
    if isinstance(made, Choice):
        return replace(made, default=default) if default in made.options else made
    inside = isinstance(default, int | float) and made.low <= default <= made.high
    return replace(made, default=float(default)) if inside else made


def _from_table(table: Mapping[str, Any], usual: Dimension | None) -> Dimension:
    unknown = [key for key in table if key not in _KEYS]
    mistakes = [f"'{key}' is not understood; {nearest(key, _KEYS)}".rstrip("; ") for key in unknown]
    when = table.get("when", {})
    if not isinstance(when, Mapping):
        mistakes.append("when must be a table of names and values")
        when = {}
    conditions = {k: tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in when.items()}
    common: dict[str, Any] = {"tier": table.get("tier"), "when": conditions, "default": table.get("default")}
    if common["tier"] is not None and common["tier"] not in TIERS:
        mistakes.append(f"tier must be 1 to {max(TIERS)}, not {common['tier']!r}")
    options = table.get("options", table.get("choices"))
    if options is None and not {"low", "high"} <= set(table):
        mistakes.append("a table needs low and high, or options")
    if mistakes:
        raise ConfigError(mistakes)
    if options is not None:
        if not isinstance(options, list | tuple):
            raise ConfigError([Message("options must be a list, not {options!r}", options=options)])
        return Choice(tuple(options), **common)
    like = usual if isinstance(usual, Number) else None
    scale: str | Scale = table.get("scale", like.scale if like else "uniform")
    return Number(
        table["low"], table["high"], scale, bool(table.get("integer", like.integer if like else False)), **common
    )


def _meaningless(name: str, made: Dimension | Value, *, everything: bool) -> list[str]:
    """Options and fixed values that the engine cannot take; what describes an architecture may be `build`'s own."""
    hyper = REGISTRY.get(name)
    own = hyper is None or hyper.use == "architecture" or name == "dropout"
    if name not in _LIMITS or hyper is None or (own and not everything) or isinstance(made, Number):
        return []
    low, high = _LIMITS[name]
    whole = name in ("batch_size", "depth", "epochs", "width", "number_frequencies", "number_pieces", "number_width")
    wrong = [
        repr(option)
        for option in (made.options if isinstance(made, Choice) else (made,))
        if not _is_number(option) or not low <= option <= high or (whole and option != int(option))
    ]
    kind = "whole numbers" if whole else "numbers"
    return [f"{kind} of at least {low:g} are asked for, not {', '.join(wrong)}"] if wrong else []


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _unknown_options(name: str, made: Dimension | Value, own: Collection[str]) -> list[str]:
    known = _NAMED.get(name)
    if known is None or isinstance(made, Number):
        return []
    options = made.options if isinstance(made, Choice) else (made,)
    wrong = [str(option) for option in options if option not in known and option not in own]
    return [f"'{option}' is not one of {', '.join(known)}; {nearest(option, known)}".rstrip("; ") for option in wrong]


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        raise InputError(
            Message("there is no file '{path}'", path=path), expected="a TOML file with an entry per hyper-parameter"
        ) from None
