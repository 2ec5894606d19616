"""Rules and schedules of one's own in a space: options are their names, which trials and records have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from luthier.errors import ConfigError
from luthier.identity import name_of
from luthier.optimise import RULES, Rule, hyper_parameters_of, is_optimiser, rule_mistakes, schedule_for
from luthier.optimise.schedules import KINDS, CustomSchedule, Schedule
from luthier.search.spaces.space import Choice, Number, Value

Objects = dict[str, dict[str, object]]  # by hyper-parameter and name
_TAKEN = {"rule": RULES, "schedule": KINDS}


def labelled(described: Mapping[str, Any]) -> tuple[dict[str, object], Objects, list[str]]:
    """A described space with names in place of objects, these by their names, and what is wrong with them.

    >>> labelled({"schedule": ["cosine", Schedule("restarts", period=50)]})[0]
    {'schedule': ['cosine', 'restarts(period=50)']}
    """
    objects: Objects = {}
    mistakes: list[str] = []
    result = {name: _without_objects(name, value, objects, mistakes) for name, value in described.items()}
    return result, objects, mistakes


def readers(name: str, rules: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of these rules, by their names, that read a hyper-parameter."""
    return tuple(
        label
        for label, rule in rules.items()
        if not isinstance(rule, Schedule | CustomSchedule) and name in hyper_parameters_of(rule)
    )


def _without_objects(name: str, value: Any, objects: Objects, mistakes: list[str]) -> Any:
    """A value of a described space, its options and conditions by name."""
    label = partial(_label, name, objects=objects, mistakes=mistakes)
    conditions = partial(_conditions, objects=objects, mistakes=mistakes)
    if name in _TAKEN and _is_object(value):
        return label(value)
    if isinstance(value, Choice):
        options, default = value.options, value.default
        if name in _TAKEN:
            options, default = tuple(map(label, options)), None if default is None else label(default)
        return replace(value, options=options, default=default, when=conditions(value.when))
    if isinstance(value, Number):
        return replace(value, when=conditions(value.when))
    if isinstance(value, Mapping):
        inside = dict(value)
        for key in ("options", "choices"):
            if name in _TAKEN and isinstance(inside.get(key), list | tuple):
                inside[key] = [label(one) for one in inside[key]]
        if name in _TAKEN and "default" in inside:
            inside["default"] = label(inside["default"])
        if isinstance(inside.get("when"), Mapping):
            inside["when"] = conditions(inside["when"])
        return inside
    if name in _TAKEN and isinstance(value, list | tuple):
        return [label(one) for one in value]
    return value


def _conditions(when: Mapping[str, Any], objects: Objects, mistakes: list[str]) -> dict[str, tuple[Value, ...]]:
    result = dict(when)
    for parent in _TAKEN:
        if parent in result:
            wanted = result[parent]
            several = wanted if isinstance(wanted, list | tuple) and not isinstance(wanted, Rule) else (wanted,)
            result[parent] = tuple(_label(parent, one, objects=objects, mistakes=mistakes) for one in several)
    return result


def _label(name: str, value: Any, objects: Objects, mistakes: list[str]) -> Any:
    """The name of an object, under which it is kept; of anything else itself."""
    if isinstance(value, bool | int | float | str):
        return value
    try:
        if name == "schedule":
            value = schedule_for(value)
        elif wrong := rule_mistakes(value):
            raise ConfigError(wrong)
    except ConfigError as error:
        mistakes += [f"{name}: {mistake}" for mistake in error.mistakes]
        return name_of(value)
    label, known = name_of(value), objects.setdefault(name, {})
    if name == "schedule" and value == Schedule(value.kind if value.kind in KINDS else "constant"):
        return label
    if label in _TAKEN[name] or (label in known and known[label] != value):
        mistakes.append(f"{name}: two options are called '{label}': give one of them another name")
    known[label] = value
    return label


def _is_object(value: Any) -> bool:
    return isinstance(value, Rule | Schedule | CustomSchedule) or is_optimiser(value) or callable(value)
