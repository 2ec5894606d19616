"""Whatever space, option or `build` is handed to a search, it ends in a result or in an error of ours."""

from __future__ import annotations

import datetime as dt
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import luthier
from luthier.errors import LuthierError
from luthier.seeds import torch_generator

X = torch.randn(40, 4, generator=torch_generator(0, "handed in"))
DATA = (X, (X[:, 0] > 0).long())
TINY: dict[str, Any] = {"trials": 2, "epochs": 1, "confirm": 0, "workers": 1}

OPTIONS_OF_A_RATE: list[Any] = [
    *((float("nan"), 1), (1e-3, float("inf")), (1, 1e-3), (0.1, 0.1), (0, 1), (-1, 1), (1, 2, 3), (1e-320, 1e-300)),
    *([], [0.1], ["a", "b"], [None, 0.1], [True, False], [[1], [2]], np.array([0.1, 0.2]), torch.tensor([0.1, 0.2])),
    *({"low": 0.1}, {"low": 0.1, "high": 1, "scale": "cubic"}, {"low": 0.1, "high": 1, "more": 1}, {"a": {"b": 1}}),
    *((np.float32(0.1), np.float64(1)), len, None, "0.1", {0.1, 0.2}, range(3), (one for one in (1, 2))),
]
SPACES: list[Any] = [
    *({}, None, [1], 3, "nowhere.toml", {1: (1, 2)}, {None: [1]}),
    *({"learning_rate": options} for options in OPTIONS_OF_A_RATE),
    *({"batch_size": options} for options in ([0], [10**9], [1.5], (-4, 4), ["many"], [1j])),
    *({"epochs": [0]}, {"epochs": ["a"]}, {"momentum": [2.0]}, {"momentum": (-1.0, 0.5)}, {"weight_decay": [-1.0]}),
    *({"dropout": [1.0]}, {"schedule": ["cosin"]}, {"rule": ["sdg"]}, {"rule": [torch.optim.SGD]}, {"beta1": [1.0]}),
    *({"epsilon": [0.0]}, {"noise": [-1.0]}, {"clip_norm": [-1.0]}, {"ema_decay": [1.5]}, {"mixup": [-3.0]}),
    *({"own": [1, 1]}, {"own": [object(), object()]}, {"own": [nn.ReLU, nn.Tanh]}, {"own": [nn.ReLU()]}),
    *({"own": (1, 10**30)}, {"own": [float("nan"), 1.0]}, {"own": [dt.date(2024, 1, 1)]}, {"own": [b"a"]}),
    *({"own": (Decimal(1), Decimal(2))}, {"own": None}, {"own": "text"}, {"own": [1j]}),
]
OPTIONS: list[dict[str, Any]] = [
    *({"trials": value} for value in (0, -1, 1.5, "3")),
    *({"budget": value} for value in ("abc", "0s", 3)),
    *({"sampler": value} for value in (None, 3, "tp", object())),
    *({"halving": "thirds"}, {"halving": None}, {"layout": "flat"}, {"tiers": "yes"}),
    *({"epochs": value} for value in (0, "2", 1.5)),
    *({"confirm": value} for value in (-1, "1", 1.5)),
    *({"seed": value} for value in (-1, "a", 1.5, 2**70)),
    *({"workers": 0}, {"workers": "2"}, {"memory": "much"}, {"memory": 3}, {"memory": "1KiB"}),
    *({"storage": "foo://"}, {"storage": 3}, {"study": 3}, {"on": None}, {"on": 3}, {"on": "moon"}, {"run": 3}),
]
BUILDS: dict[str, Any] = {
    "raises": lambda h: 1 / 0,
    "nothing": lambda h: None,
    "another name": lambda h: nn.Linear(4, h["units"]),
    "no argument": lambda: nn.Linear(4, 2),
    "a module": nn.Linear(4, 2),
    "a class": nn.Linear,
    "text": "text",
}


def build(h: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def ends_in_our_words(network: Any, space: Any, **options: Any) -> str:
    """What it is refused with; empty where it works. Another library's error is let through, a warning is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            luthier.tune(network, DATA, space, **{**TINY, **options})
        except LuthierError as error:
            return str(error)
    return ""


def test_any_space() -> None:
    refused = [ends_in_our_words(build, space) for space in SPACES]
    assert sum(map(bool, refused)) > len(SPACES) // 2  # most of them are of no sense


@pytest.mark.parametrize("options", OPTIONS)
def test_any_option(options: dict[str, Any]) -> None:
    ends_in_our_words(build, {"learning_rate": (0.01, 0.1)}, **options)


@pytest.mark.parametrize("name", BUILDS)
def test_any_build(name: str) -> None:
    message = ends_in_our_words(BUILDS[name], {"learning_rate": (0.01, 0.1)})
    assert message
    if name in ("raises", "another name"):
        assert "the setting learning_rate=0.0" in message
