"""`luthier.diagnose`: train a copy of a module for a moment, look closely, and say what is wrong.

N rows, C outputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from luthier.diagnosis.checks.data_rows import check_order, check_rows
from luthier.diagnosis.checks.layers import usual_update
from luthier.diagnosis.checks.trace import Trace
from luthier.diagnosis.controls import (
    are_labels,
    label_noise,
    rate_fits,
    signal,
    some_rows,
    tells_something,
    trivial_loss,
)
from luthier.diagnosis.findings import Diagnosis, diagnosis_of
from luthier.diagnosis.training_monitor import TrainingMonitor
from luthier.engine.api import alike
from luthier.engine.find_lr import left_alone
from luthier.engine.members.devices import AUTO, resolve
from luthier.engine.plain_loop import Loop, optimiser_for
from luthier.engine.populations.loaders import Given, bad_rows, has_columns, rows_of
from luthier.errors import InputError
from luthier.machine import torch_settings
from luthier.objective import loss_by_name
from luthier.records import Finding, JsonValue
from luthier.rows import Rows
from luthier.seeds import torch_generator

HELD_OUT = 0.2
PARTS = 20  # of the validation rows: their losses tell the noise
EVALUATIONS = 15
EARLY_LOOKS = (5, 10, 20, 40)  # steps: few rows are learnt by heart before the first regular look
EVALUATED_ROWS = 2000
CONTROL_ROWS = 3000


@torch_settings()
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
    device: str | torch.device = AUTO,
    seed: int = 0,
) -> Diagnosis:
    """Diagnose why a module does or does not learn from data, and what to try.

    A copy of the `module` (and of your `optimiser`, with its rates; without one Adam at 1e-3) trains for `steps` of
    `batch_size` rows while every layer is probed; learning curves, rows, batches and structure are checked. With
    `controls` three experiments follow: a range test compared with your rate, training on shuffled targets, and labels
    that networks trained without them call wrong. `data` is as for `luthier.train`, or batches such as a DataLoader,
    whose order is then looked at too; without `validation` a fifth of the rows is held out, and left out of a loader's
    batches. `loss` is as for `luthier.train`, `seed` draws rows and batches. It trains on the `device` "cpu", "cuda",
    "cuda:1" or "mps"; "auto" is where the module lies.

    Nothing of yours is changed. Raises InputError for arrays that differ in length, and for a device that is not there.

    >>> X = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    >>> net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
    >>> fast = torch.optim.SGD(net.parameters(), lr=100.0)
    >>> found = diagnose(net, (X, X[:, 0]), optimiser=fast, steps=30, controls=False)
    >>> found.findings[0].code
    'not-finite'
    """
    if not isinstance(steps, int) or steps < 1 or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError("steps and batch_size are whole numbers of at least 1", received=f"{steps!r}, {batch_size!r}")
    optimiser = None if optimiser is None else optimiser_for(module, optimiser)
    module, optimiser = _placed(module, optimiser, device)
    with left_alone(data):
        part, held_out = _parts(data, validation, seed)
        own = not (isinstance(data, Rows) or has_columns(data))  # batches of a loader, in an order of its own
        loop = Loop(module, data if own else part, loss, batch_size, name="batches of a diagnosis", finite=False)
        part, held_out = loop.rows(part), loop.rows(held_out)
        others = check_rows(part, held_out) if part.numbers.is_floating_point() else []
        if any(finding.code == "inputs-not-finite" for finding in others):
            return diagnosis_of(Trace(), others=others)
        kept_back = _hashes(held_out) if own and validation is None else set()
        copies = _copies(loop, module, optimiser)
        trace, targets = _train(*copies, loop, _WatchedRows(part, held_out, kept_back), steps, seed)
        if own and (finding := check_order(targets)) is not None:
            others.append(finding)
        measured: dict[str, JsonValue] = {}
        if controls and trace.birth is None and trace.loss:
            others += _controls(_copies(loop, module, optimiser), part, held_out, trace, batch_size, measured)
    features = part.numbers.double()
    return diagnosis_of(trace, others=others, measured=measured, inputs=(float(features.mean()), float(features.std())))


def _placed(
    module: nn.Module, optimiser: torch.optim.Optimizer | None, device: str | torch.device
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Copies on a device; where none is named, the user's own, of which copies are made later."""
    if device == AUTO:
        return module, optimiser
    copied, its = Loop.copied((module, optimiser))
    before = list(map(id, copied.parameters()))
    copied.to(resolve(device))
    if its is not None:
        moved, state = dict(zip(before, copied.parameters(), strict=True)), its.state_dict()
        for group in its.param_groups:
            group["params"] = [moved[id(parameter)] for parameter in group["params"]]
        its.state.clear()
        its.load_state_dict(state)  # moments go to where the parameters are
    return copied, its


def _parts(data: Any, validation: Any, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to look at. Inputs that are not finite are a finding, not an error; targets are not."""
    part = rows_of(data)
    if len(part.inputs) > 1:
        received = ", ".join(part.inputs)
        raise InputError("diagnose takes one array of inputs", expected="X, an array", received=received)
    held_out = None if validation is None else alike(part, rows_of(validation, "validation"))
    for one in (part, *([] if held_out is None else [held_out])):
        if bad := bad_rows(one.targets):
            received = f"NaN or infinity in {bad} of {len(one)} rows"
            raise InputError("targets are not finite", expected="numbers", received=received)
    if held_out is not None:
        return part, held_out
    if len(part) < 10:
        raise InputError("there are too few rows for a validation set", expected="at least 10", received=str(len(part)))
    order = torch.randperm(len(part), generator=torch_generator(seed, "held out"))
    count = max(2, round(HELD_OUT * len(part)))
    return part.rows(order[count:].sort().values), part.rows(order[:count].sort().values)


def _hashes(part: Rows) -> set[bytes]:
    """What rows are known by when a loader gives them again."""
    return {_hash(x) for x in part.numbers}


def _hash(row: Tensor) -> bytes:
    return hashlib.blake2b(row.contiguous().view(-1).view(torch.uint8).numpy().tobytes(), digest_size=16).digest()


def _copies(
    loop: Loop, module: nn.Module, optimiser: torch.optim.Optimizer | None
) -> tuple[nn.Module, torch.optim.Optimizer]:
    if optimiser is None:
        alone = loop.copied(module)
        return alone, optimiser_for(alone, None)
    both: tuple[nn.Module, torch.optim.Optimizer] = loop.copied((module, optimiser))
    return both


class _WatchedRows(NamedTuple):
    """Training rows, those held out, and by which hashes some are kept back from the loop."""

    part: Rows
    held_out: Rows
    kept_back: set[bytes]


def _train(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    loop: Loop,
    rows: _WatchedRows,
    steps: int,
    seed: int,
) -> tuple[Trace, list[Tensor]]:
    """A training that is watched: the user's own loop, but that it does not learn from the rows that are kept back."""
    part, held_out, kept_back = rows
    name = loop.chosen if isinstance(loop.chosen, str) else ""
    torch.manual_seed(seed)
    module.train()
    every = max(1, steps // EVALUATIONS)
    targets: list[Tensor] = []
    looked = some_rows(part, EVALUATED_ROWS), some_rows(held_out, EVALUATED_ROWS)
    with TrainingMonitor(module, every=max(1, steps // 20), loss=name) as watch:
        for step, batch in enumerate(_without(kept_back, loop.batches(seed))):
            if step == steps or watch.trace.birth is not None:
                break
            optimiser.zero_grad(set_to_none=True)
            value = loop.loss(module, batch)
            loop.step(optimiser, value)
            watch.step(value)
            if len(targets) < 200:
                targets.append(batch.y.cpu())
            if (step + 1) % every == 0 or step + 1 in EARLY_LOOKS:
                _evaluate(watch, module, *looked, loop)
        loop.check(loop.outputs(module.eval(), part.span(0, 1)), part.targets)
        watch.trace.trivial = trivial_loss(part.targets, name)
        _see_saturated_outputs(watch.trace, module, looked[0], name)
    return watch.trace, targets


def _without(rows: set[bytes], batches: Iterator[Given]) -> Iterator[Given]:
    """Batches without the rows that are known by these hashes."""
    for batch in batches:
        if not rows or not isinstance(batch.x, Tensor):
            yield batch
            continue
        kept = torch.tensor([_hash(x) not in rows for x in batch.x.cpu()])
        if bool(kept.all()):
            yield batch
        elif int(kept.sum()) > 1:
            yield Given(batch.x[kept], batch.y[kept], None if batch.weights is None else batch.weights[kept])


@torch.no_grad()
def _evaluate(watch: TrainingMonitor, module: nn.Module, part: Rows, held_out: Rows, loop: Loop) -> None:
    module.eval()
    result = []
    for rows in (part, held_out):
        outputs = loop.outputs(module, rows)
        indices = [some for some in torch.tensor_split(torch.arange(len(rows)), PARTS) if len(some)]
        pieces = tuple(float(_mean(loop, outputs[some], rows.rows(some))) for some in indices)
        result.append((float(_mean(loop, outputs, rows)), pieces, _score(outputs, rows.targets)))
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


def _mean(loop: Loop, outputs: Tensor, rows: Rows) -> float:
    """The loss of some rows, as one batch has it: a sum over rows is that over as many as a batch has."""
    value = float(loop.measured(outputs, rows.targets, rows.weights))
    return value * loop.size / len(rows) if loop.sums(outputs, rows.targets) else value


def _score(outputs: Tensor, targets: Tensor) -> float | None:
    if targets.is_floating_point() or targets.ndim > 1:
        return None
    if outputs.ndim > 2:
        return None
    one = outputs.ndim == 1 or outputs.shape[1] == 1
    classes = (outputs.reshape(-1) > 0).long() if one else outputs.argmax(1)
    return float((classes == targets).double().mean())


@torch.no_grad()
def _see_saturated_outputs(trace: Trace, module: nn.Module, part: Rows, loss: str) -> None:
    """The share of sigmoid outputs that lie at the wrong end under a quadratic loss."""
    last = trace.layers[-1] if trace.layers else None
    if loss not in ("mse", "quadratic") or last is None or last.kind != "sigmoid":
        return
    module.eval()
    outputs = module(part.numbers)
    wanted = part.targets.reshape(outputs.shape) if part.targets.is_floating_point() else None
    if wanted is not None:
        near = (outputs < 0.05) | (outputs > 0.95)  # there the sigmoid's slope is a fifth of its best
        trace.wrong_saturated = float((near & ((outputs - wanted).abs() > 0.5)).double().mean())


def _controls(
    copies: tuple[nn.Module, torch.optim.Optimizer],
    part: Rows,
    held_out: Rows,
    trace: Trace,
    batch_size: int,
    measured: dict[str, JsonValue],
) -> list[Finding]:
    module, optimiser = copies
    loss = trace.loss
    rows, checked = some_rows(part, CONTROL_ROWS), some_rows(held_out, EVALUATED_ROWS)
    tail = trace.losses[-max(3, len(trace.losses) // 10) :]
    fell = 1 - float(np.mean(tail)) / max(trace.losses[0], 1e-30)
    rate, evidence = rate_fits(
        module,
        (rows.numbers, rows.targets),
        loss=loss,
        optimiser=optimiser,
        batch_size=batch_size,
        fell=fell,
        update=usual_update(trace) or 0.0,
    )
    measured |= {"rate": evidence} if evidence else {}
    result = [] if rate is None else [rate]
    if not loss or loss_by_name(loss).constant is None:  # then nothing says what a signal is
        return result
    if not tells_something(trace.evaluations, part.targets, checked.targets, loss):
        none, measured["signal"] = signal(module, rows, checked, loss, batch_size=batch_size)
        if none is not None:
            return [*result, none]
    if are_labels(part.targets, loss):
        wrong, measured["suspects"] = label_noise(module, rows, loss, batch_size=batch_size)
        result += [] if wrong is None else [wrong]
    return result
