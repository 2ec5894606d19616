"""The members' hyper-parameters as one update of their stack. M members, P numbers of one member's row, L layers."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from luthier.engine.dense_architecture import DenseArchitecture
from luthier.engine.devices import CPU
from luthier.engine.member import Member
from luthier.engine.modules import Modules
from luthier.errors import ConfigError
from luthier.optimise import (
    RULES,
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
    with_factors,
)

Architecture = DenseArchitecture | Modules


def update_for(
    architecture: Architecture,
    members: Sequence[Member],
    rule: str,
    rows: Sequence[int],
    dtype: torch.dtype,
    device: torch.device = CPU,
) -> Update:
    """What happens to these members at a step, in this order; what none of them asks for is left out.

    `rows` [M] are the training rows of each, over which its penalties are shared out.
    """
    groups, layers, parts = architecture.group_of(), members[0].spec.layers, list[Update]()
    sizes = [member.l1 / n for member, n in zip(members, rows, strict=True)]
    for penalty, values in ((l2, _l2(members, rows)), (l1, sizes)):
        if (strength := _strengths(architecture, members, values, dtype, device)) is not None:
            parts.append(penalty(strength))
    if any(any(member.frozen_until) for member in members):
        until = torch.tensor([member.frozen_until or (0,) * layers for member in members])
        parts.append(frozen(until[:, groups].to(device)))
    for by, name in ((clip_by_value, "clip_value"), (clip_by_norm, "clip_norm")):
        limits = [getattr(member, name) for member in members]
        if min(limits) != inf:
            parts.append(clipped(by, _column(limits, dtype, device)))
    if any(member.layer_rates for member in members):
        factors = torch.tensor([member.layer_rates or (1.0,) * layers for member in members], dtype=dtype)
        parts.append(with_factors(factors[:, groups].to(device)))
    decays = [member.weight_decay for member in members]
    if (strength := _strengths(architecture, members, decays, dtype, device)) is not None:
        parts.append(decayed(strength))
    hyper = _hyper(members, rule, dtype, device)
    if RULES[rule].orthogonalises:
        parts.append(muon(architecture.hidden_matrices, hyper))
    parts.append(by_rule(RULES[rule], hyper))
    if any(member.ema_decay for member in members):
        if "average" in RULES[rule].init(torch.zeros(1, 1)):
            raise ConfigError([f"the rule '{rule}' keeps an average of its own; leave ema_decay at 0"])
        parts.append(averaged(_column([member.ema_decay for member in members], dtype, device)))
    return chain(*parts)


def plain_shrink(
    architecture: Architecture,
    members: Sequence[Member],
    rule: str,
    rows: Sequence[int],
    dtype: torch.dtype,
    device: torch.device = CPU,
) -> tuple[bool, Tensor | None]:
    """Whether a step is plain descent, and the share [M, P] of the weights that it subtracts times the rate.

    What plain descent needs of a gradient is to be subtracted once, so that it need never be stored.
    """
    more = [
        member.momentum or member.l1 or member.layer_rates or any(member.frozen_until) or member.ema_decay
        for member in members
    ]
    limits = [min(member.clip_norm, member.clip_value) for member in members]
    if rule != "sgd" or any(more) or min(limits) != inf or not architecture.fuses:
        return False, None
    pairs = zip(_l2(members, rows), members, strict=True)
    strengths = [strength + member.weight_decay for strength, member in pairs]
    return True, _strengths(architecture, members, strengths, dtype, device)


def _l2(members: Sequence[Member], rows: Sequence[int]) -> list[float]:
    return [member.l2 / n for member, n in zip(members, rows, strict=True)]


def _hyper(members: Sequence[Member], rule: str, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    own = {
        name: [getattr(RULES[rule] if getattr(member, name) is None else member, name) for member in members]
        for name in ("epsilon", "rho")
    }
    values = {
        "momentum": [member.momentum for member in members],
        "beta1": [member.betas[0] for member in members],
        "beta2": [member.betas[1] for member in members],
        **own,
    }
    return {name: _column(value, dtype, device) for name, value in values.items()}


def _column(values: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=dtype).unsqueeze(1).to(device)


def _strengths(
    architecture: Architecture,
    members: Sequence[Member],
    values: Sequence[float],
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor | None:
    """Strengths [M, P] of a penalty: on weights, and on biases where a member asks for it; None where all are 0."""
    if not any(values):
        return None
    masks = [architecture.weight_mask(dtype, biases=biases).to(device) for biases in (False, True)]
    pairs = zip(values, members, strict=True)
    return torch.stack([value * masks[member.penalise_biases] for value, member in pairs])
