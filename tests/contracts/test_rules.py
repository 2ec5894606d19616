"""The contract of every update rule: the steps of its oracle, member by member."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.rules import MEMBERS, NUMPY, STEPS, TORCH, first_parameters, gradient, stacked
from torch import Tensor

from luthier.optimise import RULES
from luthier.optimise import rules as rules_module


@pytest.fixture
def start() -> Tensor:
    return first_parameters()


def test_every_rule_has_an_oracle() -> None:
    assert set(TORCH) | set(NUMPY) == set(RULES)


def unfused(monkeypatch: pytest.MonkeyPatch, fused: bool) -> None:
    monkeypatch.setattr(rules_module, "FUSED_FROM", 0 if fused else 10**9)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rule", TORCH)
def test_a_rule_takes_the_steps_of_torch_optim(
    rule: str, fused: bool, start: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfused(monkeypatch, fused)
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)  # NAdam's product of momenta follows it
    result = stacked(rule, start)
    for k, member in enumerate(MEMBERS):
        w = start[k].clone().requires_grad_()
        optimiser = TORCH[rule]([w], member)
        for step in range(1, STEPS + 1):
            w.grad = gradient(w.detach(), step)
            optimiser.step()
        torch.testing.assert_close(result[k], w.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", NUMPY)
def test_a_rule_follows_its_formula(rule: str, start: Tensor) -> None:
    result = stacked(rule, start)
    for k, member in enumerate(MEMBERS):
        np.testing.assert_allclose(result[k].numpy(), NUMPY[rule](start[k].numpy(), member), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_does_not_mix_members(rule: str, start: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    together = stacked(rule, start)
    other = start.clone()
    other[1] = 1e3
    torch.testing.assert_close(stacked(rule, other)[[0, 2]], together[[0, 2]], rtol=0, atol=0)
