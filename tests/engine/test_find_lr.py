"""The range test on a user's module: what it finds, and that it leaves everything as it was."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import luthier
from luthier.errors import InputError
from luthier.seeds import torch_generator


def rows(count: int = 96) -> tuple[Tensor, Tensor]:
    X = torch.randn(count, 6, generator=torch_generator(0, "find_lr"))
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.5).long()


def net() -> nn.Module:
    """Buffers that move, masks from the global generator: all that a test could disturb."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


class Training:
    """A loop of the user's own, over a shuffling loader with or without a generator of its own."""

    def __init__(self, own_generator: bool) -> None:
        self.module = net()
        self.optimiser = torch.optim.Adam(
            [{"params": self.module[0].parameters(), "lr": 1e-3}, {"params": self.module[4].parameters(), "lr": 1e-2}]
        )
        generator = torch.Generator().manual_seed(5) if own_generator else None
        self.loader = DataLoader(TensorDataset(*rows()), batch_size=16, shuffle=True, generator=generator)
        torch.manual_seed(2)
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002

    def epoch(self) -> None:
        for x, y in self.loader:
            self.optimiser.zero_grad()
            F.cross_entropy(self.module(x + 0.01 * random.random() + 0.01 * np.random.rand()), y).backward()  # noqa: NPY002
            self.optimiser.step()

    def state(self) -> list[Any]:
        optimiser = self.optimiser.state_dict()
        return [
            *self.module.state_dict().values(),
            *(parameter.grad for parameter in self.module.parameters()),
            *(value for entry in optimiser["state"].values() for value in entry.values()),
            *(torch.tensor(group["lr"]) for group in optimiser["param_groups"]),
            torch.get_rng_state(),
            torch.tensor(random.random()),
            torch.tensor(np.random.rand()),  # noqa: NPY002
        ]


class InterruptedAt:
    """Cross-entropy until Ctrl-C comes."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return F.cross_entropy(outputs, targets)


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("interrupted", [None, 0, 17, 150])
def test_training_goes_on_as_if_it_had_never_been_called(own_generator: bool, interrupted: int | None) -> None:
    one, other = Training(own_generator), Training(own_generator)
    one.epoch()
    one.epoch()
    expected = one.state()
    other = Training(own_generator)
    other.epoch()
    if interrupted is None:
        luthier.find_lr(other.module, other.loader, optimiser=other.optimiser, steps=30, seeds=2)
    else:
        loss = InterruptedAt(interrupted)
        with pytest.raises(KeyboardInterrupt):
            luthier.find_lr(other.module, other.loader, optimiser=other.optimiser, loss=loss, steps=40)
    assert other.module.training
    other.epoch()
    for result, wanted in zip(other.state(), expected, strict=True):
        assert torch.equal(result, wanted)


class Recorder(torch.optim.SGD):
    """SGD that remembers the rates of its groups."""

    seen: list[list[float]] = []  # noqa: RUF012

    def step(self, closure: Any = None) -> Any:
        self.seen.append([group["lr"] for group in self.param_groups])
        return super().step(closure)


def test_groups_keep_their_ratios() -> None:
    module = net()
    groups = [{"params": module[0].parameters(), "lr": 0.001}, {"params": module[4].parameters(), "lr": 0.004}]
    Recorder.seen.clear()
    luthier.find_lr(module, rows(), optimiser=Recorder(groups), steps=20, seeds=1, low=1e-4, confirm=False)
    slow, fast = np.array(Recorder.seen[:10]).T
    np.testing.assert_allclose(slow / fast, 0.25)
    np.testing.assert_allclose(fast, np.geomspace(1e-4, 10, 20)[:10])


def test_the_rate_on_a_quadratic_lies_below_its_limit() -> None:
    """Gradient descent on a mean square with curvature 2 diverges from rate 1 on (2 / curvature)."""
    X = torch.eye(2).repeat(50, 1) * 2**0.5
    y = torch.ones(100, 1)
    linear = nn.Linear(2, 1, bias=False)
    result = luthier.find_lr(
        linear, (X, y), optimiser=torch.optim.SGD(linear.parameters(), 0.1), batch_size=100, seeds=3, high=100.0
    )
    assert 0.01 < result.pick < 1.0
    assert result.rate in {trial["rate"] for trial in result.trials}
    assert [trial["factor"] for trial in result.trials] == [0.5, 1.0, 2.0]
    assert set(result.rules) == {"minimum / 10", "steepest", "valley"}
    # Without noise all seeds see the same full batch.
    assert result.band["valley"][0] == pytest.approx(result.band["valley"][1])


def test_a_range_that_tells_nothing_is_widened() -> None:
    module = net()
    narrow = luthier.find_lr(module, rows(), seeds=1, low=1e-7, high=1e-6, confirm=False)
    assert narrow.widened
    assert narrow.rates[-1] > 1e-6


def test_regression_targets_get_the_mean_square() -> None:
    X, _ = rows()
    result = luthier.find_lr(nn.Linear(6, 1), (X.numpy(), X.sum(1).numpy()), seeds=2, steps=40)
    assert result.losses[0] == pytest.approx(float((X.sum(1) ** 2).mean()), rel=1.0)


@pytest.mark.parametrize(
    ("module", "data", "said"),
    [
        (nn.Linear(6, 2), (torch.zeros(0, 6), torch.zeros(0)), "do not fit together"),
        (nn.Linear(6, 2), (torch.zeros(4, 6), torch.zeros(3)), "4 and 3 rows"),
        (nn.Linear(6, 2), [], "no batches"),
        (nn.ReLU(), rows(), "no parameters"),
    ],
)
def test_what_cannot_be_used_is_said(module: nn.Module, data: Any, said: str) -> None:
    optimiser = torch.optim.SGD(module.parameters() if list(module.parameters()) else [torch.zeros(1)], 0.1)
    with pytest.raises(InputError, match=said):
        luthier.find_lr(module, data, optimiser=optimiser)
