"""A watch sees what is there, names where a NaN was born, and changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import luthier
from luthier.diagnosis import TrainingMonitor, look, stack_traces
from luthier.diagnosis.checks import CHECKS
from luthier.engine.dense.dense_rows import fresh_buffers, fresh_parameters
from luthier.errors import InputError
from luthier.nets import DenseSpec, build
from luthier.rows import Inputs, Rows

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (64,), generator=torch.Generator().manual_seed(1))


class Functional(nn.Module):
    """Calls its activations as functions, twice through one layer, with dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Linear(16, 16)
        self.drop, self.out = nn.Dropout(0.3), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        x = torch.tanh(self.second(x))
        return self.out(self.drop(torch.sigmoid(self.second(x))))


def train(module: nn.Module, steps: int, watch: TrainingMonitor | None = None, *, clear: bool = True) -> list[float]:
    optimiser = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9)
    torch.manual_seed(7)
    losses = []
    for _ in range(steps):
        if clear:
            optimiser.zero_grad()
        loss = F.cross_entropy(module(X), Y)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        if watch is not None:
            watch.step(loss)
    return losses


def made() -> Functional:
    torch.manual_seed(3)
    return Functional()


def test_watching_changes_nothing() -> None:
    alone, watched = made(), made()
    with TrainingMonitor(watched, every=2) as watch:
        assert train(alone, 12) == train(watched, 12, watch)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    assert not watched._forward_hooks
    assert not watched.first._forward_pre_hooks


def test_activations_called_as_functions_are_seen() -> None:
    module = made()
    with TrainingMonitor(module, every=1) as watch:
        train(module, 1, watch)
    seen = {(row.layer, row.kind) for row in watch.trace.layers}
    expected = {("module.relu", "relu"), ("module.tanh", "tanh"), ("module.sigmoid", "sigmoid")}
    assert expected | {("second #2", "Linear"), ("norm", "BatchNorm1d")} <= seen


def test_statistics_are_those_of_the_layer() -> None:
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    with TrainingMonitor(module, every=1) as watch:
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        loss = F.cross_entropy(module(X.double()), Y)
        loss.backward()
        torch.optim.SGD(module.parameters(), 0.1).step()
        watch.step(loss)
    relu = F.relu(F.linear(X.double(), before["0.weight"], before["0.bias"]))
    row = next(row for row in watch.trace.layers if row.kind == "relu")
    assert row.mean == pytest.approx(relu.mean().item())
    assert row.spread == pytest.approx(relu.var(0, correction=0).mean().sqrt().item(), rel=1e-6)
    assert row.dead == pytest.approx((relu == 0).all(0).double().mean().item())
    assert row.zero == pytest.approx((relu == 0).double().mean().item())
    weights = watch.trace.weights[0]
    gradient = module[0].weight.grad
    assert gradient is not None
    assert weights.gradient == pytest.approx(gradient.square().mean().sqrt().item())
    assert weights.update == pytest.approx((0.1 * gradient.norm() / before["0.weight"].norm()).item())


def test_a_stack_is_seen_as_its_members_are() -> None:
    """Every member's probe equals what a watch sees of the member alone."""
    spec = DenseSpec(6, (16, 8), 3, activation="relu")
    traces = stack_traces(
        spec,
        fresh_parameters(spec, [1, 2, 3], torch.float32),
        fresh_buffers(spec, 3, torch.float32),
        _part(),
        "softmax",
    )
    for seed, trace in zip([1, 2, 3], traces, strict=True):
        net = build(spec, seed=seed)
        A = F.relu(F.linear(X, net.layers[0].weight, net.layers[0].bias))
        B = F.relu(F.linear(A, net.layers[1].weight, net.layers[1].bias))
        for row, values in zip(trace.layers, (A, B), strict=True):
            assert row.mean == pytest.approx(values.mean().item(), rel=1e-5)
            assert row.dead == pytest.approx((values == 0).all(0).float().mean().item())
        F.cross_entropy(net(X), Y).backward()
        for i, row in enumerate(trace.weights):
            gradient = net.layers[i].weight.grad
            assert row.gradient == pytest.approx(gradient.square().mean().sqrt().item(), rel=1e-4)


def _part() -> Rows:
    return Rows(Inputs(numbers=X), Y)


class Born(nn.Module):
    """Takes a root that some rows cannot give."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.sqrt(self.inner(x) + 100))


def test_a_nan_is_traced_to_layer_operation_and_rows() -> None:
    module = Born()
    with torch.no_grad():
        module.inner.weight.copy_(torch.eye(6))
    broken = X.clone()
    broken[5] = -1e4
    broken[9] = -1e4
    state = torch.get_rng_state()
    with TrainingMonitor(module) as watch:
        loss = F.cross_entropy(module(broken), Y)
        watch.step(loss)
    birth = watch.trace.birth
    assert birth is not None
    assert (birth.part, birth.layer, birth.rows, birth.step) == ("forward", "module", (5, 9), 0)
    assert "sqrt" in birth.op
    assert torch.equal(state, torch.get_rng_state())


def test_other_births_are_told_apart() -> None:
    module = nn.Linear(6, 3)
    with TrainingMonitor(module) as watch:
        module(torch.full((4, 6), math.nan))
        assert watch.trace.birth is not None
        assert (watch.trace.birth.part, watch.trace.birth.rows) == ("input", (0, 1, 2, 3))
    with torch.no_grad():
        module.weight[0, 0] = math.inf
    with TrainingMonitor(module) as watch:
        module(X)
        assert watch.trace.birth is not None
        assert watch.trace.birth.part == "weights"
    with TrainingMonitor(nn.Linear(6, 3)) as watch:
        outputs = watch.module(X)
        watch.step((outputs * 0).sum() / 0)
        assert watch.trace.birth is not None
        assert watch.trace.birth.part == "loss"
    root = nn.Sequential(nn.Linear(6, 3), nn.ReLU())
    with TrainingMonitor(root) as watch:
        loss = torch.sqrt(root(X) * 0).sum()  # the slope of a root is infinite at zero
        loss.backward()
        watch.step(loss)
        assert watch.trace.birth is not None
        assert watch.trace.birth.part == "gradient"


def test_gradients_that_were_not_cleared_are_found() -> None:
    module = made()
    with TrainingMonitor(module) as watch:
        train(module, 8, watch, clear=False)
    assert "gradients-not-cleared" in {finding.code for finding in look(watch.trace, CHECKS)}
    module = made()
    with TrainingMonitor(module) as watch:
        train(module, 8, watch)
    assert watch.trace.uncleared == 0


def test_an_error_in_the_forward_pass_leaves_nothing_behind() -> None:
    module = nn.Sequential(nn.Linear(6, 3))
    with TrainingMonitor(module) as watch:
        with pytest.raises(RuntimeError):
            module(torch.zeros(2, 5))
        train(module, 3, watch)
        assert len(watch.trace.losses) == 3
    assert torch.overrides._get_current_function_mode_stack() == []


def test_recurrent_and_convolutional_modules() -> None:
    lstm = nn.LSTM(4, 8, batch_first=True)
    with TrainingMonitor(lstm, every=1) as watch:
        out, _ = lstm(torch.randn(5, 7, 4))
        out.sum().backward()
        watch.step(out.sum())
    assert [row.kind for row in watch.trace.layers] == ["LSTM"]
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    with TrainingMonitor(conv, every=1) as watch:
        conv(torch.randn(5, 1, 8, 8)).sum().backward()
        watch.step(0.0)
    relu = next(row for row in watch.trace.layers if row.kind == "relu")
    assert relu.rows == 5 * 36


def test_the_readme_s_loop() -> None:
    module = made()
    with luthier.TrainingMonitor(module) as watch:
        train(module, 20, watch)
    message = str(watch.diagnosis())
    assert "Optimisation, six questions" in message


class Unusual(nn.Module):
    """Sparse and complex gradients, a layer that gives nothing, batch norm that is called by name."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(9, 4, sparse=True), nn.BatchNorm1d(24)
        self.turn, self.out = nn.Parameter(torch.ones(24, 3, dtype=torch.complex64)), nn.Linear(3, 3)

    def forward(self, *, x: Tensor) -> dict[str, Tensor]:
        inner = self.norm(input=self.table(x.long().abs() % 9).flatten(1))
        return {
            "outputs": self.out(torch.relu((inner.to(torch.complex64) @ self.turn).abs())),
            "none": inner[:0].relu(),
        }


def test_unusual_modules_are_watched_without_a_word() -> None:
    """The user's loop goes on as if nobody watched."""
    losses = []
    for watching in (False, True):
        torch.manual_seed(0)
        module = Unusual()
        optimiser = torch.optim.SGD(module.parameters(), 0.01)
        watch = TrainingMonitor(module, every=1) if watching else None
        losses.append([])
        for _ in range(4):
            optimiser.zero_grad()
            loss = F.cross_entropy(module(x=X)["outputs"], Y)
            loss.backward()
            optimiser.step()
            losses[-1].append(loss.item())
            if watch is not None:
                watch.step(loss)
        if watch is not None:
            watch.close()
            assert len(watch.trace.gradient_norms) == 4
            assert str(watch.diagnosis())
    assert losses[0] == losses[1]


def test_what_cannot_be_watched_is_said() -> None:
    for module in (3, torch.jit.trace(nn.Linear(6, 3), X)):
        with pytest.raises(InputError, match="cannot be watched"):
            TrainingMonitor(module)  # type: ignore[arg-type]
    with TrainingMonitor(nn.Linear(6, 3)) as watch, pytest.raises(InputError, match="one real number"):
        watch.step(torch.zeros(2))
