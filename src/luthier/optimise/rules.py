"""Update rules on a flat stack of parameters.

P parameters, G gradients [M, P]; every hyper-parameter is [M, 1], the rate also [M, P]. A rule is
a pair: `init` makes its state, `update` changes parameters and state in place (the state's tensors
are buffers that live as long as the training). Step numbers start at 1: at 0 the bias correction
would divide by zero.

With the same numbers each rule takes the steps of its `torch.optim` counterpart; the defaults of
`epsilon` and `rho` are PyTorch's too. The documents' epsilon, 1e-7, is a member's option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from luthier.averages import follow, follow_square
from luthier.shapes import Flat, MemberColumn

State = dict[str, Tensor]
Hyper = Mapping[str, Tensor]
Count = int | Tensor  # the step's number, or each number's own [M, P]
# From this many parameters on, one pass over memory for each member beats many passes over the stack.
FUSED_FROM = 4096
NADAM_DECAY = 0.004  # how fast NAdam's momentum warms up (Dozat, 2016)


class Rule(NamedTuple):
    """How parameters follow their gradients; `epsilon` and `rho` are used where a member names none.

    It goes by its `name` in records, or without one by its update's.
    A rule that `orthogonalises` is for what is left when the weight matrices of hidden layers have moved by
    `luthier.optimise.muon`.
    """

    init: Callable[[Tensor], State]
    update: Callable[[Tensor, Tensor, State, Hyper, Count], None]
    epsilon: float = 1e-8
    rho: float = 0.99
    orthogonalises: bool = False
    name: str = ""


def _state(*names: str) -> Callable[[Tensor], State]:
    return lambda P: {name: torch.zeros_like(P) for name in names}


def _sgd(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """v = momentum v + g; w -= rate v (S2-15 with its sign mended)."""
    velocity = state["velocity"]
    torch.addcmul(G, velocity, hyper["momentum"], out=velocity)
    P.addcmul_(velocity, hyper["rate"], value=-1)


def _nesterov(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """v = momentum v + g; w -= rate (g + momentum v) (S2-18, its velocity divided by the rate)."""
    velocity = state["velocity"]
    torch.addcmul(G, velocity, hyper["momentum"], out=velocity)
    P.addcmul_(torch.addcmul(G, velocity, hyper["momentum"]), hyper["rate"], value=-1)


def _nesterov_velocity(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """old = v; v = momentum v - rate g; w += (1 + momentum) v - momentum old.

    The rate is inside the velocity, so a schedule acts on what is still to come; at a constant rate
    the steps are those of `nesterov`.
    """
    velocity, momentum = state["velocity"], hyper["momentum"]
    P.addcmul_(velocity, momentum, value=-1)
    velocity.mul_(momentum).addcmul_(G, hyper["rate"], value=-1)
    P.addcmul_(velocity, 1 + momentum)


def _adagrad(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """s += g^2; w -= rate g / (sqrt(s) + epsilon) (S2-20, with the root)."""
    square = state["square"].addcmul_(G, G)
    P.addcdiv_(G * hyper["rate"], square.sqrt().add_(hyper["epsilon"]), value=-1)


def _rmsprop(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """s = rho s + (1 - rho) g^2; w -= rate g / (sqrt(s) + epsilon)."""
    square = follow_square(state["square"], G, hyper["rho"])
    P.addcdiv_(G * hyper["rate"], square.sqrt().add_(hyper["epsilon"]), value=-1)


def _adam(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Moments with bias correction, epsilon outside the root."""
    if isinstance(step, int) and P.shape[1] >= FUSED_FROM and P.device.type == "cpu":
        _adam_fused(P, G, state, hyper, step)
        return
    if P.device.type == "cuda" and _one_pass(P, G, state, hyper, step):
        return
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    mean = follow(state["mean"], G, beta1)
    square = follow_square(state["square"], G, beta2)
    divisor = square.sqrt().mul_((1 - beta2**step).rsqrt()).add_(hyper["epsilon"])
    P.addcmul_(mean / divisor, hyper["rate"] / (1 - beta1**step), value=-1)


def _adam_fused(P: Flat, G: Flat, state: State, hyper: Hyper, step: int) -> None:
    """The same in one pass over each member's memory, with the kernel of `torch.optim.Adam(fused=True)`.

    Where numbers have rates of their own the kernel makes steps of rate 1 from zero, which are scaled then.
    """
    number, own = torch.tensor(float(step)), hyper["rate"].shape[1] > 1
    rates = [1.0] * len(P) if own else hyper["rate"].flatten().tolist()
    columns = zip(rates, *(hyper[name].flatten().tolist() for name in ("beta1", "beta2", "epsilon")), strict=True)
    for m, (rate, beta1, beta2, epsilon) in enumerate(columns):
        moved = torch.zeros_like(P[m]) if own else P[m]
        torch._fused_adam_(
            [moved],
            [G[m]],
            [state["mean"][m]],
            [state["square"][m]],
            [],
            [number],
            lr=rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=0.0,
            eps=epsilon,
            amsgrad=False,
            maximize=False,
        )
        if own:
            P[m].addcmul_(moved, hyper["rate"][m])


def _one_pass(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> bool:
    """The same by one kernel of ours on a CUDA device; False where there is none for these numbers."""
    one_step = not isinstance(step, Tensor) or step.ndim == 0
    if not (one_step and hyper["rate"].shape[1] == 1 and P.is_contiguous() and G.is_contiguous()):
        return False
    if (kernel := _adam_kernel(P.device, P.dtype)) is None:
        return False
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    factors = (hyper["rate"] / (1 - beta1**step), beta1, beta2, (1 - beta2**step).rsqrt(), hyper["epsilon"])
    kernel(P, G, state["mean"], state["square"], torch.cat(factors, 1))
    return True


@cache
def _adam_kernel(device: torch.device, dtype: torch.dtype) -> Callable[..., None] | None:
    """The kernel, once it was seen to compile and to run."""
    try:
        from luthier.optimise.adam_kernel import adam_step

        P, G, mean, square = torch.zeros(4, 1, 1, dtype=dtype, device=device)
        adam_step(P, G, mean, square, torch.ones(1, 5, dtype=dtype, device=device))
    except Exception:  # no Triton, or no compiler for what it generates
        return None
    return adam_step


def _adam_uncorrected(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Moments as they are: the first steps are larger than the rate."""
    mean = follow(state["mean"], G, hyper["beta1"])
    square = follow_square(state["square"], G, hyper["beta2"])
    P.addcdiv_(mean * hyper["rate"], square.sqrt().add_(hyper["epsilon"]), value=-1)


def _adadelta(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Steps in the parameters' own units: rms of past steps over rms of gradients (Zeiler, 2012)."""
    epsilon, rho = hyper["epsilon"], hyper["rho"]
    square = follow_square(state["square"], G, rho)
    change = (state["change"] + epsilon).sqrt_().div_((square + epsilon).sqrt_()).mul_(G)
    follow_square(state["change"], change, rho)
    P.addcmul_(change, hyper["rate"], value=-1)


def _adamax(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Adam with the largest recent gradient in place of the second moment (Kingma and Ba, 2015)."""
    mean = follow(state["mean"], G, hyper["beta1"])
    largest = state["largest"].mul_(hyper["beta2"])
    torch.maximum(largest, G.abs().add_(hyper["epsilon"]), out=largest)
    P.addcdiv_(mean * (hyper["rate"] / (1 - hyper["beta1"] ** step)), largest, value=-1)


def _nadam(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Adam that looks ahead along its momentum, which warms up (Dozat, 2016)."""
    beta1, beta2, rate = hyper["beta1"], hyper["beta2"], hyper["rate"]
    now, following = (beta1 * (1 - 0.5 * 0.96 ** (t * NADAM_DECAY)) for t in (step, step + 1))
    product = state["product"].mul_(now)
    mean = follow(state["mean"], G, beta1)
    square = follow_square(state["square"], G, beta2)
    divisor = square.div(1 - beta2**step).sqrt_().add_(hyper["epsilon"])
    P.addcdiv_(G * (rate * (1 - now) / (1 - product)), divisor, value=-1)
    P.addcdiv_(mean * (rate * following / (1 - product * following)), divisor, value=-1)


def _nadam_state(P: Flat) -> State:
    return {**_state("mean", "square")(P), "product": torch.ones_like(P)}


def _lion(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """w -= rate sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g (Chen and others, 2023)."""
    mean, beta1 = state["mean"], hyper["beta1"]
    P.addcmul_(torch.lerp(G, mean, beta1.expand_as(G)).sign_(), hyper["rate"], value=-1)
    follow(mean, G, hyper["beta2"])


def _schedule_free(P: Flat, G: Flat, state: State, hyper: Hyper, step: Count) -> None:
    """Adam's steps from a base, taken where base and average meet; the average needs no decay of the rate.

    z -= rate g / (sqrt(v) + epsilon); x += c (z - x); w = (1 - beta1) z + beta1 x, with c the share of this step in the
    sum of squared rates (Defazio and others, 2024). What moved w before, as decoupled decay does, moves z as far. The
    network is evaluated at x.
    """
    base, average, beta1, beta2 = state["base"], state["average"], hyper["beta1"], hyper["beta2"]
    square = follow_square(state["square"], G, beta2)
    divisor = square.sqrt().mul_((1 - beta2**step).rsqrt()).add_(hyper["epsilon"])
    moved = P - torch.lerp(base, average, beta1.expand_as(base))
    base.add_(moved).addcmul_(G / divisor, hyper["rate"], value=-1)
    largest = state["largest_rate"]
    torch.maximum(largest, hyper["rate"].amax(1, keepdim=True), out=largest)
    weight = largest**2
    share = weight / state["weight_sum"].add_(weight).clamp_min(torch.finfo(P.dtype).tiny)
    average.lerp_(base, share.expand_as(base))
    torch.lerp(base, average, beta1.expand_as(base), out=P)


def _schedule_free_state(P: Flat) -> State:
    columns = {name: P.new_zeros(len(P), 1) for name in ("largest_rate", "weight_sum")}
    return {"base": P.clone(), "average": P.clone(), **_state("square")(P), **columns}


RULES: dict[str, Rule] = {
    "sgd": Rule(_state("velocity"), _sgd),
    "nesterov": Rule(_state("velocity"), _nesterov),
    "nesterov-velocity": Rule(_state("velocity"), _nesterov_velocity),
    "adagrad": Rule(_state("square"), _adagrad, epsilon=1e-10),
    "rmsprop": Rule(_state("square"), _rmsprop, rho=0.99),
    "adam": Rule(_state("mean", "square"), _adam),
    "adam-uncorrected": Rule(_state("mean", "square"), _adam_uncorrected),
    "adadelta": Rule(_state("square", "change"), _adadelta, epsilon=1e-6, rho=0.9),
    "adamax": Rule(_state("mean", "largest"), _adamax),
    "nadam": Rule(_nadam_state, _nadam),
    "lion": Rule(_state("mean"), _lion),
    "schedule-free": Rule(_schedule_free_state, _schedule_free),
    "muon": Rule(_state("mean", "square"), _adam, orthogonalises=True),
}


def clip_by_norm(G: Flat, limit: MemberColumn) -> None:
    """Scale each member's gradient [M, P] in place so that its norm is at most its `limit` [M, 1]."""
    norms = torch.linalg.vector_norm(G, dim=1, keepdim=True)
    G.mul_((limit / norms.clamp_min(torch.finfo(G.dtype).tiny)).clamp_max(1.0))


def clip_by_value(G: Flat, limit: MemberColumn) -> None:
    """Cut each entry of a member's gradient [M, P] in place to its member's `limit` [M, 1]."""
    torch.minimum(torch.maximum(G, -limit, out=G), limit, out=G)
