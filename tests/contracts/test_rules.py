"""The contract of every update rule: the steps of its oracle, member by member; and mistakes that the contract sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.oracles.rules import NUMPY, TORCH
from torch import Tensor

from luthier.optimise import RULES, Rule
from luthier.optimise import rules as rules_module
from luthier.testing import check_rule
from luthier.testing.rule_contract import MEMBERS, first_parameters, stepped


def test_every_rule_has_an_oracle() -> None:
    assert set(TORCH) | set(NUMPY) == set(RULES)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rule", TORCH)
def test_a_rule_takes_the_steps_of_torch_optim(rule: str, fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "FUSED_FROM", 0 if fused else 10**9)
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)  # NAdam's product of momenta follows it
    check_rule(rule, TORCH[rule])


@pytest.mark.parametrize("rule", NUMPY)
def test_a_rule_follows_its_formula(rule: str) -> None:
    check_rule(rule)
    start = first_parameters()
    result = stepped(RULES[rule], start)
    for k, member in enumerate(MEMBERS):
        np.testing.assert_allclose(result[k].numpy(), NUMPY[rule](start[k].numpy(), member), rtol=1e-12, atol=1e-12)


def _velocity(P: Tensor) -> dict[str, Tensor]:
    return {"velocity": torch.zeros_like(P)}


def _mixing(P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> None:
    P.sub_(hyper["rate"] * G / G.norm())


def _replacing(P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> None:
    state["velocity"] = hyper["momentum"] * state["velocity"] + G
    P.sub_(hyper["rate"] * state["velocity"])


class _Remembering:
    """Keeps its velocity outside of the state."""

    def __init__(self) -> None:
        self.velocity = 0

    def __call__(self, P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> None:
        self.velocity = self.velocity * 0.5 + G.sum() if step > 1 else 0
        P.sub_(hyper["rate"] * (G + self.velocity))


def _uphill(P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> None:
    P.add_(hyper["rate"] * G)


def _outside(P: Tensor, G: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor], step: int) -> Tensor:
    return P - hyper["rate"] * G


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (_mixing, "depends on another one's"),
        (_replacing, "other tensors into its state"),
        (_Remembering(), "another one's parameters"),
        (_uphill, "does not go down"),
        (_outside, "returns something"),
    ],
)
def test_the_contract_sees_what_breaks_it(update: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_rule(Rule(_velocity, update))


def test_the_contract_sees_a_wrong_formula() -> None:
    with pytest.raises(AssertionError, match="not close"):
        check_rule("sgd", lambda w, h: torch.optim.SGD(w, h["rate"], momentum=h["momentum"], dampening=0.01))
