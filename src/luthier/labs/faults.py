"""Faults planted in healthy trainings, one for each check. N rows, F features, C classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.labs.trainings import KNOWN, Case, chain, healthy, rows_of
from luthier.seeds import numpy_generator, torch_generator


def _linear(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


Plant = Callable[[Case, int], Case]


def _deep(activation: str, layers: int, weights: float | None) -> Plant:
    def plant(case: Case, seed: int) -> Case:
        module = chain(case.X.shape[1], [64] * layers, case.classes, activation)
        if weights is not None:
            for layer in module:
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, 0, weights)
        return replace(case, module=module, rule="sgd", rate=1e-3 if weights is None else 1e-9)

    return plant


def _saturated_outputs(case: Case, seed: int) -> Case:
    y = (case.y > case.y.double().median()).float()
    inner = chain(case.X.shape[1], [16], 1, "sigmoid")
    nn.init.constant_(_linear(inner)[-1].bias, 6.0)
    return replace(case, y=y, module=nn.Sequential(inner, nn.Sigmoid()), rule="sgd", rate=0.01)


def _saturated_units(case: Case, seed: int) -> Case:
    module = chain(case.X.shape[1], [32, 32], case.classes, "tanh")
    for layer in module:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 2.0)
    return replace(case, module=module, rate=1e-4)


def _dead(case: Case, seed: int) -> Case:
    module = chain(case.X.shape[1], [32, 32], case.classes, "relu")
    with torch.no_grad():
        _linear(module)[1].bias[:20] = -20.0
    return replace(case, module=module)


class _Log(nn.Module):
    """A logarithm that nobody checked."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x + 2.0)


def _not_finite(case: Case, seed: int) -> Case:
    inner = chain(case.X.shape[1], [16], case.classes, "tanh")
    nn.init.normal_(_linear(inner)[0].weight, 0, 1.0)
    return replace(case, module=nn.Sequential(nn.Linear(case.X.shape[1], case.X.shape[1]), _Log(), inner))


def _jump(case: Case, seed: int) -> Case:
    X, y = case.X.clone(), case.y
    size, count = case.options["batch_size"], 30
    X[20 * size] *= 1e6

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for k in range(count):
            rows = slice(k * size % (len(X) - size), k * size % (len(X) - size) + size)
            rows = slice(k * size, (k + 1) * size) if (k + 1) * size <= len(X) else rows
            yield X[rows], y[rows]

    return replace(
        case, rule="adam", rate=1e-4, data=_Again(batches), options={**case.options, "controls": False, "steps": 25}
    )


class _Again:
    """Batches that can be walked again and again."""

    def __init__(self, make: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self._make()


def _flipped(share: float) -> Callable[[Case, int], Tensor]:
    def flip(case: Case, seed: int) -> Tensor:
        generator = torch_generator(seed, "flips")
        wrong = torch.rand(len(case.y), generator=generator) < share
        other = (case.y + 1 + torch.randint(0, case.classes - 1, (len(case.y),), generator=generator)) % case.classes
        return torch.where(wrong, other, case.y)

    return flip


def _overfitting(case: Case, seed: int) -> Case:
    X, clean = rows_of("blobs", seed)
    y = _flipped(0.25)(replace(case, X=X, y=clean), seed)
    options = {**case.options, "steps": 500, "validation": (X[300:], y[300:])}
    module = chain(8, [128, 128], 4, "relu")
    return replace(case, X=X[:300], y=y[:300], module=module, rule="adam", rate=3e-3, options=options)


def _memorising(case: Case, seed: int) -> Case:
    X, _ = rows_of("digits", seed)
    y = _flipped(0.3)(replace(case, X=X, y=rows_of("digits", seed)[1]), seed)
    module = chain(64, [256], 10, "relu")
    options = {**case.options, "steps": 500, "validation": (X[300:900], y[300:900])}
    return replace(case, X=X[:300], y=y[:300], module=module, rule="adam", rate=5e-3, options=options)


def _label_noise(case: Case, seed: int) -> Case:
    X, y = rows_of("digits", seed)
    result = replace(case, X=X, y=y, module=chain(64, [64], 10, "relu"), rule="adam", rate=2e-3)
    return replace(result, y=_flipped(0.12)(result, seed))


def _imbalance(case: Case, seed: int) -> Case:
    X, y = rows_of("digits", seed)
    rare = torch.cat([(y != 3).nonzero().flatten(), (y == 3).nonzero().flatten()[:15]])
    return replace(case, X=X[rare], y=y[rare], module=chain(64, [32], 10, "relu"))


def _column(make: Callable[[Case, np.random.Generator], Any]) -> Plant:
    """A case with one more feature."""

    def plant(case: Case, seed: int) -> Case:
        extra = torch.as_tensor(make(case, numpy_generator(seed, "extra")), dtype=torch.float32)
        X = torch.cat([case.X, extra.unsqueeze(1)], 1)
        return replace(case, X=X, module=chain(X.shape[1], [32], case.classes, "relu"))

    return plant


def _large(seed_rows: str) -> Plant:
    def plant(case: Case, seed: int) -> Case:
        X, y = rows_of(seed_rows, seed)
        return replace(
            case, X=X, y=y, module=chain(X.shape[1], [32], 1 if y.is_floating_point() else int(y.max()) + 1, "relu")
        )

    return plant


def _then(first: Plant, second: Plant) -> Plant:
    return lambda case, seed: second(first(case, seed), seed)


def _drift(case: Case, seed: int) -> Case:
    X, y = case.X, case.y
    cut = len(X) * 3 // 4
    V = X[cut:].clone()
    V[:, 0] += 1.5
    return replace(case, X=X[:cut], y=y[:cut], options={**case.options, "validation": (V, y[cut:])})


def _shared(case: Case, seed: int) -> Case:
    cut = len(case.X) * 3 // 4
    V, w = case.X[cut - len(case.X) // 8 :], case.y[cut - len(case.X) // 8 :]
    return replace(case, X=case.X[:cut], y=case.y[:cut], options={**case.options, "validation": (V, w)})


def _no_signal(case: Case, seed: int) -> Case:
    X, y = rows_of("blobs", seed)
    order = torch.randperm(len(y), generator=torch_generator(seed, "permuted"))
    return replace(case, X=X, y=y[order], module=chain(8, [32], 4, "relu"))


def _tiny_batches(case: Case, seed: int) -> Case:
    module = chain(case.X.shape[1], [32], case.classes, "relu", norm=True)
    return replace(case, module=module, options={**case.options, "batch_size": 2})


def _dropout_first(case: Case, seed: int) -> Case:
    layers = [
        nn.Linear(case.X.shape[1], 32),
        nn.Dropout(0.5),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, case.classes),
    ]
    return replace(case, module=nn.Sequential(*layers))


def _slow_norm(case: Case, seed: int) -> Case:
    module = chain(case.X.shape[1], [32], case.classes, "relu", norm=True)
    for layer in module:
        if isinstance(layer, nn.BatchNorm1d):
            layer.momentum = 1e-4
        if isinstance(layer, nn.Linear) and layer.in_features == case.X.shape[1]:
            nn.init.constant_(layer.bias, 3.0)
    return replace(case, module=module)


def _softmax_twice(case: Case, seed: int) -> Case:
    X, y = rows_of("blobs", seed)
    return replace(case, X=X, y=y, module=nn.Sequential(chain(8, [32], 4, "relu"), nn.Softmax(dim=1)))


def _both_saturate(case: Case, seed: int) -> Case:
    generator = torch_generator(seed, "line")
    X = torch.randn(2000, 4, generator=generator)
    y = X[:, 0] + 0.5 * torch.randn(2000, generator=generator)
    return replace(
        case, X=X, y=y, module=nn.Linear(4, 1), rule="adam", rate=5e-3, options={**case.options, "steps": 1000}
    )


def _waiting(case: Case, seed: int) -> Case:
    size = case.options["batch_size"]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in zip(torch.split(case.X, size), torch.split(case.y, size), strict=True):
            time.sleep(0.01)
            if len(x) == size:
                yield x, y

    return replace(case, data=_Again(batches), options={**case.options, "steps": 60})


def _sorted(case: Case, seed: int) -> Case:
    order, size = case.y.argsort(), case.options["batch_size"]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.split(order, size):
            if len(rows) == size:
                yield case.X[rows], case.y[rows]

    return replace(case, data=_Again(batches))


def _plateau(case: Case, seed: int) -> Case:
    module = chain(case.X.shape[1], [32] * 6, case.classes, "sigmoid")
    return replace(case, module=module, rule="sgd", rate=0.02)


def _short(case: Case, seed: int) -> Case:
    return replace(case, rule="adam", rate=7e-4, options={**case.options, "steps": 80})


def _constant(case: Case, rng: np.random.Generator) -> Any:
    return np.full(len(case.X), 3.0)


def _leak(case: Case, rng: np.random.Generator) -> Any:
    return case.y.numpy() + 1e-3 * rng.normal(size=len(case.X))


def _unhealthy_inputs(case: Case, seed: int) -> Case:
    X = case.X.clone()
    X[7, 1] = float("nan")
    return replace(case, X=X)


FAULTS: dict[str, Plant] = {
    "not-finite": _not_finite,
    "rate-too-high": lambda case, seed: replace(case, rate=case.rate * 2000),
    "rate-too-low": lambda case, seed: replace(case, rate=case.rate * 1e-4),
    "saturated-outputs": _saturated_outputs,
    "saturated-units": _saturated_units,
    "dead-relu": _dead,
    "vanishing-gradients": _deep("sigmoid", 8, None),
    "exploding-gradients": _then(_large("waves"), _jump),
    "activations-grow": _deep("relu", 8, 1.0),
    "activations-fade": _deep("tanh", 8, 0.01),
    "data-wait": _waiting,
    "underfitting": lambda case, seed: replace(case, decay=30.0, rule="adam", rate=1e-3),
    "plateau": _plateau,
    "overfitting": _overfitting,
    "memorising": _memorising,
    "still-improving": _short,
    "both-saturate": _both_saturate,
    "batch-norm-tiny-batches": _tiny_batches,
    "dropout-before-batch-norm": _dropout_first,
    "softmax-twice": _softmax_twice,
    "batch-norm-drift": _slow_norm,
    "inputs-not-finite": _unhealthy_inputs,
    "constant-inputs": _column(_constant),
    "unscaled-inputs": _column(lambda case, rng: 1e4 * rng.normal(size=len(case.X))),
    "class-imbalance": _imbalance,
    "leaking-column": _then(_large("blobs"), _column(_leak)),
    "identifier-as-feature": _column(lambda case, rng: rng.permutation(len(case.X))),
    "duplicates-across-splits": _shared,
    "validation-drift": _drift,
    "unshuffled-batches": _sorted,
    "no-signal": _no_signal,
    "label-noise": _label_noise,
}


def planted(code: str, seed: int, names: tuple[str, ...] = KNOWN) -> Case:
    """A healthy case with one fault in it."""
    few = tuple(name for name in names if name != "digits")  # of pictures a constant pixel is no fault
    case = healthy(seed, few if code.endswith(("-inputs", "-feature")) else names)
    torch.manual_seed(seed + 1)
    return FAULTS[code](case, seed)
