"""Questions that take a training to answer: is there any signal, are labels wrong, does the rate fit?

Networks of a control train together through the engine; the user's module is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.diagnosis.checks.trace import Evaluated
from luthier.engine import find_lr, train_networks
from luthier.errors import LuthierError
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.objective import best_constant, column, constant_loss, floors, loss_by_name
from luthier.records import Finding, JsonObject
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator

CLASSES = ("softmax", "binary")  # losses of labels that may be wrong
SEEDS = 3
SURE = 1.5  # standard errors over validation rows
FOLDS = 3
CERTAIN, DOUBTFUL = 0.8, 0.05  # what the network says of another class, and of the label
SUSPECTS = 0.03  # of the rows
TOO_FAST, TOO_SLOW = 100.0, 1 / 100  # times the suggested rate
NEAR = 0.1  # of the rate at which the loss explodes
USUAL_UPDATE = 1e-3  # of the weights' length in a step: the rule of thumb (CS231n)
MOST_LEVELS = 50  # of a category, as columns
FELL = 0.5  # of the loss: a rate under which it fell so much is not too low
UNITS = 64
REFERENCE = DenseSpec.deferred((UNITS,))  # what looks at rows with columns: what is wrong with a module is not theirs
RATES = (1e-3, 5e-3)
EPOCHS, FEWEST_STEPS = 15, 200
# Of rows and weights in steps: a second or two. Of thousands of columns there are fewer steps, but so many at least.
MOST_PRODUCTS, LEAST_STEPS = 1e10, 30


def are_labels(targets: Tensor, loss: str) -> bool:
    """Whether targets are one class for each row; those of `CLASSES` may be shares of classes, too.

    >>> are_labels(torch.tensor([0, 2]), "softmax"), are_labels(torch.tensor([0.3, 1.0]), "binary")
    (True, False)
    """
    whole = not targets.is_floating_point() or bool((targets == targets.round()).all())
    return loss in CLASSES and targets.ndim == 1 and whole


def trivial_loss(targets: Tensor, loss: str) -> float | None:
    """The loss of the best constant prediction, such as the targets' shares or mean; None where a loss
    has none, and where its least is not 0: shares of it would say nothing.

    >>> round(trivial_loss(torch.tensor([0, 0, 1, 1]), "softmax") or 0, 3)
    0.693
    """
    if are_labels(targets, loss):
        shares = torch.unique(targets, return_counts=True)[1].double() / len(targets)
        return float(-(shares * shares.log()).sum())
    known = loss_by_name(loss) if loss else None
    if known is None or known.constant is None or bool(floors(known, column(targets)).any()):
        return None
    return constant_loss(known, best_constant(known, targets), targets)


def some_rows(part: Rows, rows: int, seed: int = 0) -> Rows:
    """At most so many rows, drawn at random."""
    if len(part) <= rows:
        return part
    index = torch.randperm(len(part), generator=torch_generator(seed, "rows of a control"))[:rows]
    return part.rows(index)


def with_codes(part: Rows, sizes: Sequence[int]) -> Rows:
    """Categories of so many levels as columns of zeros and ones beside the numbers: what a reference network takes."""
    columns = [part.numbers]
    for k, levels in enumerate(sizes):
        kept = min(levels, MOST_LEVELS)
        columns.append(F.one_hot(part.codes[:, k].clamp_max(kept - 1), kept).float())
    return Rows(Inputs(numbers=torch.cat(columns, 1)), part.targets, part.weights)


def _trained(network: Any, training: Rows, validation: Rows, loss: str, batch_size: int) -> Tensor:
    """Outputs [M, N, C] for the validation rows, each member's weights those of its lowest validation loss."""
    steps = max(FEWEST_STEPS, EPOCHS * len(training) // batch_size)
    if network is REFERENCE:
        loss = "softmax" if are_labels(training.targets, loss) else loss  # it has an output for each class
        weights = len(RATES) * SEEDS * UNITS * max(1, training.numbers.shape[1])
        steps = min(steps, max(LEAST_STEPS, int(MOST_PRODUCTS / (weights * batch_size))))
    result = train_networks(
        network,
        training,
        validation=validation,
        loss=loss,
        learning_rate=list(RATES),
        seeds=SEEDS,
        steps=steps,
        evaluate_every=max(1, steps // 10),
        batch_size=batch_size,
    )
    best = np.argsort(result.best_validation_loss)[:SEEDS]
    return result.logits(validation.inputs)[torch.from_numpy(best)]


def _network(module: nn.Module, part: Rows) -> Any:
    return REFERENCE if part.numbers.ndim == 2 and part.numbers.is_floating_point() else module


def tells_something(evaluations: Sequence[Evaluated], training: Tensor, validation: Tensor, loss: str) -> bool:
    """Whether a training's lowest validation loss beats a constant prediction, beyond the noise of its parts."""
    best = min(evaluations, key=lambda e: np.inf if e.validation is None else e.validation, default=None)
    if best is None or len(best.validation_parts) < 5:
        return False
    pieces = torch.tensor_split(validation, len(best.validation_parts))
    gains = [
        _trivial_on(piece, training, loss) - part for piece, part in zip(pieces, best.validation_parts, strict=True)
    ]
    return bool(np.mean(gains) > 3 * np.std(gains, ddof=1) / np.sqrt(len(gains)))


def _trivial_on(piece: Tensor, training: Tensor, loss: str) -> float:
    """The mean loss on some rows of predicting what the training targets have on average."""
    if not are_labels(training, loss):
        return constant_loss(loss, best_constant(loss, training), piece)
    shares = torch.bincount(training.long(), minlength=int(piece.max()) + 1).double().clamp_min(0.5)
    return float(-(shares / shares.sum()).log()[piece.long()].mean())


def signal(
    module: nn.Module, training: Rows, validation: Rows, loss: str, *, batch_size: int
) -> tuple[Finding | None, JsonObject]:
    """Train on the targets, and on shuffled targets: validation losses must tell the two apart.

    Rows with columns are asked by a reference network of 64 units, so that a fault of the module is not theirs.
    """
    shuffled = training.targets[torch.randperm(len(training), generator=torch_generator(0, "shuffled targets"))]
    losses = {}
    for name, targets in (("real", training.targets), ("shuffled", shuffled)):
        part = replace(training, targets=targets)
        outputs = _trained(_network(module, part), part, validation, loss, batch_size)
        losses[name] = _row_losses(outputs, validation.targets, loss)
    if validation.weights is not None:
        shares = (validation.weights / validation.weights.mean()).numpy()
        losses = {name: rows * shares for name, rows in losses.items()}
    gain = losses["shuffled"] - losses["real"]
    mean, error = float(gain.mean()), float(gain.std(ddof=1) / np.sqrt(len(gain)))
    evidence = {"real": float(losses["real"].mean()), "shuffled": float(losses["shuffled"].mean()), "noise": error}
    if not np.isfinite(mean) or mean > SURE * error:
        return None, evidence
    sentence = Message(
        "a network trained on shuffled targets is no worse on the validation rows: {shuffled:.3g} against {real:.3g}",
        shuffled=evidence["shuffled"],
        real=evidence["real"],
    )
    remedy = "the inputs may not determine the target: look for other columns, or another target"
    return Finding("no-signal", "warning", sentence, evidence, remedy, "S4-20"), evidence


def _row_losses(logits: Tensor, targets: Tensor, loss: str) -> np.ndarray:
    """Loss of each row, the mean over networks [N]."""
    if not are_labels(targets, loss):
        return np.asarray(loss_by_name(loss).rows(logits.double(), column(targets)).mean(0))
    rows = -_log_probabilities(logits).gather(-1, targets.long().expand(len(logits), -1).unsqueeze(-1))
    return np.asarray(rows.squeeze(-1).mean(0))


def _log_probabilities(logits: Tensor) -> Tensor:
    if logits.shape[-1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], -1)
    return F.log_softmax(logits.double(), -1)


def label_noise(module: nn.Module, part: Rows, loss: str, *, batch_size: int) -> tuple[Finding | None, list[int]]:
    """Rows whose label networks that never saw them hold for wrong, with certainty (after Northcutt and others 2021).

    Returns the finding and the suspects' row numbers in `part`, the surest first.
    """
    order = torch.randperm(len(part), generator=torch_generator(0, "folds"))
    doubt = torch.zeros(len(part), dtype=torch.float64)
    suspected = torch.zeros(len(part), dtype=torch.bool)
    for fold in torch.tensor_split(order, FOLDS):
        rest = torch.ones(len(part), dtype=torch.bool)
        rest[fold] = False
        kept, held_out = part.rows(rest), part.rows(fold)
        outputs = _trained(_network(module, part), kept, held_out, loss, batch_size)
        p = _log_probabilities(outputs).exp().mean(0)
        given = p.gather(1, held_out.targets.long().unsqueeze(1)).squeeze(1)
        doubt[fold] = given
        suspected[fold] = (p.max(1).values >= CERTAIN) & (given <= DOUBTFUL)
    suspects = [int(i) for i in suspected.nonzero().flatten()[doubt[suspected].argsort()]]
    share = len(suspects) / len(part)
    if share < SUSPECTS:
        return None, suspects
    sentence = Message(
        "{suspects} of {count} labels ({share:.1%}) look wrong: networks trained without them are certain of another "
        "class",
        suspects=len(suspects),
        count=len(part),
        share=share,
    )
    evidence = {"rows": suspects[:20], "share": share, "threshold": SUSPECTS}
    remedy = "check those rows; if they are mislabelled, correct or remove them"
    return Finding("label-noise", "warning", sentence, evidence, remedy, "S1-98"), suspects


def rate_fits(
    module: nn.Module,
    data: Any,
    *,
    loss: Any,
    optimiser: torch.optim.Optimizer,
    batch_size: int,
    fell: float,
    update: float,
) -> tuple[Finding | None, JsonObject]:
    """The optimiser's rate beside a range test: above where the loss explodes, or far from what it suggests while
    the loss fell by a share `fell`, and steps moved the weights by a share `update` of their length."""
    try:
        result = find_lr(module, data, loss=loss, optimiser=optimiser, batch_size=batch_size, seeds=1, confirm=False)
    except LuthierError:  # training gains nothing: no rate can be told from another
        return None, {}
    rate = max(float(group["lr"]) for group in optimiser.param_groups)
    known = [(r, value) for r, value in zip(result.rates, result.losses, strict=True) if value is not None]
    exploded = known[-1][0] if known else float("nan")
    evidence = {"rate": rate, "suggested": result.pick, "explodes at": exploded}
    remedy = Message("try a learning rate of {rate:.1g}", rate=result.pick)
    if rate > exploded or (rate > TOO_FAST * result.pick and rate > NEAR * exploded):
        sentence = Message(
            "the learning rate {rate:.2g} is far above the range test's suggestion; the loss explodes at "
            "{exploded:.2g}",
            rate=rate,
            exploded=exploded,
        )
        return Finding("rate-too-high", "warning", sentence, evidence, remedy, "S4-09, S4-10"), evidence
    if rate < TOO_SLOW * result.pick and fell < FELL and update < USUAL_UPDATE:
        sentence = Message(
            "the learning rate {rate:.2g} is {times:.0f} times below the range test's suggestion",
            rate=rate,
            times=result.pick / rate,
        )
        return Finding("rate-too-low", "warning", sentence, evidence, remedy, "S4-09, S4-10"), evidence
    return None, evidence


def optimism(best: float, again: Sequence[float], trials: int) -> Finding | None:
    """Whether the best of many trials was luck: its loss against fresh seeds of the same setting."""
    known = [value for value in again if np.isfinite(value)]
    if len(known) < 3 or trials < 2:
        return None
    mean, error = float(np.mean(known)), float(np.std(known, ddof=1) / np.sqrt(len(known)))
    drop = mean - best
    if drop <= 3 * error or drop <= 0.05 * abs(best):
        return None
    sentence = Message(
        "the best of {trials} trials had {best:.4g}; five fresh seeds of it have {mean:.4g}: part of the difference "
        "is selection bias",
        trials=trials,
        best=best,
        mean=mean,
    )
    evidence = {"best": best, "again": mean, "noise": error, "trials": trials}
    remedy = "report the mean over fresh seeds, and search with more validation rows"
    return Finding("optimism", "note", sentence, evidence, remedy, "S4-45")
