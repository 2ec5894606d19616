"""The contract of learners, over layouts and kinds of modules; and mistakes that it sees."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from luthier.seeds import torch_generator
from luthier.testing import check_network

g = torch_generator(0, "contract of networks")
LABELS = torch.randint(0, 3, (50,), generator=g)
IMAGES = torch.randn(50, 1, 6, 6, generator=g, dtype=torch.float64) + 0.5 * LABELS[:, None, None, None]


def chain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3))


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


class Counting(nn.Module):
    """All its instances share one number: each learns otherwise beside others."""

    seen = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        Counting.seen += 0.1
        return self.out(x.flatten(1)) * (1 + Counting.seen)


@pytest.mark.parametrize(
    ("network", "layout"),
    [
        (chain, "stacked"),
        (chain, "vmapped"),
        (chain, "looped"),
        (dropping, "stacked"),
        (dropping, "vmapped"),
        (dropping, "looped"),
        (convolutions, "vmapped"),
        (convolutions, "looped"),
    ],
)
def test_a_network_keeps_its_contract(network: Callable[[], nn.Module], layout: str) -> None:
    check_network(network, (IMAGES, LABELS), layout=layout)


def test_the_contract_sees_what_is_kept_outside() -> None:
    with pytest.raises(AssertionError, match="learns otherwise"):
        check_network(Counting, (IMAGES, LABELS), layout="looped")
