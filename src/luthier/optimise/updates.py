"""What happens to a stack of parameters at a step, as a chain of parts: penalties, freezing, clipping, the rule, decay.

P parameters, G gradients [M, P]. A part is a pair: `init` makes its state, `update` changes gradients, parameters and
state in place and hands on the step as the parts after it see it. Numbers of a member are [M, 1], or [M, P] where they
differ within it.

>>> from luthier.optimise import RULES
>>> import torch
>>> P, G = torch.ones(1, 2), torch.zeros(1, 2)
>>> update = chain(l2(torch.tensor([[0.5, 0.0]])), by_rule(RULES["sgd"], {"momentum": torch.zeros(1, 1)}))
>>> _ = update.update(P, G, update.init(P), Step(torch.full((1, 1), 0.1), 1))
>>> P
tensor([[0.9500, 1.0000]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from luthier.averages import follow
from luthier.optimise.rules import Hyper, Rule, State
from luthier.shapes import Flat, MemberColumn


class Step(NamedTuple):
    """A step as the parts of an update see it: its rates [M, 1] or [M, P], and its number from 1.

    The number is a tensor [] where a step is recorded once and repeated. `learnt` are the steps that each number [M, P]
    has made where some of them began later.
    """

    rates: Tensor
    number: int | Tensor
    learnt: Tensor | None = None


class Update(NamedTuple):
    """One part of a step, or a chain of them."""

    init: Callable[[Tensor], State]
    update: Callable[[Tensor, Tensor, State, Step], Step]


def chain(*parts: Update) -> Update:
    """The parts one after another, their states side by side."""

    def init(P: Flat) -> State:
        return {name: value for part in parts for name, value in part.init(P).items()}

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        for part in parts:
            step = part.update(P, G, state, step)
        return step

    return Update(init, update)


def l2(strength: Flat) -> Update:
    """Add the gradient of a squared penalty."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        G.addcmul_(strength, P)
        return step

    return Update(_stateless, update)


def l1(strength: Flat) -> Update:
    """Add the gradient of a penalty on sizes, with sgn(0) = 0."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        G.addcmul_(strength, P.sign())
        return step

    return Update(_stateless, update)


def frozen(until: Tensor) -> Update:
    """Hold each number still until its step [M, P] is done; from then on its steps count from 1."""
    last = int(until.max())

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        rates = step.rates
        if isinstance(step.number, Tensor) or step.number <= last:
            moving = until < step.number
            G.mul_(moving)
            rates = rates * moving
        return Step(rates, step.number, (step.number - until).clamp_min(1))

    return Update(_stateless, update)


def clipped(by: Callable[[Tensor, Tensor], None], limit: MemberColumn) -> Update:
    """Cut gradients to their members' limits, `clip_by_value` or `clip_by_norm`."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        by(G, limit)
        return step

    return Update(_stateless, update)


def with_factors(factors: Flat) -> Update:
    """Multiply the rates, each number's by its own."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        return step._replace(rates=step.rates * factors)

    return Update(_stateless, update)


def decayed(strength: Flat) -> Update:
    """Shrink weights by rate times strength, apart from the gradient."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        P.addcmul_(P, strength * step.rates, value=-1)
        return step

    return Update(_stateless, update)


def by_rule(rule: Rule, hyper: Hyper) -> Update:
    """Move along the gradient by an update rule."""

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        rule.update(P, G, state, {**hyper, "rate": step.rates}, step.number if step.learnt is None else step.learnt)
        return step

    return Update(rule.init, update)


def averaged(memory: MemberColumn) -> Update:
    """Keep the moving average of the weights; while there were few steps it is of those."""

    def init(P: Flat) -> State:
        return {"average": P.clone()}

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        follow(state["average"], P, memory.clamp_max(step.number / (step.number + 9)))
        return step

    return Update(init, update)


def _stateless(P: Tensor) -> State:
    return {}
