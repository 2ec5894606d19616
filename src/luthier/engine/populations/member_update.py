"""The members' hyper-parameters as one update of their stack. M members, P numbers of one member's row, L layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor

from luthier.engine.dense.dense_architecture import DenseArchitecture
from luthier.engine.members.devices import CPU
from luthier.engine.members.flat_rows import KINDS
from luthier.engine.members.member import Member
from luthier.engine.members.scheduled import Followed
from luthier.engine.torch_modules.modules import Modules
from luthier.engine.torch_modules.torch_optimisers import by_optimiser
from luthier.errors import ConfigError, users_code
from luthier.identity import name_of
from luthier.optimise import (
    RULES,
    AnyRule,
    Rule,
    Update,
    averaged,
    by_rule,
    chain,
    clip_by_norm,
    clip_by_value,
    clipped,
    decayed,
    frozen,
    l1,
    l2,
    muon,
    rule_named,
    with_factors,
)

Architecture = DenseArchitecture | Modules
STEPS_GROW_WITH_GRADIENTS = ("sgd", "nesterov", "nesterov-velocity")
REMEDY = "check it: luthier.testing.check_rule(rule)"


@dataclass(frozen=True)
class UpdatedMembers:
    """Members that one rule updates: how their networks are laid out, and in which type and on which device.

    `rows` [M] are the training rows of each, over which its penalties are shared out. Where the state that they are in
    holds `averages`, for others of the population, theirs are the weights themselves.
    """

    architecture: Architecture
    members: Sequence[Member]
    rule: AnyRule
    rows: Sequence[int]
    dtype: torch.dtype
    device: torch.device = CPU
    averages: bool = False

    def column(self, values: Sequence[float]) -> Tensor:
        """A value of each member [M, 1]."""
        return torch.tensor(values, dtype=self.dtype).unsqueeze(1).to(self.device)


def update_for(of: UpdatedMembers, followed: Followed | None = None) -> Update:
    """What happens to these members at a step, in this order; what none of them asks for is left out.

    What follows a schedule is handed to `followed`.
    """
    architecture, members, rule, device = of.architecture, of.members, of.rule, of.device
    follow = _as_it_is if followed is None else followed.tensor
    groups, layers, parts = architecture.group_of(), members[0].spec.layers, list[Update]()
    sizes = [member.l1 / n for member, n in zip(members, of.rows, strict=True)]
    for penalty, name, values in ((l2, "l2", _l2(of)), (l1, "l1", sizes)):
        if (strength := _strengths(of, values)) is not None:
            parts.append(penalty(follow(name, strength)))
    if any(any(member.frozen_until) for member in members):
        until = torch.tensor([member.frozen_until or (0,) * layers for member in members])
        parts.append(frozen(until[:, groups].to(device)))
    for by, name in ((clip_by_value, "clip_value"), (clip_by_norm, "clip_norm")):
        limits = [getattr(member, name) for member in members]
        if min(limits) != inf:
            parts.append(clipped(by, of.column(limits)))
    if (factors := _factors(architecture, members, rule)) is not None:
        parts.append(with_factors(factors.to(of.dtype).to(device)))
    if (strength := _strengths(of, [member.weight_decay for member in members])) is not None:
        parts.append(decayed(follow("weight_decay", strength)))
    parts += _moves(of, follow)
    own_average = isinstance(rule, str | Rule) and "average" in rule_named(rule).init(torch.zeros(1, 1))
    asked = any(member.ema_decay for member in members)
    if asked or (of.averages and not own_average):
        if own_average:
            raise ConfigError([f"the rule '{name_of(rule)}' keeps an average of its own; leave ema_decay at 0"])
        parts.append(averaged(follow("ema_decay", of.column([member.ema_decay for member in members]))))
    return chain(*parts)


def _as_it_is(name: str, values: Tensor) -> Tensor:
    return values


def _factors(architecture: Architecture, members: Sequence[Member], rule: AnyRule) -> Tensor | None:
    """What multiplies the rate of each number [M, P]: by layer, by kind, by width; None where nothing does."""
    if not any(_has_factors(member) for member in members):
        return None
    layers, kinds = architecture.group_of(), architecture.kinds_of()
    by_width = architecture.inputs_of() ** (-1.0 if rule in STEPS_GROW_WITH_GRADIENTS else -0.5)
    asked = [(tuple(dict(one.rate_factors).items()), tuple(one.layer_rates), one.width_scaled) for one in members]
    rows = dict[Any, Tensor]()
    for factors, rates, width_scaled in dict.fromkeys(asked):  # the folds of a setting share theirs
        own = dict(factors)
        by_kind = torch.tensor([own.get(kind, 1.0) for kind in KINDS], dtype=torch.float64)[kinds]
        by_layer = torch.tensor(rates or (1.0,) * members[0].spec.layers, dtype=torch.float64)[layers]
        rows[factors, rates, width_scaled] = by_kind * by_layer * (by_width if width_scaled else 1.0)
    return torch.stack([rows[one] for one in asked])


def _has_factors(member: Member) -> bool:
    return bool(member.layer_rates or member.rate_factors or member.width_scaled)


def _moves(of: UpdatedMembers, follow: Callable[[str, Tensor], Tensor]) -> list[Update]:
    """What moves the parameters. ConfigError for an optimiser of PyTorch's where members are not looped."""
    architecture, rule = of.architecture, of.rule
    if isinstance(rule, str | Rule):
        known = RULES[rule] if isinstance(rule, str) else _guarded(rule)
        hyper = {name: follow(name, values) for name, values in _hyper(of, known).items()}
        first = [muon(architecture.hidden_matrices, hyper)] if known.orthogonalises else []
        return [*first, by_rule(known, hyper)]
    if not isinstance(architecture, Modules) or architecture.layout != "looped":
        where = (
            f"{name_of(rule)} of torch.optim trains one network after another, which {architecture.layout} ones are not"
        )
        raise ConfigError([where], remedy='layout="looped" for a module, a rule by name, or a Rule')
    if any(any(member.frozen_until) for member in of.members):
        raise ConfigError(
            [f"{name_of(rule)} of torch.optim cannot begin with some layers later: frozen_until"],
            remedy="freeze them for good with requires_grad_(False), or choose a rule by name",
        )
    return [by_optimiser(rule, architecture.spec.shapes)]


def _guarded(rule: Rule) -> Rule:
    """A rule of the user's own, whose errors are said to be its."""

    def update(*given: Any) -> None:
        with users_code(f"the rule {name_of(rule)} cannot make a step", remedy=REMEDY):
            rule.update(*given)

    with users_code(f"the rule {name_of(rule)} cannot make a state", remedy=REMEDY):
        rule.init(torch.zeros(1, 1))
    return rule._replace(update=update)


def plain_shrink(of: UpdatedMembers) -> tuple[bool, Tensor | None]:
    """Whether a step is plain descent, and the share [M, P] of the weights that it subtracts times the rate.

    What plain descent needs of a gradient is to be subtracted once, so that it need never be stored. It keeps no
    averages.
    """
    more = [
        member.momentum
        or member.l1
        or _has_factors(member)
        or any(member.frozen_until)
        or member.ema_decay
        or member.schedules
        for member in of.members
    ]
    limits = [min(member.clip_norm, member.clip_value) for member in of.members]
    if of.rule != "sgd" or of.averages or any(more) or min(limits) != inf or not of.architecture.fuses:
        return False, None
    pairs = zip(_l2(of), of.members, strict=True)
    return True, _strengths(of, [strength + member.weight_decay for strength, member in pairs])


def _l2(of: UpdatedMembers) -> list[float]:
    return [member.l2 / n for member, n in zip(of.members, of.rows, strict=True)]


def _hyper(of: UpdatedMembers, rule: Rule) -> dict[str, Tensor]:
    members = of.members
    own = {
        name: [getattr(rule if getattr(member, name) is None else member, name) for member in members]
        for name in ("epsilon", "rho")
    }
    values = {
        "momentum": [member.momentum for member in members],
        "beta1": [member.betas[0] for member in members],
        "beta2": [member.betas[1] for member in members],
        **own,
    }
    return {name: of.column(value) for name, value in values.items()}


def _strengths(of: UpdatedMembers, values: Sequence[float]) -> Tensor | None:
    """Strengths [M, P] of a penalty: on weights, and on biases where a member asks for it; None where all are 0."""
    if not any(values):
        return None
    masks = [of.architecture.weight_mask(of.dtype, biases=biases).to(of.device) for biases in (False, True)]
    pairs = zip(values, of.members, strict=True)
    return torch.stack([value * masks[member.penalise_biases] for value, member in pairs])
