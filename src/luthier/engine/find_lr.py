"""The learning-rate range test on a module of the user's own, which is left exactly as it was.

S steps, K seeds. Everything happens on copies of module and optimiser; the random generators and the
loader's are put back, also when the test is interrupted.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from luthier.engine.members.devices import resolve
from luthier.engine.plain_loop import Loop, optimiser_for
from luthier.engine.populations.loaders import Given
from luthier.engine.range_test import RangeTest, Trial, ramp_until_it_tells, while_too_low
from luthier.errors import ConfigError, LuthierError
from luthier.machine import torch_settings
from luthier.objective import AnyLoss

FELL = 0.99  # of the loss at the start: each batch is compared with itself, so that a hundredth is no noise
CLEARLY = 0.9  # of it: what falls further needs no second look
SURE = 3.0  # standard errors


@torch_settings()
def find_lr(
    module: nn.Module,
    data: Any,
    *,
    loss: AnyLoss | None = None,
    optimiser: Optimizer | None = None,
    batch_size: int = 64,
    seeds: int = 3,
    steps: int = 100,
    low: float = 1e-6,
    high: float = 10.0,
    confirm: bool = True,
    device: str | torch.device | None = None,
) -> RangeTest:
    """Learning rates to try for a `module`: raise the rate over mini-batches and read the loss.

    `data` and `loss` are as for `luthier.train`; the batches of a loader are walked through as they come, in its
    order. `optimiser` is yours, with its state; its groups keep their rates' ratios, and rates are those of the
    fastest group. Without it Adam is used.

    The rate rises from `low` to `high` in so many `steps` of `batch_size` rows. Each of the `seeds` starts from the
    module's present weights with batches and dropout of its own. So that what is read is not which rows a batch happens
    to hold, a loss is given relative to the untrained module's on the same batch. The range is widened when the loss
    never fell or never diverged. With `confirm`, short runs at a half, one and two times the pick choose among them.
    The test runs where the module lies, or on the `device` "cpu", "cuda", "cuda:1", "mps", or "auto" for an accelerator
    where there is one. Nothing of yours is changed: weights, buffers, modes, the optimiser's state, gradients,
    generators.

    Raises InputError for data, modules, losses and optimisers that do not go together, and LuthierError where no rate
    is found: because the loss falls no further than it does on shuffled targets.

    >>> net = nn.Linear(3, 1)
    >>> X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> found = find_lr(net, (X, X.sum(1, keepdim=True)), optimiser=torch.optim.SGD(net.parameters(), 0.1))
    >>> 1e-4 < found.pick < 10
    True
    """
    _check(batch_size=batch_size, seeds=seeds, steps=steps, low=low, high=high)
    with left_alone(data):
        where = None if device is None else resolve(device)
        loop = Loop(module, data, loss, batch_size, name="range test batches", device=where)
        runs = _Runs(module, optimiser, loop)
        result = ramp_until_it_tells(
            lambda rates: np.stack([runs.losses(rates, seed) for seed in range(seeds)]),
            name=type(runs.start[1]).__name__,
            steps=steps,
            low=low,
            high=high,
            fell=FELL,
        )
        known = [value for value in result.losses if value is not None]
        if not known or min(known) > CLEARLY * known[0]:
            _see_signal(runs, result.pick, seeds, max(steps, 20))
        if confirm:
            result = result.confirmed(_confirm(runs, result.pick, seeds, steps))
    return result


def _check(**given: Any) -> None:
    least = {"batch_size": 1, "seeds": 1, "steps": 10}
    mistakes = [
        f"{name} must be at least {fewest}, and a whole number, not {given[name]!r}"
        for name, fewest in least.items()
        if not isinstance(given[name], int) or given[name] < fewest
    ]
    low, high = given["low"], given["high"]
    if not all(isinstance(rate, int | float) for rate in (low, high)) or not 0 < low < high < float("inf"):
        mistakes.append(f"low and high are rates above 0, the lower one first, not {low!r} and {high!r}")
    if mistakes:
        raise ConfigError(mistakes)


def _confirm(runs: _Runs, pick: float, seeds: int, steps: int) -> list[Trial]:
    """Short runs around the pick, one seed after another."""

    def losses(rates: Sequence[float]) -> np.ndarray:
        return np.array([[runs.losses(np.full(steps, rate), seed) for seed in range(seeds)] for rate in rates])

    return while_too_low(pick, losses)


def _see_signal(runs: _Runs, pick: float, seeds: int, steps: int) -> None:
    """LuthierError unless training at the pick lowers the loss on other rows further than shuffled targets do.

    What a fresh network answers by chance is unlearnt whatever the targets are, and single rows are learnt by any.
    """
    gains = np.concatenate([runs.gains(pick, steps, seed) for seed in range(seeds)])
    gains = np.where(np.isfinite(gains), gains, 0.0)  # where half precision overflowed nothing is gained
    mean, error = float(gains.mean()), float(np.std(gains, ddof=1) / np.sqrt(len(gains)))
    if mean > SURE * error:
        return
    raise LuthierError(
        "no rate found: training lowers the loss no further than training on shuffled targets does",
        expected=f"a gain on rows that were left out, beyond {SURE:g} standard errors",
        received=f"{mean:.2g}, with a standard error of {error:.2g}, after {steps} steps at a rate of {pick:.2g}",
        remedy="more steps=, or a larger batch_size, show smaller gains; luthier.diagnose looks for a reason",
    )


class _Runs:
    """Short trainings from the same start, each on a copy."""

    def __init__(self, module: nn.Module, optimiser: Optimizer | None, loop: Loop) -> None:
        self.start = module, optimiser_for(module, optimiser)
        self.loop = loop
        rates = [float(group["lr"]) for group in self.start[1].param_groups]
        fastest = max(rates)
        self.ladder = [rate / fastest if fastest > 0 else 1.0 for rate in rates]

    def losses(self, rates: np.ndarray, seed: int) -> np.ndarray:
        """Losses [S] under the rates [S], each before its step; NaN from where they stop being finite.

        Batches differ by chance in how hard they are, by more than training changes in a hundred steps. So each loss is
        divided by the untrained module's on the same batch, and multiplied by that one's mean.
        """
        (module, optimiser), (untrained, _) = self._copies(), self._copies()
        torch.manual_seed(seed)
        result = np.full((2, len(rates)), np.nan)
        for step, (rate, batch) in enumerate(zip(rates, self.loop.batches(seed), strict=False)):
            before = torch.random.get_rng_state()
            with torch.no_grad():
                result[1, step] = float(self.loop.loss(untrained, batch))
            torch.random.set_rng_state(before)  # the same masks
            result[0, step] = self._step(module, optimiser, batch, rate)
            if not np.isfinite(result[0, step]):
                break
        return _relative(*result)

    def gains(self, rate: float, steps: int, seed: int) -> np.ndarray:
        """By how much training lowers the loss on batches that were left out, over training on shuffled targets.

        Of the second half of the steps.
        """
        copies = self._copies(), self._copies()
        torch.manual_seed(seed)
        seen, left_out = self.loop.halves(seed)
        result = []
        for step in range(steps):
            batch, other = next(seen), next(left_out)
            if step >= steps // 2:
                with torch.no_grad():
                    ours, theirs = (float(self.loop.loss(module, other)) for module, _ in copies)
                result.append(theirs - ours)
            shuffled = batch._replace(y=batch.y[torch.randperm(len(batch.y))])
            for (module, optimiser), some in zip(copies, (batch, shuffled), strict=True):
                self._step(module, optimiser, some, rate)
        return np.array(result)

    def _copies(self) -> tuple[nn.Module, Optimizer]:
        """Module and optimiser, copied together, so that the copies belong to each other."""
        module, optimiser = self.loop.copied(self.start)
        return self.loop.moved(module, optimiser)[0].train(), optimiser

    def _step(self, module: nn.Module, optimiser: Optimizer, batch: Given, rate: float) -> float:
        """One step, if the loss is finite; the loss before it."""
        for group, share in zip(optimiser.param_groups, self.ladder, strict=True):
            group["lr"] = float(rate) * share
        optimiser.zero_grad(set_to_none=True)
        value = self.loop.loss(module, batch)
        if bool(value.isfinite()):
            self.loop.step(optimiser, value)
        return float(value.detach())


def _relative(losses: np.ndarray, untrained: np.ndarray) -> np.ndarray:
    """Losses [S] without the chance of their batches: by their ratio to the untrained module's, or the difference."""
    known = untrained[np.isfinite(untrained)]
    if not len(known):
        return losses
    positive = bool((known > 0).all()) and bool((losses[np.isfinite(losses)] >= 0).all())
    return np.asarray(losses * (known.mean() / untrained) if positive else losses - untrained + known.mean())


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
