"""Optimisers of `torch.optim` as the rule of looped members: one for each, over views of its row.

M members, P numbers of one member's row. What an optimiser keeps lies in the population's state under the names
"parameter/key", a row a member, so that it is saved, cut at rungs and continued like that of any rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from luthier.engine.members.flat_rows import parameter_views
from luthier.errors import InputError, users_code
from luthier.identity import name_of
from luthier.optimise import OptimiserClass, State, Step, Update
from luthier.shapes import Flat

Shapes = Mapping[str, tuple[int, ...]]
Number = int | float | bool


def by_optimiser(make: OptimiserClass, shapes: Shapes) -> Update:
    """Move each member along its gradient by an optimiser of its own. Its rate is the step's.

    Rates may differ between parameters (layers), not within one.
    """
    bound: list[_Optimisers] = []

    def init(P: Flat) -> State:
        return _empty_state(make, shapes, P)

    def update(P: Flat, G: Flat, state: State, step: Step) -> Step:
        if not bound:  # made at its first step here: by then the state is that of a training to be continued
            bound.append(_Optimisers(make, shapes, P, state, step))
        bound[0].step(P, G, step)
        return step

    return Update(init, update)


class _Optimisers:
    """An optimiser for each member, bound to its row and to the population's state."""

    def __init__(self, make: OptimiserClass, shapes: Shapes, P: Flat, state: State, step: Step) -> None:
        self._shapes, self._state = shapes, state
        self._parameters = [[nn.Parameter(torch.empty(0, dtype=P.dtype)) for _ in shapes] for _ in range(len(P))]
        self._of: tuple[Tensor, Tensor] | None = None
        apart = step.rates.shape[1] > 1
        self._starts = [sum(map(prod, list(shapes.values())[:k])) for k in range(len(shapes))] if apart else [0]
        self._bind(P, torch.zeros_like(P))
        self._optimisers = [_made(make, own, apart=apart) for own in self._parameters]
        if step.number > 1:
            for m in range(len(P)):
                self._load(m)

    def step(self, P: Flat, G: Flat, step: Step) -> None:
        """One step of every member."""
        if self._of is None or self._of[0] is not P or self._of[1] is not G:
            self._bind(P, G)
        rates = step.rates[:, self._starts].tolist()
        for m, (optimiser, own) in enumerate(zip(self._optimisers, rates, strict=True)):
            for group, rate in zip(optimiser.param_groups, own, strict=True):
                group["lr"] = rate
            optimiser.step()
            self._keep(m)

    def _bind(self, P: Flat, G: Flat) -> None:
        views, slopes = parameter_views(self._shapes, P), parameter_views(self._shapes, G)
        for m, own in enumerate(self._parameters):
            for parameter, name in zip(own, self._shapes, strict=True):
                parameter.data, parameter.grad = views[name][m], slopes[name][m]
        self._of = P, G

    def _load(self, m: int) -> None:
        """A member's state out of the population's."""
        for name, parameter in zip(self._shapes, self._parameters[m], strict=True):
            for key in _keys(self._state, name):
                value = self._state[f"{name}/{key}"][m]
                self._optimisers[m].state[parameter][key] = value

    def _keep(self, m: int) -> None:
        """What a member's optimiser keeps becomes views of the population's state; what it replaces is copied."""
        for name, parameter in zip(self._shapes, self._parameters[m], strict=True):
            kept = self._optimisers[m].state[parameter]
            for key in _keys(self._state, name):
                place, value = self._state[f"{name}/{key}"][m], kept[key]
                if isinstance(value, Tensor) and value.data_ptr() == place.data_ptr():
                    continue
                place.copy_(torch.as_tensor(value))
                kept[key] = place if isinstance(value, Tensor) else value


def _made(make: OptimiserClass, own: Sequence[nn.Parameter], *, apart: bool) -> Optimizer:
    groups: list[Any] = [{"params": [parameter]} for parameter in own] if apart else list(own)
    with users_code(f"the optimiser {name_of(make)} cannot be built", expected="make(parameters, lr=rate)"):
        return make(groups, lr=1e-3)


def _empty_state(make: OptimiserClass, shapes: Shapes, P: Flat) -> State:
    """What an optimiser keeps after a step, by name, as zeros [M, ...]: found out on copies of a row."""
    row = P[:1].clone()
    own = [nn.Parameter(view[0].clone()) for view in parameter_views(shapes, row).values()]
    optimiser = _made(make, own, apart=False)
    before = _plain_options(optimiser)
    for parameter in own:
        parameter.grad = torch.zeros_like(parameter)
    with users_code(f"the optimiser {name_of(make)} cannot make a step", expected="step() on dense gradients"):
        optimiser.step()
    if _plain_options(optimiser) != before:
        raise _unsaveable(make, "numbers in its groups")
    result: State = {}
    for name, parameter in zip(shapes, own, strict=True):
        for key, value in optimiser.state[parameter].items():
            if value is None:
                continue
            if not isinstance(value, Tensor) or value.is_sparse:
                raise _unsaveable(make, f"'{key}', {type(value).__name__}")
            result[f"{name}/{key}"] = value.new_zeros(len(P), *value.shape)
    return result


def _plain_options(optimiser: Optimizer) -> list[dict[str, object]]:
    return [{k: v for k, v in group.items() if isinstance(v, Number)} for group in optimiser.param_groups]


def _unsaveable(make: OptimiserClass, received: str) -> InputError:
    return InputError(
        f"what the optimiser {name_of(make)} keeps cannot be saved",
        expected="a tensor for each parameter and name, as SGD and Adam keep",
        received=received,
        remedy="choose another optimiser, or a rule by name",
    )


def _keys(state: State, parameter: str) -> list[str]:
    return [name.rpartition("/")[2] for name in state if name.rpartition("/")[0] == parameter]
