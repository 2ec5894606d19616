"""`luthier.diagnose`: train a copy of a module for a moment, look closely, and say what is wrong.

N rows, C outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.diagnosis.checks.data_rows import check_order, check_rows
from luthier.diagnosis.checks.layers import usual_update
from luthier.diagnosis.controls import label_noise, rate_fits, signal, some_rows, tells_something, trivial_loss
from luthier.diagnosis.findings import Diagnosis, diagnosis_of
from luthier.diagnosis.trace import Trace
from luthier.diagnosis.training_monitor import TrainingMonitor
from luthier.engine import Part, part_of
from luthier.engine.api import loss_for
from luthier.engine.find_lr import left_alone
from luthier.errors import InputError
from luthier.objective import Criterion, Loss, loss_named
from luthier.records import Finding
from luthier.seeds import torch_generator

HELD_OUT = 0.2
PARTS = 20  # of the validation rows: their losses tell the noise
EVALUATIONS = 15
EARLY_LOOKS = (5, 10, 20, 40)  # steps: few rows are learnt by heart before the first regular look
EVALUATED_ROWS = 2000
CONTROL_ROWS = 3000


def diagnose(
    module: nn.Module,
    data: Any,
    *,
    validation: Any = None,
    loss: Any = None,
    optimiser: torch.optim.Optimizer | None = None,
    batch_size: int = 64,
    steps: int = 300,
    controls: bool = True,
    seed: int = 0,
) -> Diagnosis:
    """Diagnose why a module does or does not learn from data, and what to try.

    A copy of the module (and of your `optimiser`, with its rates; without one Adam at 1e-3) trains for
    `steps` while every layer is probed; learning curves, rows, batches and structure are checked. With
    `controls` three experiments follow: a range test compared with your rate, training on shuffled targets, and
    labels that networks trained without them call wrong. `data` is as for `luthier.train`, or batches such
    as a DataLoader, whose order is then checked too; without `validation` a fifth of the rows is held out.

    Nothing of yours is changed. Raises InputError for arrays that differ in length.

    >>> X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    >>> net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    >>> fast = torch.optim.SGD(net.parameters(), lr=100.0)
    >>> found = diagnose(net, (X, X[:, 0]), optimiser=fast, steps=30, controls=False)
    >>> found.findings[0].code
    'not-finite'
    """
    part, held_out = _parts(data, validation, seed)
    chosen = loss_for(part.targets, loss)
    with left_alone(data):
        others = check_rows(part, held_out) if _numeric(part) else []
        if any(finding.code == "inputs-not-finite" for finding in others):
            return diagnosis_of(Trace(), others=others)
        copies = _copies(module, optimiser)
        trace, batches = _train(*copies, data, part, held_out, chosen, batch_size, steps, seed)
        if (finding := check_order(batches)) is not None and not isinstance(data, tuple | Part):
            others.append(finding)
        measured: dict[str, Any] = {}
        if controls and trace.birth is None and trace.loss:
            others += _controls(_copies(module, optimiser), part, held_out, trace, batch_size, measured)
    features = part.features.double()
    return diagnosis_of(trace, others=others, measured=measured, inputs=(float(features.mean()), float(features.std())))


def _parts(data: Any, validation: Any, seed: int) -> tuple[Part, Part]:
    part = _collected(data)
    if validation is not None:
        return part, _collected(validation)
    if len(part) < 10:
        raise InputError("there are too few rows for a validation set", expected="at least 10", received=str(len(part)))
    order = torch.randperm(len(part), generator=torch_generator(seed, "held out"))
    count = max(2, round(HELD_OUT * len(part)))
    return part.rows(order[count:].sort().values), part.rows(order[:count].sort().values)


def _collected(data: Any) -> Part:
    """Rows as they are; those that are not finite are a finding, not an error."""
    if isinstance(data, tuple) and len(data) == 2:
        X, y = (torch.as_tensor(piece) for piece in data)
        if X.ndim >= 2 and len(X) == len(y) and len(X) and not bool(X.float().isfinite().all()):
            y = y if y.is_floating_point() else y.long()
            return Part(
                X, torch.zeros(len(X), 0, dtype=torch.int64), y.squeeze(1) if y.ndim == 2 and y.shape[1] == 1 else y
            )
    return part_of(data)


def _numeric(part: Part) -> bool:
    return part.features.is_floating_point()


def _copies(module: nn.Module, optimiser: torch.optim.Optimizer | None) -> tuple[nn.Module, torch.optim.Optimizer]:
    if optimiser is None:
        alone = copy.deepcopy(module)
        return alone, torch.optim.Adam(alone.parameters())
    return copy.deepcopy((module, optimiser))


def _train(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    data: Any,
    part: Part,
    held_out: Part,
    chosen: str | Loss | Criterion,
    batch_size: int,
    steps: int,
    seed: int,
) -> tuple[Trace, list[Tensor]]:
    name = chosen if isinstance(chosen, str) else ""
    measure = _measure(chosen)
    torch.manual_seed(seed)
    module.train()
    every = max(1, steps // EVALUATIONS)
    targets: list[Tensor] = []
    looked = some_rows(part, EVALUATED_ROWS), some_rows(held_out, EVALUATED_ROWS)
    with TrainingMonitor(module, every=max(1, steps // 20), loss=name) as watch:
        watch.trace.trivial = trivial_loss(part.targets, name)
        for step, (x, y) in enumerate(_batches(data, part, batch_size, seed)):
            if step == steps or watch.trace.birth is not None:
                break
            optimiser.zero_grad(set_to_none=True)
            value = measure(module(x), y)
            value.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            watch.step(value)
            if len(targets) < 200:
                targets.append(y)
            if (step + 1) % every == 0 or step + 1 in EARLY_LOOKS:
                _evaluate(watch, module, *looked, measure)
        _see_saturated_outputs(watch.trace, module, looked[0], name)
    return watch.trace, targets


def _batches(data: Any, part: Part, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches without end: shuffled rows, or the loader's own."""
    dtype = torch.get_default_dtype()
    if not isinstance(data, tuple | Part) and isinstance(data, Iterable):
        while True:
            for x, y, *_ in data:
                yield (x.to(dtype) if x.is_floating_point() else x), y
    generator = torch_generator(seed, "batches of a diagnosis")
    while True:
        order = torch.randperm(len(part), generator=generator)
        for rows in torch.split(order, batch_size):
            if len(rows) == min(batch_size, len(part)):
                yield part.features[rows], part.targets[rows]


def _measure(chosen: str | Loss | Criterion) -> Callable[[Any, Tensor], Tensor]:
    """Outputs and targets to a mean loss, with gradients."""
    if isinstance(chosen, Criterion):
        return chosen.function

    def of(outputs: Tensor, targets: Tensor) -> Tensor:
        if chosen == "softmax" and targets.ndim == 1:
            return F.cross_entropy(outputs, targets.long())
        if chosen == "mse":
            return F.mse_loss(outputs.reshape(targets.shape), targets.to(outputs.dtype))
        Z = outputs.unsqueeze(-1) if outputs.ndim == 1 else outputs
        return loss_named(chosen).mean(Z.unsqueeze(0), targets)[0]

    return of


@torch.no_grad()
def _evaluate(
    watch: TrainingMonitor, module: nn.Module, part: Part, held_out: Part, measure: Callable[..., Tensor]
) -> None:
    module.eval()
    result = []
    for rows in (part, held_out):
        outputs = torch.cat([module(x) for x in torch.split(rows.features, 1024)])
        pieces = zip(torch.tensor_split(outputs, PARTS), torch.tensor_split(rows.targets, PARTS), strict=True)
        parts = tuple(float(measure(z, y)) for z, y in pieces if len(y))
        result.append((float(measure(outputs, rows.targets)), parts, _score(outputs, rows.targets)))
    module.train()
    (training, training_parts, training_score), (validation, parts, score) = result
    watch.evaluated(
        training,
        validation,
        training_score=training_score,
        validation_score=score,
        validation_parts=parts,
        training_parts=training_parts,
        validation_rows=len(held_out),
    )


def _score(outputs: Tensor, targets: Tensor) -> float | None:
    if targets.is_floating_point() or targets.ndim > 1:
        return None
    one = outputs.ndim == 1 or outputs.shape[1] == 1
    classes = (outputs.reshape(-1) > 0).long() if one else outputs.argmax(1)
    return float((classes == targets).double().mean())


@torch.no_grad()
def _see_saturated_outputs(trace: Trace, module: nn.Module, part: Part, loss: str) -> None:
    """The share of sigmoid outputs that lie at the wrong end under a quadratic loss."""
    last = trace.layers[-1] if trace.layers else None
    if loss not in ("mse", "quadratic") or last is None or last.kind != "sigmoid":
        return
    module.eval()
    outputs = module(part.features)
    wanted = part.targets.reshape(outputs.shape) if part.targets.is_floating_point() else None
    if wanted is not None:
        near = (outputs < 0.05) | (outputs > 0.95)  # there the sigmoid's slope is a fifth of its best
        trace.wrong_saturated = float((near & ((outputs - wanted).abs() > 0.5)).double().mean())


def _controls(
    copies: tuple[nn.Module, torch.optim.Optimizer],
    part: Part,
    held_out: Part,
    trace: Trace,
    batch_size: int,
    measured: dict[str, Any],
) -> list[Finding]:
    module, optimiser = copies
    loss = trace.loss
    rows, checked = some_rows(part, CONTROL_ROWS), some_rows(held_out, EVALUATED_ROWS)
    tail = trace.losses[-max(3, len(trace.losses) // 10) :]
    fell = 1 - float(np.mean(tail)) / max(trace.losses[0], 1e-30)
    rate, measured["rate"] = rate_fits(
        module,
        (rows.features, rows.targets),
        loss=None,
        optimiser=optimiser,
        batch_size=batch_size,
        fell=fell,
        update=usual_update(trace) or 0.0,
    )
    result = [] if rate is None else [rate]
    if loss not in ("softmax", "binary", "mse"):
        return result
    if not tells_something(trace.evaluations, part.targets, checked.targets, loss):
        none, measured["signal"] = signal(module, rows, checked, loss, batch_size=batch_size)
        if none is not None:
            return [*result, none]
    if loss != "mse":
        wrong, measured["suspects"] = label_noise(module, rows, loss, batch_size=batch_size)
        result += [] if wrong is None else [wrong]
    return result
