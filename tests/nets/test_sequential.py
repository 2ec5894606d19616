"""A module that is a chain of dense layers is recognised, others are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from luthier.nets import build, chain


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.GELU(), nn.Dropout(0.5), nn.Linear(5, 4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(12, 3)),
        nn.Sequential(nn.Linear(12, 5), nn.LeakyReLU(), nn.Linear(5, 2)),
    ],
)
def test_a_chain_of_layers_is_recognised(module: nn.Module) -> None:
    result = chain(module)
    assert result is not None
    net = build(result.spec, seed=0)
    net.load_state_dict({ours: module.state_dict()[theirs] for ours, theirs in result.names.items()})
    X = torch.randn(7, 12)
    torch.testing.assert_close(net.eval()(X), module.eval()(X))


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(3, 2),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 2, bias=False)),
        nn.Sequential(nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.3), nn.Linear(4, 2)),
        nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 4)),
    ],
)
def test_other_modules_are_not(module: nn.Module) -> None:
    assert chain(module) is None
