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
from luthier.errors import InputError, LuthierError
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
        (nn.Linear(6, 2), (torch.zeros(0, 6), torch.zeros(0)), "differ in length"),
        (nn.Linear(6, 2), (torch.zeros(4, 6), torch.zeros(3)), "4 of X, 3 of y"),
        (nn.Linear(6, 2), [], "no batches"),
        (nn.ReLU(), rows(), "no parameters"),
    ],
)
def test_what_cannot_be_used_is_said(module: nn.Module, data: Any, said: str) -> None:
    optimiser = torch.optim.SGD(module.parameters() if list(module.parameters()) else [torch.zeros(1)], 0.1)
    with pytest.raises(InputError, match=said):
        luthier.find_lr(module, data, optimiser=optimiser)


def regression(noise: float, signal: float = 1.0) -> tuple[Tensor, Tensor]:
    g = torch_generator(0, "noisy rows")
    X = torch.randn(2000, 6, generator=g)
    return X, signal * (X[:, 0] - X[:, 1]) + noise * torch.randn(2000, generator=g)


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))


def test_noise_hides_no_rate() -> None:
    """Where inputs explain 7 % or 3 % of the target a batch's luck is larger than all there is to gain."""
    clean = luthier.find_lr(small(), regression(0), batch_size=32).rate
    for noise in (5.0, 8.0):
        result = luthier.find_lr(small(), regression(noise), batch_size=32)
        assert clean / 30 < result.rate < 3 * clean


@pytest.mark.parametrize("loss", [None, lambda o, t: ((o[:, 0] - t) ** 2).mean()])
def test_where_there_is_nothing_to_learn_no_rate_is_found_and_it_is_said(loss: Any) -> None:
    with pytest.raises(LuthierError, match="no rate found: training lowers the loss no further than") as error:
        luthier.find_lr(small(), regression(1.0, signal=0.0), loss=loss, batch_size=32)
    assert "standard error" in str(error.value)


def test_losses_below_zero_have_rates_too() -> None:
    """The negative log-likelihood of a narrow density: four times its best value is no limit."""
    X, y = regression(0.0)

    def density(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 1] + 0.5 * (outputs[:, 0] - 0.01 * targets) ** 2 * torch.exp(-2 * outputs[:, 1])).mean()

    result = luthier.find_lr(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)), (X, y), loss=density)
    assert min(value for value in result.losses if value is not None) < 0
    assert 1e-4 < result.rate < 1


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)).relu())


def test_a_last_batch_of_one_row_is_left_out_before_batch_norm() -> None:
    X, y = regression(0.0)
    loader = DataLoader(TensorDataset(X[:129], y[:129]), batch_size=64)
    for data in ((X[:129], y[:129]), loader, TensorDataset(X[:129], y[:129])):
        assert luthier.find_lr(Normed(), data, seeds=1, confirm=False).pick > 1e-4


def test_the_untrained_module_on_the_same_batch_is_what_losses_are_relative_to() -> None:
    """At rates that move nothing every loss is the mean over batches, whichever rows a batch has."""
    X, y = regression(1.0)
    result = luthier.find_lr(small(), (X, y), seeds=1, low=1e-9, high=1.0, confirm=False)
    early = [
        value for rate, value in zip(result.rates, result.losses, strict=True) if rate < 1e-7 and value is not None
    ]
    assert np.ptp(early) < 1e-4 * early[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimiser": torch.optim.SGD(nn.Linear(6, 1).parameters(), 0.1)}, "belongs to another module"),
        ({"optimiser": 0.1}, "the optimiser is not one"),
        ({"steps": 3}, "steps must be at least 10"),
        ({"low": 1.0, "high": 0.1}, "the lower one first"),
        ({"seeds": "many"}, "seeds must be at least 1"),
        ({"loss": "mean"}, "is not one of"),
    ],
)
def test_what_does_not_go_together_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        luthier.find_lr(small(), regression(1.0), **options)
    net = small()
    with pytest.raises(InputError, match="a step of LBFGS takes many passes"):
        luthier.find_lr(net, regression(1.0), optimiser=torch.optim.LBFGS(net.parameters()))


def test_inputs_that_are_not_finite_are_found_before_any_rate() -> None:
    X, y = regression(1.0)
    broken = X.clone()
    broken[700:710] = torch.nan
    with pytest.raises(InputError, match="NaN or infinity in 10 of 2000 rows"):
        luthier.find_lr(small(), (broken, y))
    with pytest.raises(InputError, match="NaN or infinity in 4 of 64 rows"):
        luthier.find_lr(small(), DataLoader(TensorDataset(broken, y), batch_size=64))
    with pytest.raises(LuthierError, match="no rate found"):
        luthier.find_lr(small(), (X, y), loss=lambda o, t: ((o[:, 0] - t) / 0).mean())
