"""A user's own loss and module mean what they mean in a plain PyTorch loop: the same weights, or a sentence of ours.

Modules, targets, losses, data and rules are drawn so that every pair of their values meets.
"""

from __future__ import annotations

import copy
import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import luthier
from luthier.errors import InputError
from luthier.objective import column, custom_loss
from luthier.seeds import torch_generator

ROWS, BATCH, STEPS, RATE = 50, 16, 6, 0.01  # the fourth batch has two rows
g = torch_generator(0, "plain loop")
X = torch.randn(ROWS, 6, generator=g, dtype=torch.float64)
CLASSES = torch.randint(0, 3, (ROWS,), generator=g)


class Own(nn.Module):
    """Takes a step around its first layer; with `flat` one output is a number for each row, [B]."""

    def __init__(self, outputs: int, *, flat: bool = False) -> None:
        super().__init__()
        self.first, self.last, self.flat = nn.Linear(6, 6), nn.Linear(6, outputs), flat

    def forward(self, x: Tensor) -> Tensor:
        result = self.last(x + torch.tanh(self.first(x)))
        return result.squeeze(-1) if self.flat else result


MODULES: dict[str, Callable[[int], nn.Module]] = {
    "chain": lambda outputs: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, outputs)),
    # A bias before batch norm has no gradient but rounding, which Adam would make as large as any other.
    "norm": lambda outputs: nn.Sequential(
        nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ELU(), nn.Linear(5, outputs)
    ),
    "own": Own,
    "flat": lambda outputs: Own(outputs, flat=True),
}
TARGETS: dict[str, tuple[Tensor, int]] = {  # and how many outputs the module has
    "[N]": (X[:, 0] - X[:, 1], 1),
    "[N, 1]": (X[:, :1] - X[:, 1:2], 1),
    "[N, 3]": (X[:, :3] * 2 + X[:, 3:], 3),
    "[N, 3], one output": (X[:, :3], 1),
    "[N], three outputs": (X[:, 0], 3),
    "classes [N]": (CLASSES, 3),
    "classes [N, 1]": (CLASSES[:, None], 3),
    "labels [N, 1]": ((X[:, :1] > 0).double(), 1),
    "labels [N, 3]": ((X[:, :3] > 0).double(), 3),
    "booleans [N]": (X[:, 0] > 0, 1),
    "counts [N, 1]": (CLASSES[:, None], 1),
}


class LogCosh(nn.Module):
    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.log(torch.cosh(outputs - targets)).mean()


WEIGHT = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
NAMED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda o, t: F.mse_loss(o.reshape(t.shape), t.to(o.dtype)),
    "mae": lambda o, t: F.l1_loss(o.reshape(t.shape), t.to(o.dtype)),
    "huber": lambda o, t: F.huber_loss(o.reshape(t.shape), t.to(o.dtype)),
    "binary": lambda o, t: F.binary_cross_entropy_with_logits(o, _indicators(o, t), reduction="sum") / len(t),
    "softmax": lambda o, t: F.cross_entropy(o.reshape(len(t), -1), column(t)),
}
PAIRED: dict[str, Any] = {  # each entry of the outputs with its own of the targets
    "MSELoss": nn.MSELoss(),
    "MSELoss, sum": nn.MSELoss(reduction="sum"),
    "L1Loss": nn.L1Loss(),
    "SmoothL1Loss": nn.SmoothL1Loss(beta=0.5),
    "HuberLoss": nn.HuberLoss(delta=2.0),
    "BCEWithLogitsLoss": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0, dtype=torch.float64)),
    "PoissonNLLLoss": nn.PoissonNLLLoss(),
    "F.mse_loss": F.mse_loss,
    "a lambda": lambda o, t: ((o - t) ** 2).mean(),
    "a sum by hand": lambda o, t: ((o - t) ** 2).sum() / t.numel(),
    "a module": LogCosh(),
}
OTHERS: dict[str, Any] = {
    "CrossEntropyLoss": nn.CrossEntropyLoss(),
    "CrossEntropyLoss, weights": nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1),
    "CrossEntropyLoss, sum": nn.CrossEntropyLoss(reduction="sum", ignore_index=1),
    "NLL": lambda o, t: F.nll_loss(F.log_softmax(o, 1), t),
    "a reshape": lambda o, t: (o.reshape(t.shape) - t).abs().mean(),
    "a mask": lambda o, t: F.softplus(-o[t]).sum() + F.softplus(o[~t]).sum(),
}
LOSSES = [None, *NAMED, *PAIRED, *OTHERS]


class Stream(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, y: Tensor) -> None:
        self.y = y

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(X, self.y, strict=True)


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "tensors": lambda y: (X, y),
    "arrays": lambda y: (X.numpy(), y.numpy()),
    "a list": lambda y: [X, y.numpy()],
    "frames": lambda y: (pd.DataFrame(X.numpy()), pd.DataFrame(y.numpy()) if y.ndim == 2 else pd.Series(y.numpy())),
    "a data set": lambda y: TensorDataset(X, y),
    "a loader": lambda y: DataLoader(TensorDataset(X, y), batch_size=7),
    "a stream": lambda y: DataLoader(Stream(y), batch_size=11),
}
TYPES = {"double": torch.float64, "single": torch.float32}
RULES: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, RATE, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, RATE),
}
LAYOUTS = (None, "vmapped", "looped")
FACTORS: list[list[Any]] = [list(MODULES), list(TARGETS), LOSSES, list(FORMS), list(TYPES), list(RULES), list(LAYOUTS)]


def _indicators(o: Tensor, t: Tensor) -> Tensor:
    t = column(t)
    if t.ndim == 1 and o.ndim == 2 and o.shape[1] > 1:
        return F.one_hot(t, o.shape[1]).to(o.dtype)
    return t.reshape(o.shape).to(o.dtype)


def pairwise(factors: list[list[Any]], seed: int = 0) -> list[tuple[Any, ...]]:
    """Rows such that any two values of two factors stand together in one (greedy, the best of some random rows)."""
    rng, chosen = random.Random(seed), []
    left = {
        (i, a, j, b) for i, j in itertools.combinations(range(len(factors)), 2) for a in factors[i] for b in factors[j]
    }

    def met(row: tuple[Any, ...]) -> set[tuple[Any, ...]]:
        return {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(row)), 2)} & left

    while left:
        i, a, j, b = min(left, key=repr)
        tried = []
        for _ in range(20):
            row = [rng.choice(values) for values in factors]
            row[i], row[j] = a, b
            tried.append(tuple(row))
        chosen.append(max(tried, key=lambda row: len(met(row))))
        left -= met(chosen[-1])
    return chosen


def function_of(loss: str | None, y: Tensor) -> Any:
    """What the loss is by hand."""
    if loss is None:
        return NAMED["mse" if y.is_floating_point() else "softmax"]
    return NAMED.get(loss) or PAIRED.get(loss) or OTHERS[loss]


def by_hand(net: nn.Module, loss: str | None, y: Tensor, rule: str) -> dict[str, Tensor] | None:
    """A training as anybody would write it; None where PyTorch refuses, or would compare other rows."""
    function, optimiser = function_of(loss, y), RULES[rule](net.parameters())
    type_ = next(net.parameters()).dtype
    inputs, targets = X.to(type_), y.to(type_) if y.is_floating_point() else y
    orders = [torch.randperm(ROWS, generator=torch_generator(0, "order", epoch)) for epoch in range(2)]
    for rows in [rows for order in orders for rows in order.split(BATCH)][:STEPS]:
        optimiser.zero_grad()
        outputs, wanted = net(inputs[rows]), targets[rows]
        if loss in PAIRED and outputs.shape != wanted.shape:
            return None
        one = outputs.ndim == 1 or outputs.shape[1] == 1
        if loss == "binary" and (one or column(wanted).ndim > 1) and not 0 <= y.double().min() <= y.double().max() <= 1:
            return None
        try:
            function(outputs, wanted).backward()
        except (RuntimeError, ValueError, IndexError, TypeError):
            return None
        optimiser.step()
    return net.state_dict()


def cell_name(cell: tuple[Any, ...]) -> str:
    return ", ".join(map(str, cell))


CELLS = pairwise(FACTORS)


@pytest.mark.parametrize("cell", CELLS, ids=cell_name)
def test_training_equals_the_same_loop_by_hand(cell: tuple[Any, ...]) -> None:
    module, target, loss, form, type_, rule, layout = cell
    y, outputs = TARGETS[target]
    torch.manual_seed(0)
    net = MODULES[module](outputs).to(TYPES[type_])
    given = loss if loss is None or loss in NAMED else PAIRED.get(loss) or OTHERS[loss]
    options = {"rule": rule, "learning_rate": RATE, "batch_size": BATCH, "steps": STEPS, "layout": layout}

    def trained() -> dict[str, Tensor]:
        return luthier.train(net, FORMS[form](y), loss=given, **options).state_dict()

    expected = by_hand(copy.deepcopy(net), loss, y, rule)
    if expected is None:
        with pytest.raises(InputError):
            trained()
        return
    tolerance = 1e-9 if type_ == "double" else 1e-4  # six steps of Adam, which divides rounding by rounding
    torch.testing.assert_close(trained(), expected, rtol=tolerance, atol=tolerance)


def test_most_cells_are_trained_and_not_refused() -> None:
    """The matrix would mean little if nearly all of it were refused."""
    trained = 0
    for module, target, loss, _, type_, rule, _ in CELLS:
        y, outputs = TARGETS[target]
        trained += by_hand(MODULES[module](outputs).to(TYPES[type_]), loss, y, rule) is not None
    assert trained > 60, f"{trained} of {len(CELLS)}"


@pytest.mark.parametrize("name", list(NAMED))
@pytest.mark.parametrize("module", ["chain", "own"])
def test_weights_of_rows_weigh_the_mean(name: str, module: str) -> None:
    y, outputs = TARGETS["classes [N]" if name == "softmax" else "labels [N, 1]"]
    w = torch.rand(ROWS, generator=torch_generator(0, "weights"), dtype=torch.float64)
    net = MODULES[module](outputs).double()
    mean = luthier.train(net, (X, y, w), loss=name, rule="sgd", learning_rate=RATE, batch_size=BATCH, steps=4)
    alone, function = copy.deepcopy(net), NAMED[name]
    optimiser = RULES["sgd"](alone.parameters())
    for rows in torch.randperm(ROWS, generator=torch_generator(0, "order", 0)).split(BATCH):
        optimiser.zero_grad()
        single = torch.stack([function(alone(X[i : i + 1]), y[i : i + 1]) for i in rows])
        (single * w[rows]).sum().div(w[rows].sum()).backward()
        optimiser.step()
    torch.testing.assert_close(mean.state_dict(), alone.state_dict(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "loss", ["a lambda", "MSELoss, sum", "a module", "HuberLoss", None, "mse", "BCEWithLogitsLoss"]
)
def test_a_diagnosis_trains_as_a_plain_loop_does(loss: str | None) -> None:
    """Its losses, step by step."""
    y, _ = TARGETS["labels [N, 1]"]
    net = Own(1).double()
    given = loss if loss is None or loss in NAMED else PAIRED[loss]
    optimiser = torch.optim.SGD(net.parameters(), RATE)
    options = {"validation": (X, y), "batch_size": 25, "steps": STEPS, "controls": False}
    result = luthier.diagnose(net, (X, y), loss=given, optimiser=optimiser, **options)
    alone, function = copy.deepcopy(net), function_of(loss, y)
    optimiser, generator = torch.optim.SGD(alone.parameters(), RATE), torch_generator(0, "batches of a diagnosis")
    losses = []
    for rows in [rows for _ in range(STEPS // 2) for rows in torch.randperm(ROWS, generator=generator).split(25)]:
        optimiser.zero_grad()
        value = function(alone(X[rows]), y[rows])
        value.backward()
        optimiser.step()
        losses.append(float(value.detach()))
    np.testing.assert_allclose(result.trace.losses, losses, rtol=1e-9)
    # What is summed over rows is told of as many rows as a batch has, or no two parts could be compared.
    share = 25 / ROWS if loss == "MSELoss, sum" else 1
    with torch.no_grad():
        assert result.trace.evaluations[-1].validation == pytest.approx(share * float(function(alone(X), y)))


def test_a_search_reports_the_loss_by_hand() -> None:
    y, _ = TARGETS["[N, 1]"]
    options = {"validation": (X, y), "trials": 2, "epochs": 2, "confirm": 2, "workers": 1}
    for name in ("a lambda", "MSELoss, sum", "a module"):
        loss = PAIRED[name]
        result = luthier.tune(lambda h: Own(1).double(), (X, y), {"learning_rate": (1e-3, 1e-1)}, loss=loss, **options)
        best = min(trial.value for trial in result.outcome.final)
        with torch.no_grad():
            assert float(loss(result.module()(X), y)) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("y", [X[:, 0], X[:, :3]], ids=["[N]", "[N, 3]"])
def test_every_function_refuses_a_loss_of_other_rows(y: Tensor) -> None:
    """One output [B, 1]: of targets [N] each is compared with all, of [N, 3] with three."""
    loss, net = PAIRED["a lambda"], Own(1).double()
    rows = custom_loss(lambda Z, t: (Z - t).abs().mean(-1))
    calls: list[Callable[[], Any]] = [
        lambda: luthier.train(net, (X, y), loss=loss, steps=2),
        lambda: luthier.train(net, (X, y), loss=loss, steps=2, layout="vmapped", seeds=2),
        lambda: luthier.train(net, (X, y), loss=rows, steps=2),
        lambda: luthier.find_lr(net, (X, y), loss=loss),
        lambda: luthier.diagnose(net, (X, y), loss=loss, steps=2),
        lambda: luthier.tune(lambda h: net, (X, y), {"learning_rate": (0.1, 0.2)}, loss=loss, trials=1, workers=1),
    ]
    for call in calls:
        with pytest.raises(InputError, match="the loss would compare"):
            call()


def test_a_loss_may_expand_what_it_compares() -> None:
    """Three quantiles of one target: it is stretched on purpose."""
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)

    def pinball(outputs: Tensor, targets: Tensor) -> Tensor:
        gap = targets.expand_as(outputs) - outputs
        return torch.maximum(levels * gap, (levels - 1) * gap).mean()

    y = X[:, :1] + X[:, 1:2]
    result = luthier.train(Own(3).double(), (X, y), loss=pinball, epochs=60, learning_rate=0.02, batch_size=BATCH)
    low, middle, high = result.module()(X).mean(0).tolist()
    assert low < middle < high


class Learnt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, o: Tensor, t: Tensor) -> Tensor:
        return ((o - t) ** 2 * self.scale.exp()).mean() - self.scale.sum()


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, o: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        return ((o - t) ** 2).mean()


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.MSELoss(reduction="none"), "gives no single number"),
        (lambda o, t: ((o - t) ** 2).mean().item(), "gives no single number"),
        (lambda o, t: ((o.detach() - t) ** 2).mean(), "no derivative by the outputs"),
        (lambda o, t: ((o - t.sub_(1)) ** 2).mean(), "changes its targets in place"),
        (Learnt(), "has parameters that would not learn"),
        (Counting(), "keeps a state that changes"),
        (lambda o, t, w: o.mean(), "the loss cannot be computed"),
        (lambda o, t: 1 / 0, "ZeroDivisionError"),
        (3, "the loss is not understood"),
    ],
)
def test_losses_that_cannot_be_meant_are_refused(loss: Any, message: str) -> None:
    y = X[:, :1].clone()
    for call in (
        lambda: luthier.train(Own(1).double(), (X, y), loss=loss, steps=2),
        lambda: luthier.find_lr(Own(1).double(), (X, y), loss=loss),
        lambda: luthier.diagnose(Own(1).double(), (X, y), loss=loss, steps=2),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert torch.equal(y, X[:, :1])


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_adam_on_a_module_in_half_precision_keeps_its_moments_in_single(half: torch.dtype) -> None:
    """In bfloat16 1 - 0.999 is 0, and Adam's divisor with it."""
    torch.manual_seed(0)
    net, y = Own(1).to(half), (X[:, :1] - X[:, 1:2]).float()
    options = {"validation": (X.float(), y), "learning_rate": 0.05, "batch_size": ROWS}
    result = luthier.train(net, (X.float(), y), steps=8, **options)
    alone = copy.deepcopy(net)
    exact = [p.detach().float() for p in alone.parameters()]
    optimiser = torch.optim.Adam(exact, 0.05)
    losses = []
    for _ in range(8):
        alone.zero_grad()
        F.mse_loss(alone(X.to(half)).float(), y).backward()
        for value, p in zip(exact, alone.parameters(), strict=True):
            value.copy_(p.detach())
            value.grad = p.grad.float()
        optimiser.step()
        with torch.no_grad():
            for value, p in zip(exact, alone.parameters(), strict=True):
                p.copy_(value)
            losses.append(float(F.mse_loss(alone(X.to(half)).float(), y)))
    assert all(ours.dtype == half for ours in result.module().parameters())
    # Single roundings of a weight may fall apart by a place of eight binary digits.
    assert result.history.to_frame()["validation_loss"].to_list() == pytest.approx(losses, rel=0.05)
    longer = luthier.train(net, (X.float(), y), epochs=60, **options)
    assert longer.status == ["finished"]
    assert longer.best_validation_loss[0] < 0.3 * result.history.to_frame()["train_loss"][0]


def test_warnings_of_pytorch_are_not_shown() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        luthier.train(Own(1), (X, X[:, :1]), loss=nn.SmoothL1Loss(), steps=2)
        with pytest.raises(InputError):
            luthier.train(Own(1), (X, X[:, 0]), loss=nn.SmoothL1Loss(), steps=2)
