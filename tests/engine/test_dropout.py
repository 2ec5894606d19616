"""Each layer drops at its own rate, in every layout: the share of activations that is kept, layer by layer.

All weights are positive, so the weights from a unit have a gradient exactly where it was kept.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luthier.engine import Batch, Member, ModuleSpec, Population, Settings
from luthier.engine.dense.dense_rows import with_ones
from luthier.nets import DenseSpec
from luthier.rows import Inputs

UNITS, ROWS, RATES = 60, 200, (0.1, 0.5, 0.8)
X = torch.ones(ROWS, 3, dtype=torch.float64)
SURE = 5 * (0.25 / (UNITS * ROWS)) ** 0.5  # five standard errors of a share of that many draws


def network(rates: tuple[float, ...] = RATES) -> nn.Sequential:
    """Layers of positive weights: every unit says something, and matters to all above it."""
    layers: list[nn.Module] = []
    for k, p in enumerate(rates):
        layers += [nn.Linear(UNITS if k else 3, UNITS), nn.Identity(), nn.Dropout(p)]
    net = nn.Sequential(*layers, nn.Linear(UNITS, 1)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1e-2)
    return net


class Wrapped(nn.Module):
    """The same, not seen as a chain: it trains vmapped or looped."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def kept_shares(layout: str, rates: list[tuple[float, ...]]) -> Tensor:
    """The share of units kept in each layer by each member [M, L], over single rows.

    The weights from a unit have a gradient unless it was dropped.
    """
    spec = ModuleSpec(network() if layout == "stacked" else Wrapped(), layout=layout)
    drops: list[dict[str, Any]] = [{"dropout": p} if layout == "stacked" else {} for p in rates]
    members = [Member(spec, seed, 0.0, **drop) for seed, drop in enumerate(drops)]
    population = Population.of(members, Settings("mse", "sgd", 1, 1, 1, dtype=torch.float64), ROWS)
    dense = population.kind.spec
    x = with_ones(dense, X[:1]) if isinstance(dense, DenseSpec) else X[:1]
    batch = Batch(Inputs(numbers=x), torch.zeros(1, 1, dtype=torch.float64))
    prefix = "" if layout == "stacked" else "net."
    shares = torch.zeros(len(rates), len(RATES))
    for number in range(ROWS):
        for block in population.blocks:
            block.learner.gradients(batch, number)
            for m, place in enumerate(range(len(rates))[block.places]):
                row = block.learner.state.gradients[m : m + 1]
                named = population.kind.state_dict(row, population.state.buffers[:1])
                kept = [named[f"{prefix}{3 * k}.weight"].ne(0).any(0) for k in range(1, len(RATES) + 1)]
                shares[place] += torch.stack([units.double().mean() for units in kept])
    return shares / ROWS


@pytest.mark.parametrize("layout", ["stacked", "vmapped", "looped"])
def test_every_layer_keeps_the_share_of_its_own_rate(layout: str) -> None:
    result = kept_shares(layout, [RATES, RATES])
    for shares in result:
        for share, rate in zip(shares.tolist(), RATES, strict=True):
            assert share == pytest.approx(1 - rate, abs=SURE), result


def test_members_of_a_stack_have_rates_of_their_own() -> None:
    other = tuple(reversed(RATES))
    result = kept_shares("stacked", [RATES, other])
    for shares, rates in zip(result, (RATES, other), strict=True):
        assert shares.tolist() == pytest.approx([1 - p for p in rates], abs=SURE)
