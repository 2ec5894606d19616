"""The learning-rate range test on a module of the user's own, which is left exactly as it was.

S steps, K seeds. Everything happens on a copy of module and optimiser; the random generators and the
loader's are put back, also when the test is interrupted.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from luthier.engine.range_test import FACTORS, RangeTest, ramp_until_it_tells
from luthier.errors import InputError, in_a_line
from luthier.seeds import torch_generator

Criterion = Callable[[Any, Any], Tensor]


def find_lr(
    module: nn.Module,
    data: Any,
    *,
    loss: Criterion | None = None,
    optimiser: Optimizer | None = None,
    batch_size: int = 64,
    seeds: int = 3,
    steps: int = 100,
    low: float = 1e-6,
    high: float = 10.0,
    confirm: bool = True,
) -> RangeTest:
    """Learning rates to try for a module: raise the rate over mini-batches and read the loss.

    `data` is a pair of tensors or arrays (X [N, ...], y [N, ...]), or an iterable of batches (x, y)
    such as a DataLoader. `loss` takes (outputs, targets); without it whole-number targets get
    cross-entropy and others the mean squared error. `optimiser` is yours, with its state; its groups
    keep their rates' ratios, and rates are those of the fastest group. Without it Adam is used.

    Each of the `seeds` starts from the module's present weights with batches and dropout of its own.
    The range is widened when the loss never fell or never diverged. With `confirm`, short runs at a
    half, one and two times the pick choose among them. Nothing of yours is changed: weights,
    buffers, modes, the optimiser's state, gradients, generators.

    Raises InputError for data without rows or a module that cannot be copied.

    >>> net = nn.Linear(3, 1)
    >>> X = torch.randn(64, 3, generator=torch_generator(0))
    >>> found = find_lr(net, (X, X.sum(1, keepdim=True)), optimiser=torch.optim.SGD(net.parameters(), 0.1))
    >>> 1e-4 < found.pick < 10
    True
    """
    if seeds < 1 or steps < 10:
        raise InputError("the range test is too short", expected="at least 1 seed and 10 steps")
    optimiser = optimiser if optimiser is not None else torch.optim.Adam(module.parameters())
    runs = _Runs(module, optimiser, data, loss, batch_size)
    with left_alone(data):
        result = ramp_until_it_tells(
            lambda rates: np.stack([runs.losses(rates, seed) for seed in range(seeds)]),
            name=type(optimiser).__name__,
            steps=steps,
            low=low,
            high=high,
        )
        if confirm:
            result = result.confirmed(_confirm(runs, result.pick, seeds, steps))
    return result


def _confirm(runs: _Runs, pick: float, seeds: int, steps: int) -> list[dict[str, float | None]]:
    """The median over seeds of the last fifth's mean loss at each multiple of the pick; None where it diverged."""
    result: list[dict[str, float | None]] = []
    for factor in FACTORS:
        rates = np.full(steps, pick * factor)
        tails = [runs.losses(rates, seed)[-max(1, steps // 5) :].mean() for seed in range(seeds)]
        median = float(np.median(np.where(np.isfinite(tails), tails, np.inf)))
        result.append({"factor": factor, "rate": pick * factor, "loss": median if np.isfinite(median) else None})
    return result


class _Runs:
    """Short trainings from the same start, each on a copy."""

    def __init__(
        self, module: nn.Module, optimiser: Optimizer, data: Any, loss: Criterion | None, batch_size: int
    ) -> None:
        self.start = (module, optimiser)
        self.data, self.loss, self.batch_size = data, loss, batch_size
        rates = [float(group["lr"]) for group in optimiser.param_groups]
        fastest = max(rates)
        self.ladder = [rate / fastest if fastest > 0 else 1.0 for rate in rates]
        place = next(iter(module.parameters()), None)
        if place is None:
            raise InputError("the module has no parameters", remedy="run it once if its layers are lazy")
        self.device = place.device

    def losses(self, rates: np.ndarray, seed: int) -> np.ndarray:
        """Training losses [S] under the rates [S], NaN from where they stop being finite."""
        try:
            module, optimiser = copy.deepcopy(self.start)  # together, so that the copies belong to each other
        except (RuntimeError, TypeError) as error:
            raise InputError(
                "the module cannot be copied",
                received=in_a_line(error),
                remedy="detach tensors that it keeps from earlier forward passes",
            ) from error
        module.train()
        torch.manual_seed(seed)
        losses = np.full(len(rates), np.nan)
        for step, (rate, (x, y)) in enumerate(zip(rates, self._batches(seed), strict=False)):
            for group, share in zip(optimiser.param_groups, self.ladder, strict=True):
                group["lr"] = float(rate) * share
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                loss = self._loss(module(_to(x, self.device)), _to(y, self.device))
                loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses[step] = loss.item()
            if not np.isfinite(losses[step]):
                break
        return losses

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.loss is not None:
            return self.loss(outputs, targets)
        if targets.is_floating_point():
            return F.mse_loss(outputs.reshape(targets.shape), targets.to(outputs.dtype))
        return F.cross_entropy(outputs, targets.long())

    def _batches(self, seed: int) -> Iterator[tuple[Any, Any]]:
        """Batches without end."""
        if isinstance(self.data, tuple) and len(self.data) == 2:
            yield from self._shuffled(seed)
        while True:
            empty = True
            for x, y in self.data:
                empty = False
                yield x, y
            if empty:
                raise InputError(
                    "the data yields no batches",
                    expected="an iterable of (x, y) that can be iterated repeatedly, such as a DataLoader",
                    received=type(self.data).__name__,
                )

    def _shuffled(self, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        X, y = (torch.as_tensor(part) for part in self.data)
        if len(X) == 0 or len(X) != len(y):
            raise InputError(
                "features and targets differ in length",
                expected="the same number of rows in both, at least one",
                received=f"{len(X)} and {len(y)} rows",
            )
        generator = torch_generator(seed, "range test batches")
        while True:
            order = torch.randperm(len(X), generator=generator)
            for start in range(0, len(X), self.batch_size):
                rows = order[start : start + self.batch_size]
                yield X[rows], y[rows]


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


@contextmanager
def left_alone(data: Any) -> Iterator[None]:
    """Put every generator back afterwards: PyTorch's on all devices, NumPy's, Python's, the loader's own."""
    holders = (data, *(getattr(data, name, None) for name in ("sampler", "batch_sampler", "dataset")))
    generators = _distinct(getattr(holder, "generator", None) for holder in holders)
    states = [generator.get_state() for generator in generators]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _distinct(found: Iterable[Any]) -> list[torch.Generator]:
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())
