"""What an update rule has to keep. P parameters [M, N], G gradients [M, N], M members, N numbers of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from luthier.optimise import RULES, Rule, State
from luthier.seeds import torch_generator

STEPS, SIZE = 200, 9
EXACT = 1e-12  # two ways to write one formula in float64, over 200 steps of a bowl, where rounding does not grow
MEMBERS: tuple[dict[str, float], ...] = tuple(
    {
        "rate": 0.01 * (1 + k),
        "momentum": 0.3 + 0.2 * k,
        "beta1": 0.8 + 0.05 * k,
        "beta2": 0.9 + 0.03 * k,
        "epsilon": 10.0 ** -(6 + k),
        "rho": 0.85 + 0.04 * k,
    }
    for k in range(3)
)
Reference = Callable[[list[Tensor], Mapping[str, float]], Optimizer]


def check_rule(rule: str | Rule, reference: Reference | None = None, *, size: int = SIZE) -> None:
    """Check a rule on three members of different hyper-parameters, each with `size` numbers, in float64.

    It writes into parameters and state in place; members do not mix, and may leave; a training that is interrupted goes
    on bit for bit; rates and numbers of steps may differ within a member; a rate of 0 moves nothing; on a bowl it goes
    down. With a `reference`, a function (parameters, hyper-parameters) -> optimiser of `torch.optim`, its steps
    are that one's to 1e-12.

    >>> check_rule("sgd", lambda w, h: torch.optim.SGD(w, h["rate"], momentum=h["momentum"]))
    """
    rule = RULES[rule] if isinstance(rule, str) else rule
    start = first_parameters(size)
    _state_has_a_row_a_member(rule, start)
    whole = stepped(rule, start)
    assert torch.isfinite(whole).all(), "numbers of the bowl do not stay finite"
    _members_do_not_mix(rule, start, whole)
    _goes_on_from_its_state(rule, start, whole)
    _takes_numbers_of_each_parameter(rule, start, whole)
    at_rest = stepped(rule, start, steps=3, rates=lambda step: 0.0)
    assert torch.equal(at_rest, start), "a rate of 0 moves parameters"
    assert ((whole**2).sum(1) < (start**2).sum(1)).all(), "the rule does not go down a bowl"
    if reference is not None:
        torch.testing.assert_close(whole, _referred(reference, start), rtol=EXACT, atol=EXACT)


def first_parameters(size: int = SIZE) -> Tensor:
    """A row [M, size] for each member, away from the bottom of the bowl."""
    drawn = torch.randn(len(MEMBERS), size, generator=torch_generator(0, "start"), dtype=torch.float64)
    return 10 * drawn


def gradient(P: Tensor, step: int) -> Tensor:
    """A noisy bowl's, for P [..., N]: as in training, and rounding errors do not grow along the way."""
    noise = torch.randn(P.shape[-1], generator=torch_generator(0, "noise", step), dtype=torch.float64)
    return 0.1 * P + noise


def stepped(
    rule: Rule,
    start: Tensor,
    *,
    steps: int = STEPS,
    rates: Callable[[int], float] = lambda step: 1.0,
    members: Sequence[int] = range(len(MEMBERS)),
) -> Tensor:
    """Where a rule takes these members from `start` [M, N] in so many steps, their rates times `rates` of the step."""
    P = start.clone()
    state, hyper = rule.init(P), _hyper(members)
    for step in range(1, steps + 1):
        rule.update(P, gradient(P, step), state, {**hyper, "rate": hyper["rate"] * rates(step)}, step)
    return P


def _hyper(members: Sequence[int] = range(len(MEMBERS))) -> dict[str, Tensor]:
    return {name: torch.tensor([[MEMBERS[m][name]] for m in members], dtype=torch.float64) for name in MEMBERS[0]}


def _state_has_a_row_a_member(rule: Rule, start: Tensor) -> None:
    P = start.clone()
    state = rule.init(P)
    for name, value in state.items():
        assert isinstance(value, Tensor), f"the state '{name}' is not a tensor"
        assert value.shape[:1] == P.shape[:1], f"the state '{name}' has shape {list(value.shape)}, not a row a member"
        assert value.dtype == P.dtype, f"the state '{name}' is of type {value.dtype}, parameters of {P.dtype}"
    before: dict[str, object] = {name: value.data_ptr() for name, value in state.items()}
    hyper = _hyper()
    kept, tensors = {name: value.clone() for name, value in hyper.items()}, dict(state)
    result: object = rule.update(P, gradient(P, 1), state, hyper, 1)
    assert result is None, "update returns something; it writes into P and state"
    assert not torch.equal(P, start), "update does not write into its parameters"
    same = [state.get(name) is value and value.data_ptr() == before[name] for name, value in tensors.items()]
    assert all(same), "update puts other tensors into its state; write into those of init"
    assert state.keys() == before.keys(), "update adds tensors to its state; make them in init"
    assert all(torch.equal(hyper[name], kept[name]) for name in hyper), "update changes its hyper-parameters"


def _members_do_not_mix(rule: Rule, start: Tensor, whole: Tensor) -> None:
    """Neither a neighbour that is elsewhere nor one that leaves changes a bit of a member."""
    other = start.clone()
    other[1] = 1e3
    assert torch.equal(stepped(rule, other)[[0, 2]], whole[[0, 2]]), "a member depends on another one's parameters"
    alone = stepped(rule, start[[0, 2]], members=(0, 2))
    torch.testing.assert_close(alone, whole[[0, 2]], rtol=EXACT, atol=EXACT)


def _goes_on_from_its_state(rule: Rule, start: Tensor, whole: Tensor) -> None:
    """Interrupted in the middle, with parameters and state as copies."""
    P, hyper = start.clone(), _hyper()
    state: State = rule.init(P)
    for step in range(1, STEPS + 1):
        if step == STEPS // 2:
            P, state = P.clone(), {name: value.clone() for name, value in state.items()}
        rule.update(P, gradient(P, step), state, hyper, step)
    assert torch.equal(P, whole), "from a copy of its state the rule continues elsewhere: it keeps something outside"


def _takes_numbers_of_each_parameter(rule: Rule, start: Tensor, whole: Tensor) -> None:
    """Rates [M, N] of layers, and steps [M, N] counted from where each number began to learn."""
    P, hyper = start.clone(), _hyper()
    state = rule.init(P)
    rates = hyper["rate"].expand_as(P).contiguous()
    for step in range(1, STEPS + 1):
        rule.update(P, gradient(P, step), state, {**hyper, "rate": rates}, torch.full_like(P, step))
    torch.testing.assert_close(P, whole, rtol=1e-9, atol=1e-9)  # powers of tensors round otherwise than of numbers


def _referred(reference: Reference, start: Tensor) -> Tensor:
    result = []
    for row, hyper in zip(start, MEMBERS, strict=True):
        w = row.clone().requires_grad_()
        optimiser = reference([w], hyper)
        for step in range(1, STEPS + 1):
            w.grad = gradient(w.detach(), step)
            optimiser.step()
        result.append(w.detach())
    return torch.stack(result)
