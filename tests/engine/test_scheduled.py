"""Hyper-parameters other than the rate that follow schedules, against a loop written by hand in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import luthier
from luthier.engine import Member, Settings, train
from luthier.engine.members.masks import LayerMasks, mask_seeds
from luthier.engine.members.scheduled import SCHEDULED
from luthier.errors import ConfigError
from luthier.nets import DenseSpec, build
from luthier.optimise import Schedule
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

N, STEPS, RATE = 40, 10, 0.05
X = torch.randn(N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] > 0).long() + (X[:, 2] > 0.5).long()
PART = Rows(Inputs(numbers=X), Y)
SPEC = DenseSpec(3, (16,), 3, "tanh")
FALLING = Schedule("linear")


def trained(*members: Member, rule: str = "sgd", steps: int = STEPS, **options: Any) -> Any:
    settings = Settings("softmax", rule, N, steps, steps, dtype=torch.float64)
    return train(members, PART, None, settings, **options)


def by_hand(member: Member) -> dict[str, torch.Tensor]:
    """Full batches of plain descent; dropout's masks by the members' own bits, everything else in PyTorch."""
    net = build(SPEC, seed=member.seed).double()
    net.load_state_dict(SPEC.fresh_parameters(member.seed), strict=False)
    followed = dict(member.schedules)
    W, V = net.layers
    for step in range(STEPS):
        factor = {name: followed[name].factor(step, STEPS) if name in followed else 1.0 for name in SCHEDULED}
        rate = torch.tensor([[p * factor["dropout"] for p in member.drop_rates]], dtype=torch.float64)
        (mask,) = LayerMasks(mask_seeds([member.seed]), rate, (16,), torch.float64)(step, N)
        order = torch.randperm(N, generator=torch_generator(0, "order", step))  # a mask's rows are places of a batch
        hidden = torch.tanh(X[order] @ W.weight.T + W.bias) * (1.0 if mask is None else mask[0])
        loss = F.cross_entropy(
            hidden @ V.weight.T + V.bias, Y[order], label_smoothing=member.label_smoothing * factor["label_smoothing"]
        )
        penalty = sum(layer.weight.square().sum() for layer in net.layers) * member.l2 * factor["l2"] / (2 * N)
        gradients = torch.autograd.grad(loss + penalty, list(net.parameters()))
        with torch.no_grad():
            for value, gradient in zip(net.parameters(), gradients, strict=True):
                decay = member.weight_decay * factor["weight_decay"] if value.ndim == 2 else 0.0
                value.sub_(RATE * decay * value + RATE * gradient)
    return net.state_dict()


CASES: dict[str, dict[str, Any]] = {
    "dropout": {"dropout": (0.5,)},
    "label_smoothing": {"label_smoothing": 0.3},
    "weight_decay": {"weight_decay": 0.8},
    "l2": {"l2": 20.0},
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_loop_by_hand(name: str) -> None:
    """The one that follows, beside one that does not, and one of another schedule: each its own loop, 1e-9."""
    own: dict[str, Any] = {"momentum": 0.0, **CASES[name]}
    members = [
        Member(SPEC, 0, RATE, schedules=((name, FALLING),), **own),
        Member(SPEC, 1, RATE, **own),
        Member(SPEC, 2, RATE, schedules=((name, Schedule("flat-cosine")),), **own),
    ]
    outcome = trained(*members)
    for k, member in enumerate(members):
        for key, value in by_hand(member).items():
            torch.testing.assert_close(outcome.state_dict(k)[key], value, rtol=1e-9, atol=1e-9, msg=f"{name} {key}")
    assert not torch.allclose(outcome.parameters[0], trained(Member(SPEC, 0, RATE, **own)).parameters[0])


@pytest.mark.parametrize("name", ["momentum", "beta1", "beta2", "epsilon", "ema_decay", "rho", "l1"])
def test_every_other_one_changes_the_training(name: str) -> None:
    """A factor of a half from the first step is a training with half the value."""
    rule = {"momentum": "sgd", "rho": "rmsprop"}.get(name, "adam")
    half, usual = Schedule("linear"), {"ema_decay": {"ema_decay": 0.9}, "l1": {"l1": 4.0}}.get(name, {})
    plain, followed = (
        trained(Member(SPEC, 0, RATE, schedules=schedules, **usual), rule=rule).parameters
        for schedules in ((), ((name, half),))
    )
    assert not torch.equal(plain, followed)
    assert followed.isfinite().all()


@pytest.mark.parametrize("layout", ["vmapped", "looped"])
def test_modules_follow_them_too(layout: str) -> None:
    """Dropout that is all but over after the first step: from there on a training is one without dropout."""
    over = Schedule("staircase", decay=1e-12, period=1)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3)).double()
    plain = nn.Sequential(*net[:2], nn.Dropout(0.0), net[3])
    options: dict[str, Any] = {"learning_rate": RATE, "batch_size": N, "layout": layout, "rule": "sgd", "momentum": 0.0}
    first = luthier.train(net, (X, Y), steps=1, **options)
    falling = luthier.train(net, (X, Y), steps=4, schedules={"dropout": over}, **options)
    plain.load_state_dict(first.state_dict(0), strict=False)
    rest = luthier.train(plain, (X, Y), steps=3, **options)
    torch.testing.assert_close(falling.logits(X), rest.logits(X), rtol=1e-9, atol=1e-9)


def test_a_training_that_is_interrupted_goes_on(tmp_path: Any) -> None:
    from luthier.engine.members.checkpoint import FileCheckpoint

    member = Member(SPEC, 0, RATE, dropout=(0.5,), weight_decay=0.1, schedules={"dropout": "linear"})  # type: ignore[arg-type]
    whole = trained(member, rule="adam")
    trained(member, rule="adam", checkpoint=FileCheckpoint(tmp_path / "c"), stop=lambda done: done > 4)
    again = trained(member, rule="adam", checkpoint=FileCheckpoint(tmp_path / "c"))
    torch.testing.assert_close(again.parameters, whole.parameters, rtol=0, atol=0)


def test_a_member_is_plain_data() -> None:
    member = Member(SPEC, 0, RATE, weight_decay=0.1, schedules=(("weight_decay", FALLING),))
    assert Member.from_json(member.to_json()) == member


@pytest.mark.parametrize(
    ("schedules", "message"),
    [({"drop": "linear"}, "cannot follow"), ({"l2": "linearr"}, "linear"), ({"l2": "plateau"}, "rate's alone")],
)
def test_what_cannot_follow_is_said(schedules: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Member(SPEC, 0, RATE, schedules=schedules)
