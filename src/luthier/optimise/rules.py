"""Update rules on a flat stack of parameters.

P parameters, G gradients [M, P]; every hyper-parameter is [M, 1]. A rule is a pair: `init` makes its
state, `update` changes parameters and state in place (the state's tensors are buffers that live as
long as the training). Step numbers start at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]
Hyper = Mapping[str, Tensor]


class Rule(NamedTuple):
    """How parameters follow their gradients."""

    init: Callable[[Tensor], State]
    update: Callable[[Tensor, Tensor, State, Hyper, int], None]


def _sgd_init(P: Tensor) -> State:
    return {"velocity": torch.zeros_like(P)}


def _sgd_update(P: Tensor, G: Tensor, state: State, hyper: Hyper, step: int) -> None:
    """v = momentum v + g; w -= rate v (S2-15 with its sign mended)."""
    velocity = state["velocity"]
    velocity.mul_(hyper["momentum"]).add_(G)
    P.addcmul_(velocity, hyper["rate"], value=-1)


def _adam_init(P: Tensor) -> State:
    return {"mean": torch.zeros_like(P), "square": torch.zeros_like(P), "scratch": torch.empty_like(P)}


def _adam_update(P: Tensor, G: Tensor, state: State, hyper: Hyper, step: int) -> None:
    """Moments with bias correction, epsilon outside the root (S2-24)."""
    mean, square, scratch = state["mean"], state["square"], state["scratch"]
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    mean.lerp_(G, (1 - beta1).expand_as(G))
    torch.mul(G, G, out=scratch)
    square.lerp_(scratch, (1 - beta2).expand_as(G))
    torch.sqrt(square, out=scratch)
    scratch.mul_((1 - beta2**step).rsqrt()).add_(hyper["epsilon"])
    torch.div(mean, scratch, out=scratch)
    P.addcmul_(scratch, hyper["rate"] / (1 - beta1**step), value=-1)


RULES: dict[str, Rule] = {"sgd": Rule(_sgd_init, _sgd_update), "adam": Rule(_adam_init, _adam_update)}


def clip_by_norm(G: Tensor, limit: Tensor) -> None:
    """Scale each member's gradient [M, P] in place so that its norm is at most its `limit` [M, 1] (S4-41)."""
    norms = torch.linalg.vector_norm(G, dim=1, keepdim=True)
    G.mul_((limit / norms.clamp_min(torch.finfo(G.dtype).tiny)).clamp_max(1.0))
