"""Rules by name, as objects, and as classes of `torch.optim`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from luthier.errors import nearest, users_code
from luthier.optimise.rules import RULES, Rule

OptimiserClass = Callable[..., Optimizer]
AnyRule = str | Rule | OptimiserClass
HYPER = ("momentum", "beta1", "beta2", "epsilon", "rho")


def is_optimiser(rule: Any) -> bool:
    """Whether a rule is a class of `torch.optim`, or a `functools.partial` of one."""
    made = rule.func if isinstance(rule, partial) else rule
    return isinstance(made, type) and issubclass(made, Optimizer)


def rule_mistakes(rule: Any) -> list[str]:
    """Why something is not a rule, as sentences; none where it is one."""
    if isinstance(rule, Rule):
        return []
    if isinstance(rule, str):
        return (
            [] if rule in RULES else [f"'{rule}' is not one of {', '.join(RULES)}; {nearest(rule, RULES)}".rstrip("; ")]
        )
    if not is_optimiser(rule):
        name = type(rule).__name__
        if isinstance(rule, Optimizer):
            return [f"a rule is the class of an optimiser, since each network gets its own: torch.optim.{name}"]
        return [f"a rule is one of {', '.join(RULES)}, a Rule, or a class of torch.optim, not {name}"]
    return _optimiser_mistakes(rule)


def _optimiser_mistakes(rule: OptimiserClass) -> list[str]:
    made: Any = rule.func if isinstance(rule, partial) else rule
    given = rule.keywords if isinstance(rule, partial) else {}
    mistakes = ["the rate of an optimiser is given by learning_rate, not by lr"] if "lr" in given else []
    parameters = inspect.signature(made.step).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    required = [p.name for p in parameters if p.default is p.empty and p.kind in kinds and p.name != "self"]
    if required:
        words = f"step({', '.join(required)})"
        mistakes.append(f"a step of {made.__name__} takes many passes of its own, {words}: choose SGD, Adam or another")
    return mistakes


def rule_named(rule: str | Rule) -> Rule:
    """The rule of that name, or the rule itself."""
    return RULES[rule] if isinstance(rule, str) else rule


class _Noted(Mapping[str, Tensor]):
    """Hyper-parameters that remember which of them were read."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.read.add(name)
        return torch.full((1, 1), 0.5)

    def __iter__(self) -> Iterator[str]:
        return iter(("rate", *HYPER))

    def __len__(self) -> int:
        return 1 + len(HYPER)


def hyper_parameters_of(rule: AnyRule) -> set[str]:
    """Which of momentum, beta1, beta2, epsilon and rho a rule reads, found out by one step.

    >>> sorted(hyper_parameters_of("adam")), hyper_parameters_of(torch.optim.Adam)
    (['beta1', 'beta2', 'epsilon'], set())
    """
    if not isinstance(rule, str | Rule):
        return set()
    known, noted, P = rule_named(rule), _Noted(), torch.ones(1, 2)
    with users_code("the rule cannot make a step", remedy="check it: luthier.testing.check_rule(rule)"):
        known.update(P, torch.ones(1, 2), known.init(P), noted, 1)
    return noted.read & set(HYPER)
