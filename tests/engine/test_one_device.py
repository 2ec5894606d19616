"""A step keeps to its device: every rule, loss, layout and layer, without an accelerator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from benchmarks.gpu.cases import CASES, MEMBERS
from tests.engine.one_device import META, set_up, watched
from torch import Tensor

from luthier.engine import Population
from luthier.engine.feed import batches_for

FIRST = 3  # steps in which what never changes is read
HOST = {
    "TextSpec, GRU": "PyTorch packs sequences by lengths that lie on the processor",
    "ConvSpec, augmented": "how pictures change is drawn on the processor, and sent",
}


def marked(name: str) -> object:
    marks = [pytest.mark.xfail(strict=True, reason=HOST[name])] if name in HOST else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [marked(name) for name in CASES])
def test_a_step_keeps_to_its_device(name: str) -> None:
    case = CASES[name]
    with set_up():
        members, (part, _), settings = case.asked(META, steps=8)
        folds = torch.arange(len(part)) % MEMBERS if case.folds else None
        own = torch.arange(MEMBERS) if case.folds else None
        population = Population.of(members, settings, len(part), folds=own)
        batches, each = batches_for(population, part, folds), settings.accumulate
        steps = [[batches.at(step * each + i).clone() for i in range(each)] for step in range(FIRST + 1)]
        for step, several in enumerate(steps[:-1]):
            population.step(several, step + 1, population.rates.at(step))
        rates = population.rates.at(FIRST)
    with watched():
        population.step(steps[-1], FIRST + 1, rates)
    assert population.state.parameters.device == META


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda x: x + torch.ones(4), "add is given tensors on cpu and meta"),
        (lambda x: x[torch.tensor([0, 1])], "index is given tensors on cpu and meta"),
        (lambda x: x[0].copy_(torch.ones(4)), "copy_ is given tensors on cpu and meta"),
        (lambda x: torch.ones(3).to(META), "_to_copy copies from cpu to meta"),
        (lambda x: float(x.sum()), "_local_scalar_dense waits"),
        (lambda x: bool(x.sum() > 0), "_local_scalar_dense waits"),
        (lambda x: x[x > 0], "torch.nonzero"),
        (lambda x: x + torch.tensor([1.0], device=META), "tensor sends numbers"),
        (lambda x: x + torch.as_tensor(3, device=META), "as_tensor sends numbers"),
        (lambda x: x.new_tensor([1.0]), "new_tensor sends numbers"),
    ],
)
def test_mistakes_are_seen(mistake: Callable[[Tensor], object], said: str) -> None:
    x = torch.empty(3, 4, device=META)
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError), match=said), watched():
        mistake(x)
