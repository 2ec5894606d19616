"""What a network of one's own has to keep when it is trained beside others. M members, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from luthier.engine import Member, ModuleSpec, Outcome, Settings, Snapshot, part_of, train
from luthier.engine.api import suited
from luthier.engine.members.batches import epoch_steps
from luthier.engine.populations.layouts import choose
from luthier.engine.populations.loaders import loss_taken, types_taken
from luthier.objective import AnyLoss, loss_named
from luthier.rows import Rows
from luthier.seeds import torch_generator

MEMBERS, RATE, EVERY = 3, 0.01, 4
EXACT = 1e-9  # two orders of summation in float64, some dozen steps apart
RUINOUS = 1e200  # a rate that no network survives


def check_network(
    network: nn.Module | Callable[[], nn.Module],
    data: Any,
    *,
    loss: AnyLoss | None = None,
    layout: str | None = None,
    steps: int = 12,
    batch_size: int = 16,
) -> None:
    """Check a module, or a function that builds one, on rows (X [N, ...], y) of its own, in float64.

    A member does not depend on its company: alone, in another order, or beside one that is ruined it learns the same.
    A training that is interrupted goes on bit for bit. Without dropout and randomness of its own its training is that
    of a plain loop with `torch.optim.Adam`. `layout` is stacked, vmapped or looped (without it, what `luthier.train`
    would choose).

    >>> X = torch.randn(40, 3)
    >>> check_network(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), (X, X.sum(1)))
    """
    spec, part, settings = _prepared(network, data, loss, layout, steps, batch_size)
    everyone = [Member(spec, seed=k, learning_rate=RATE * (1 + k)) for k in range(MEMBERS)]
    learn = partial(train, training=part, validation=part, settings=settings)
    whole = learn(everyone)
    _alike(whole, range(MEMBERS), learn(everyone[::-1]), range(MEMBERS)[::-1], "in another order")
    _alike(whole, [1], learn(everyone[1:2]), [0], "alone")
    ruined = [everyone[0], replace(everyone[1], learning_rate=RUINOUS), everyone[2]]
    _alike(whole, [0, 2], learn(ruined), [0, 2], "beside one that is ruined")
    for step in (1, EVERY, steps - 1):
        _goes_on(learn, everyone, whole, step)
    if not spec.draws and not spec.dropouts and not spec.hidden:
        _follows_a_plain_loop(spec, part, settings)


def _prepared(
    network: nn.Module | Callable[[], nn.Module],
    data: Any,
    loss: AnyLoss | None,
    layout: str | None,
    steps: int,
    batch_size: int,
) -> tuple[ModuleSpec, Rows, Settings]:
    start = copy.deepcopy(network).double() if isinstance(network, nn.Module) else lambda: network().double()
    spec, part = ModuleSpec(start), part_of(data)
    kinds = types_taken(spec.module, part.inputs, spec.dtype)
    chosen = loss_taken(spec.module, part.inputs.cast(kinds), part.targets, loss)
    part = suited(part, kinds, chosen, spec.dtype)
    settings = Settings(chosen, "adam", min(batch_size, len(part)), steps, EVERY, dtype=spec.dtype)
    spec, _ = choose(spec, MEMBERS, part, settings, layout)
    return (
        spec,
        part.with_inputs(numbers=part.numbers.flatten(1)) if spec.layout == "stacked" else part,
        settings,
    )


def _alike(one: Outcome, places: Sequence[int], other: Outcome, others: Sequence[int], where: str) -> None:
    for here, there in zip(places, others, strict=True):
        differs = f"a member learns otherwise {where}: its module keeps or draws something outside of its parameters"
        ours, theirs = one.state_dict(here), other.state_dict(there)
        assert all(torch.allclose(ours[name], theirs[name], rtol=EXACT, atol=EXACT) for name in ours), differs


class _Interrupted:
    """Keeps what a training saves at its end, to go on from."""

    def __init__(self, at: int) -> None:
        self.at, self.steps, self.saved = at, 0, None

    steps: int
    saved: Snapshot | None

    def load(self) -> Snapshot | None:
        """What was saved."""
        return self.saved

    def due(self) -> bool:
        """Once, after the step asked for."""
        self.steps += 1
        return self.steps == self.at

    def save(self, snapshot: Snapshot) -> None:
        """Keep it."""
        self.saved = snapshot


def _goes_on(learn: Callable[..., Outcome], members: Sequence[Member], whole: Outcome, step: int) -> None:
    kept = _Interrupted(step)
    learn(members, checkpoint=kept, stop=lambda done: done > step)
    resumed = learn(members, checkpoint=kept)
    assert torch.equal(resumed.parameters, whole.parameters), f"interrupted after step {step} its weights differ"
    assert resumed.history.rows == whole.history.rows, f"interrupted after step {step} its curves differ"


def _follows_a_plain_loop(spec: ModuleSpec, part: Rows, settings: Settings) -> None:
    """One member, step by step, beside a module and an optimiser of PyTorch's."""
    member = Member(spec, seed=0, learning_rate=RATE)
    result = train([member], part, None, replace(settings, evaluate_every=settings.steps))
    module, loss = spec.built(0), loss_named(settings.loss)
    optimiser = torch.optim.Adam(module.parameters(), RATE)
    epochs = -(-settings.steps // epoch_steps(len(part), settings.batch_size, spec.least_rows))
    orders = [torch.randperm(len(part), generator=torch_generator(0, "order", epoch)) for epoch in range(epochs)]
    batches = [
        rows for order in orders for rows in torch.split(order, settings.batch_size) if len(rows) >= spec.least_rows
    ]
    for rows in batches[: settings.steps]:
        optimiser.zero_grad()
        Z: Tensor = module(part.numbers[rows]).unsqueeze(0)
        Z = Z.unsqueeze(-1) if Z.ndim == 2 and not hasattr(loss, "function") else Z
        loss.mean(Z, part.targets[rows], None).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    state = result.state_dict(0)
    for name, value in module.state_dict().items():
        message = f"'{name}' differs from a plain loop's"
        torch.testing.assert_close(state[name], value, rtol=EXACT, atol=EXACT, msg=message)
