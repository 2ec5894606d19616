"""Rates of single kinds of numbers, and rates by width, against the same training written by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from luthier.engine import Member, Settings, train
from luthier.engine.members.module_spec import ModuleSpec
from luthier.errors import ConfigError
from luthier.nets import DenseSpec, NumberEmbedding, build
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

ROWS, STEPS = 40, 60
SPEC = DenseSpec(
    3,
    (6, 5),
    2,
    layer_norm=True,
    embeddings=((4, 2),),
    number_embedding=NumberEmbedding(2, 3, 3, deviation=0.5),
    input_scale=True,
)
FACTORS = {"biases": 0.1, "numbers": 0.2, "embeddings": 0.5, "norms": 3.0, "scales": 6.0}


def part(dtype: torch.dtype = torch.float64) -> Rows:
    X = torch.randn(ROWS, 3, generator=torch_generator(0), dtype=dtype)
    return Rows(Inputs(numbers=X, codes=torch.arange(ROWS).unsqueeze(1) % 4), (X[:, 0] * X[:, 1] > 0).long())


def settings(rule: str, **more: Any) -> Settings:
    return Settings("softmax", rule, ROWS, STEPS, STEPS, dtype=torch.float64, **more)


def kind(name: str) -> str:
    room = name.split(".")[0]
    return ("biases" if name.endswith("bias") else "weights") if room == "layers" else room


def by_hand(net: nn.Module, groups: list[dict[str, Any]], rule: str) -> None:
    rows = part()
    made = torch.optim.SGD(groups) if rule == "sgd" else torch.optim.Adam(groups, eps=1e-8)
    for step in range(STEPS):
        order = torch.randperm(ROWS, generator=torch_generator(0, "order", step))
        made.zero_grad()
        F.cross_entropy(net(rows.numbers[order], rows.codes[order]), rows.targets[order]).backward()
        made.step()


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_rates_by_kind_are_parameter_groups(rule: str) -> None:
    rate = 0.01
    member = Member(SPEC, 0, rate, momentum=0.0, rate_factors=tuple(FACTORS.items()))
    outcome = train([member, Member(SPEC, 1, rate)], part(), None, settings(rule))
    net = build(SPEC, seed=0).double()
    net.load_state_dict(SPEC.fresh_parameters(0))
    groups = [{"params": [p], "lr": rate * FACTORS.get(kind(name), 1.0)} for name, p in net.named_parameters()]
    by_hand(net, groups, rule)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(outcome.state_dict(0)[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_rates_by_width_are_those_of_weights_divided_by_the_root_of_their_inputs(rule: str) -> None:
    """z = V x / sqrt(d) + b with V = sqrt(d) W takes one rate whatever d is; so does W with rates by width."""
    spec, rate = DenseSpec(3, (6, 5), 2, activation="tanh"), 0.02
    member = Member(spec, 0, rate, momentum=0.0, epsilon=1e-30, width_scaled=True)
    outcome = train([member], part(), None, settings(rule))

    rows, fresh = part(), spec.fresh_parameters(0)
    V = {name: (p * p.shape[1] ** 0.5 if p.ndim == 2 else p.clone()).requires_grad_() for name, p in fresh.items()}
    made = torch.optim.SGD(V.values(), lr=rate) if rule == "sgd" else torch.optim.Adam(V.values(), lr=rate, eps=1e-30)
    for step in range(STEPS):
        order = torch.randperm(ROWS, generator=torch_generator(0, "order", step))
        a = rows.numbers[order]
        for i in range(3):
            W = V[f"layers.{i}.weight"]
            z = a @ W.T / W.shape[1] ** 0.5 + V[f"layers.{i}.bias"]
            a = torch.tanh(z) if i < 2 else z
        made.zero_grad()
        F.cross_entropy(a, rows.targets[order]).backward()
        made.step()
    for name, value in outcome.state_dict(0).items():
        wanted = V[name].detach() / (V[name].shape[1] ** 0.5 if value.ndim == 2 else 1)
        torch.testing.assert_close(value, wanted, rtol=1e-7, atol=1e-10)


def test_modules_tell_the_same_kinds_apart() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.first = nn.Embedding(5, 2), nn.Linear(2, 4)
            self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.norm(self.first(self.table(x[:, 0]))))

    torch.manual_seed(0)
    start, rate = Net(), 0.1
    x, y = torch.arange(ROWS).unsqueeze(1) % 5, torch.arange(ROWS) % 2
    rows = Rows(Inputs(numbers=x), y)
    factors = {"embeddings": 0.0, "norms": 0.0, "biases": 0.0}
    member = Member(ModuleSpec(start), 0, rate, momentum=0.0, rate_factors=tuple(factors.items()))
    moved = train([member], rows, None, Settings("softmax", "sgd", ROWS, 3, 3)).state_dict(0)
    still = [name for name, value in start.state_dict().items() if torch.equal(value, moved[name])]
    assert still == ["table.weight", "first.bias", "norm.weight", "norm.bias", "last.bias"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="weights, biases, embeddings, numbers, scales, norms"):
        Member(SPEC, 0, 0.1, rate_factors=(("bias", 0.1),))
    with pytest.raises(ConfigError, match="at least 0"):
        Member(SPEC, 0, 0.1, rate_factors=(("biases", -1.0),))


def test_a_member_is_read_as_it_was_written() -> None:
    member = Member(SPEC, 0, 0.1, rate_factors=(("biases", 0.1),), width_scaled=True)
    assert Member.from_json(member.to_json()) == member
