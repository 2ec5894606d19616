"""What lies above frozen blocks gives what the whole network gives, or nothing is taken apart."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from luthier.nets.blocks import anatomy_of
from luthier.nets.efficientnet import EfficientNetLite
from luthier.nets.frozen import above_frozen
from luthier.nets.resnet import resnet

PLENTY: dict[str, Any] = {"at_once": 3, "most_bytes": 1 << 30}


@pytest.mark.parametrize("make", [lambda: resnet("resnet18"), EfficientNetLite])
@pytest.mark.parametrize("kept", [1, 4])
def test_the_part_above_is_the_whole_with_its_gradients(make: Any, kept: int) -> None:
    torch.manual_seed(0)
    net = make().eval()
    X = torch.randn(5, 3, 32, 32)
    blocks = anatomy_of(net, X[:2]).blocks
    found = above_frozen(net, blocks[:-kept], [X, X[:2]], **PLENTY)
    assert found is not None
    above, (Z, few) = found
    assert set(above.state_dict()) == {
        name for name in net.state_dict() if any(name.startswith(f"{one}.") for one in blocks[-kept:])
    }
    torch.testing.assert_close(above(Z), net(X), rtol=1e-4, atol=1e-4)
    assert few.shape[1:] == Z.shape[1:]
    again = [torch.autograd.grad(out.square().sum(), one.get_submodule(blocks[-1]).weight)[0]
             for one, out in ((above, above(Z)), (net, net(X)))]  # fmt: skip
    torch.testing.assert_close(*again, rtol=1e-3, atol=1e-3)
    assert net.training is False
    torch.testing.assert_close(net(X), make_again(net)(X))


def make_again(net: nn.Module) -> nn.Module:
    """The network is as it was: no hook is left."""
    assert not net._forward_pre_hooks
    return net


class Bridged(nn.Module):
    """Its last block uses what went into the first, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.second(self.first(x)) + x)
        return out


class TwoOutputs(nn.Module):
    """Its first block is recurrent and gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.LSTM(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.first(x)[0].mean(1))
        return out


def test_what_cannot_be_taken_apart_stays_whole() -> None:
    X = torch.randn(6, 4)
    assert above_frozen(Bridged(), ["first"], [X], **PLENTY) is None
    assert above_frozen(TwoOutputs(), ["first"], [torch.randn(6, 5, 4)], **PLENTY) is None
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    assert above_frozen(net, [], [X], **PLENTY) is None
    assert above_frozen(net, ["0"], [X], at_once=3, most_bytes=6 * 8 * 4 - 1) is None
    assert above_frozen(net, ["0"], [X], at_once=3, most_bytes=6 * 8 * 4) is not None
