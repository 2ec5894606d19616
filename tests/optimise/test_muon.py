"""Muon against PyTorch's, and what it leaves to Adam; decay under schedule-free steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.oracles.rules import numpy_schedule_free
from torch import Tensor, nn

from luthier.engine import Member, Settings, train
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.populations.architecture import architecture
from luthier.errors import LuthierError
from luthier.nets import DenseSpec
from luthier.optimise import RULES, Step, by_rule, chain, decayed, muon
from luthier.optimise.muon import orthogonal
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator
from luthier.testing.rule_contract import MEMBERS, STEPS, first_parameters, gradient

SHAPES = [(3, 5), (7, 4), (6, 6)]


def draws(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch_generator(0, "muon", key), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_matrices_take_the_steps_of_torch_optim(
    shape: tuple[int, int], decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.clone)  # PyTorch rounds its iterations to bfloat16; ours are not
    members, size = 3, shape[0] * shape[1]
    P = draws(members, size + 2)
    start = P.clone()
    rates, momentum = torch.tensor([[0.01], [0.02], [0.05]]).double(), torch.tensor([[0.9], [0.95], [0.5]]).double()
    views = lambda flat: [flat[:, :size].view(-1, *shape)]  # noqa: E731
    update = chain(decayed(torch.full((1, 1), decay, dtype=P.dtype)), muon(views, {"momentum": momentum}))
    state = update.init(P)
    theirs = [start[m, :size].view(shape).clone().requires_grad_() for m in range(members)]
    optimisers = [
        torch.optim.Muon(
            [w],
            rates[m].item(),
            weight_decay=decay,
            momentum=momentum[m].item(),
            adjust_lr_fn="match_rms_adamw",
        )
        for m, w in enumerate(theirs)
    ]
    for number in range(1, 31):
        G = 0.1 * P + draws(members, size + 2, key=number)
        for m, (w, optimiser) in enumerate(zip(theirs, optimisers, strict=True)):
            w.grad = G[m, :size].view(shape).clone()
            optimiser.step()
        update.update(P, G, state, Step(rates, number))
        assert G[:, :size].abs().max() == 0
    for m, w in enumerate(theirs):
        torch.testing.assert_close(P[m, :size].view(shape), w.detach(), rtol=1e-10, atol=1e-10)


def test_rates_of_single_numbers_are_kept_apart() -> None:
    P, G = draws(2, 12), draws(2, 12, key=1)
    rates = torch.full((2, 12), 0.1, dtype=torch.float64)
    rates[0, :6] = 0
    part = muon(lambda flat: [flat.view(-1, 3, 4)], {"momentum": torch.zeros(2, 1, dtype=torch.float64)})
    before = P.clone()
    part.update(P, G, part.init(P), Step(rates, 1))
    assert torch.equal(P[0, :6], before[0, :6])
    assert (P[0, 6:] != before[0, 6:]).all()
    assert (P[1] != before[1]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_end_near_one(shape: tuple[int, int]) -> None:
    values = torch.linalg.svdvals(orthogonal(draws(4, *shape)))
    assert 0.3 < values.min() <= values.max() < 1.3  # a random matrix's smallest may not have come all the way


def test_hidden_layers_move_by_muon_and_the_rest_by_adam() -> None:
    spec = DenseSpec(inputs=5, hidden=(6, 4), outputs=3, layer_norm=True, embeddings=((4, 2),))
    kind = architecture(spec)
    assert [tuple(view.shape) for view in kind.hidden_matrices(torch.zeros(2, 1000)[:, : _length(spec)])] == [
        (2, 6, 7),
        (2, 4, 6),
    ]
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    rows, rate = Rows(Inputs(numbers=draws(40, 5).float()), torch.arange(40) % 3), 0.01
    chosen = Settings(loss="softmax", rule="muon", batch_size=40, steps=1, evaluate_every=1)
    before = module.state_dict()
    for layout in ("looped", "vmapped"):
        member = Member(ModuleSpec(module, layout=layout), 0, rate)
        outcome = train([member, replace(member, learning_rate=2 * rate)], rows, None, chosen)
        moved = {name: value - before[name] for name, value in outcome.state_dict(0).items()}
        for name, step in moved.items():
            if name in ("0.weight", "3.weight"):  # the singular values of the gradient that are not next to nothing
                values = torch.linalg.svdvals(step) / (0.2 * max(step.shape) ** 0.5 * rate)
                assert 0.6 < values[0] < 1.3, name
            else:  # Adam's first step is the rate, whatever the gradient
                sizes = step[step != 0].abs()
                torch.testing.assert_close(sizes, torch.full_like(sizes, rate), rtol=1e-3, atol=0)


def _length(spec: DenseSpec) -> int:
    return architecture(spec).fresh([0], torch.float32)[0].shape[1]


def test_decay_reaches_the_base_of_schedule_free_steps() -> None:
    decay, start = 0.3, first_parameters()
    P = start.clone()
    hyper = {name: torch.tensor([[m[name]] for m in MEMBERS], dtype=P.dtype) for name in MEMBERS[0]}
    update = chain(decayed(torch.full((1, 1), decay, dtype=P.dtype)), by_rule(RULES["schedule-free"], hyper))
    state = update.init(P)
    for number in range(1, STEPS + 1):
        update.update(P, gradient(P, number), state, Step(hyper["rate"], number))
    for k, member in enumerate(MEMBERS):
        wanted = numpy_schedule_free(start[k].numpy(), member, decay)
        np.testing.assert_allclose(P[k].numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_two_averages_are_refused() -> None:
    rows = Rows(Inputs(numbers=draws(40, 5).float()), torch.arange(40) % 3)
    member = Member(DenseSpec(inputs=5, hidden=(6,), outputs=3), 0, 0.01, ema_decay=0.9)
    chosen = Settings(loss="softmax", rule="schedule-free", batch_size=10, steps=20, evaluate_every=20)
    with pytest.raises(LuthierError, match="average of its own"):
        train([member], rows, rows, chosen)
