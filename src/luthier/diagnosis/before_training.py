"""Checks that cost a second and save an afternoon: run them before any long training.

Each returns a dictionary with `passed`, a `sentence`, the `evidence` and a `remedy`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from luthier.engine import Batch, Member, Settings, Stack, train
from luthier.engine.dense.dense_rows import fresh_buffers, fresh_parameters, with_ones
from luthier.engine.populations.architecture import architecture
from luthier.messages import Message
from luthier.nets import DenseSpec, Spec, build
from luthier.objective import Loss, column, constant_loss, floors, loss_by_name
from luthier.records import JsonObject
from luthier.rows import Rows, arguments
from luthier.seeds import torch_generator

START_TOLERANCE = 0.25  # relative; a small output layer keeps the first loss within a few per cent
OVERFITTED = 0.05  # of the loss at the start
PROLONGED, FALLING = 4, 0.8  # times the steps at most, as long as twice as many lower the loss to this share of it
RATES = (1e-3, 3e-3, 1e-2)
BATCH_ROWS, ROWS_A_DIMENSION = 32, 8
APART = 1.0  # of the inputs' median distance from their mean
MOST_NUMBERS = 2_000_000  # of inputs among which rows that lie apart are looked for, or whose loss is measured
FEWEST_STARTED, MOST_STARTED = 256, 4096  # rows of the initial loss
CHECKED_ROWS = 8
CHECKED_PARAMETERS = 40
GRADIENT_TOLERANCE = 1e-5  # float64, central differences of step 1e-5: rounding and curvature stay below it


def expected_loss(spec: Spec, loss: str | Loss, targets: Tensor) -> float:
    """The loss of a constant prediction, outputs of 0: ln C, ln 2, or 1 for squared errors of a standardised target."""
    if loss == "mse":
        return 1.0
    if isinstance(loss, Loss) and loss.parts is not None:  # a mean over the rows that have each target
        return float(loss.mean(torch.zeros(1, len(targets), spec.outputs), targets))
    return constant_loss(loss, torch.zeros(spec.outputs), targets)


def _loss(loss: str | Loss) -> Loss:
    return loss if isinstance(loss, Loss) else loss_by_name(loss)


def loss_at_start(spec: Spec, part: Rows, loss: str | Loss, *, seeds: Sequence[int]) -> JsonObject:
    """Compare the mean loss of fresh networks with that of a constant prediction."""
    kind, count = architecture(spec), max(FEWEST_STARTED, min(MOST_STARTED, part.inputs.rows_within(MOST_NUMBERS)))
    some = part.rows(_shuffled(len(part))[:count])
    Z = kind.evaluate(*kind.fresh(seeds, torch.float32), kind.prepared(some))
    losses = _loss(loss).mean(Z, some.targets)
    mean, expected = float(losses.mean()), expected_loss(spec, loss, some.targets)
    return {
        "passed": abs(mean - expected) <= START_TOLERANCE * expected,
        "sentence": Message(
            "the initial loss is {loss:.3f}; a constant prediction has {constant:.3f}", loss=mean, constant=expected
        ),
        "evidence": {
            "loss": mean,
            "spread": float(losses.std()),
            "seeds": len(seeds),
            "expected": expected,
            "tolerance": START_TOLERANCE,
        },
        "remedy": "check the scale of the inputs and of the initial weights",
    }


def overfit_batch(
    spec: Spec,
    part: Rows,
    loss: str | Loss,
    *,
    seed: int,
    steps: int,
    rates: Sequence[float] = RATES,
    seconds: float = math.inf,
) -> JsonObject:
    """Train on one small batch of rows that lie apart; a network that cannot overfit it has a fault.

    Targets that belong to other rows are overfitted as well: `signal` finds those. Where so many seconds are over
    before it is known, the check is `cut`, and passed unless the loss has not fallen at all.
    """
    ends = time.monotonic() + seconds
    batch = _rows_apart(part)
    members = [Member(spec=spec, seed=seed, learning_rate=rate, label=f"rate {rate:g}") for rate in rates]
    spread = float(batch.targets.double().var(0, correction=0).mean()) if loss == "mse" else 0.0
    least = float(floors(_loss(loss), column(batch.targets)).mean())  # of a likelihood, which is not 0
    start = spread or expected_loss(spec, loss, batch.targets) - least
    enough, before, most = OVERFITTED * start + least, start, PROLONGED * steps
    last, taken = _overfitted(members, batch, loss, steps, enough, ends)
    # Few inputs with noisy targets take longer; where something is wrong the loss stands still.
    while last > enough and last - least < FALLING * before and steps < most and time.monotonic() < ends:
        before, steps = last - least, 2 * steps
        last, taken = _overfitted(members, batch, loss, steps, enough, ends)
    last, steps = last - least, taken
    cut = last > OVERFITTED * start and time.monotonic() >= ends
    passed = last <= OVERFITTED * start or (cut and last < start)
    template = "overfits one batch of {rows} rows (loss {loss:.4f} after {steps} steps, from {start:.4f})"
    if not passed:
        template = "does not overfit one batch of {rows} rows (loss {loss:.4f} after {steps} steps, from {start:.4f})"
    return {
        "passed": passed,
        "sentence": Message(template, rows=len(batch), loss=last, steps=steps, start=start),
        "evidence": {
            "loss": last,
            "start": start,
            "rows": len(batch),
            "steps": steps,
            "threshold": OVERFITTED * start,
            "cut": cut,
        },
        "remedy": "look at the learning rate, the scale of the inputs, and whether the network is wide enough",
    }


def _overfitted(
    members: Sequence[Member], batch: Rows, loss: str | Loss, steps: int, enough: float, ends: float
) -> tuple[float, int]:
    """The lowest loss of the members (NaN where none is left), and after how many steps: where it is low enough, or
    when the clock says that the time `ends`."""
    settings = Settings(loss=loss, rule="adam", batch_size=len(batch), steps=steps, evaluate_every=max(1, steps // 20))
    found, every = list[float](), settings.evaluate_every
    outcome = train(
        members,
        batch,
        None,
        settings,
        stop=lambda done: bool(found) and done % every == 0 and (found[-1] <= enough or time.monotonic() > ends),
        on_evaluation=lambda one: found.append(one.train_loss),
    )
    curve = outcome.history.to_frame()
    lowest = curve.filter(curve["step"] == curve["step"].max())["train_loss"].min()
    return math.nan if lowest is None else float(lowest), outcome.steps_done  # type: ignore[arg-type]


def _rows_apart(part: Rows) -> Rows:
    """Rows that lie far from each other, one of each class among them: each is the farthest from those before it.

    Targets are noisy, and a network has to be steep to overfit two rows that lie close. In few dimensions that takes
    more steps than there are, however sound the network is; so there are fewer rows, and none that is close to another.
    """
    wide = {name: value.flatten(1) for name, value in part.inputs.items() if name != "codes"}
    columns = sum(value.shape[1] for value in wide.values())
    looked_at = max(2 * BATCH_ROWS, min(50 * BATCH_ROWS, MOST_NUMBERS // max(1, columns)))
    some = _shuffled(len(part))[:looked_at]
    inputs = torch.cat([value[some].double() for value in wide.values()], 1)
    codes, targets = part.codes[some], part.targets[some]
    most = max(4, min(BATCH_ROWS, ROWS_A_DIMENSION * (inputs.shape[1] + codes.shape[1])))
    close = APART * float((inputs - inputs.mean(0)).square().sum(1).sqrt().median())
    labels = torch.unique(targets) if targets.ndim == 1 and not targets.is_floating_point() else targets[:0]
    candidates = [targets == label for label in labels[: most // 2]]  # a row of each class first
    candidates += [torch.ones(len(inputs), dtype=torch.bool)] * (most - len(candidates))
    chosen = list[int]()
    nearest = torch.full((len(inputs),), math.inf, dtype=torch.float64)
    for rows in candidates:
        of = int(nearest.where(rows, -math.inf).argmax())
        if float(nearest[of]) <= close:
            continue
        chosen.append(of)
        distance = ((inputs - inputs[of]).square().sum(1) + (codes != codes[of]).sum(1)).sqrt()
        nearest = torch.minimum(nearest, distance)
    return part.rows(some[torch.tensor(chosen)])


def _shuffled(rows: int) -> Tensor:
    """Row numbers in a fixed random order: the first rows of a sorted table are no fair sample."""
    return torch.randperm(rows, generator=torch_generator(0, "rows for the check"))


def check_gradients(spec: Spec, part: Rows, loss: str | Loss, *, seed: int) -> JsonObject:
    """Backpropagation against central finite differences, in float64, on a slice of rows."""
    if not isinstance(spec, DenseSpec):
        return _said_of_gradients(*_module_gradients(spec, part, loss, seed))
    rows = _shuffled(len(part))[:CHECKED_ROWS]
    features = part.numbers[rows].double()
    targets = part.targets[rows] if part.targets.dtype == torch.int64 else part.targets[rows].double()
    batch = Batch(part.rows(rows).inputs.replaced(numbers=with_ones(spec, features)), targets)
    stack = _fresh(spec, [seed], torch.float64)
    masks: list[Tensor | None] = [None] * len(spec.hidden)
    Z = stack.forward(batch, masks)
    stack.backward(batch, _loss(loss).slopes(Z, targets), masks)
    indices = torch.randperm(spec.parameter_count(), generator=torch.Generator().manual_seed(seed % 2**31))
    worst = max(
        _relative_error(stack, batch, loss, int(place), float(stack.gradients[0, place]))
        for place in indices[:CHECKED_PARAMETERS]
    )
    return _said_of_gradients(worst, min(CHECKED_PARAMETERS, len(indices)))


def _said_of_gradients(worst: float, weights: int) -> JsonObject:
    return {
        "passed": worst <= GRADIENT_TOLERANCE,
        "sentence": Message(
            "the largest relative error over {weights} weights is {worst:.1e}", weights=weights, worst=worst
        ),
        "evidence": {"worst": worst, "weights": weights, "threshold": GRADIENT_TOLERANCE, "rows": CHECKED_ROWS},
        "remedy": "this is a bug in Luthier: please report it",
    }


def _relative_error(
    stack: Stack, batch: Batch, loss: str | Loss, place: int, gradient: float, step: float = 1e-5
) -> float:
    masks: list[Tensor | None] = [None] * len(stack.spec.hidden)

    def value() -> float:
        Z = stack.forward(batch, masks)
        return float(_loss(loss).mean(Z, batch.targets))

    weight = stack.parameters[0, place].item()
    stack.parameters[0, place] = weight + step
    above = value()
    stack.parameters[0, place] = weight - step
    below = value()
    stack.parameters[0, place] = weight
    numeric = (above - below) / (2 * step)
    # Below 1e-4 the difference of two losses near 1 is rounding, so errors are relative to at least that.
    return abs(numeric - gradient) / max(abs(numeric), abs(gradient), 1e-4)


def _fresh(spec: DenseSpec, seeds: Sequence[int], dtype: torch.dtype) -> Stack:
    return Stack(spec, fresh_parameters(spec, seeds, dtype), fresh_buffers(spec, len(seeds), dtype))


def _module_gradients(spec: Spec, part: Rows, loss: str | Loss, seed: int) -> tuple[float, int]:
    """The largest relative error of autograd's derivatives of a module, and how many weights were looked at.

    Weights behind which a kink (ReLU, maximum) lies within the step are told by halving it, and left out.
    """
    net = build(spec, seed=seed).double().eval()
    some = part.rows(_shuffled(len(part))[:CHECKED_ROWS])
    targets = some.targets if some.targets.dtype == torch.int64 else some.targets.double()
    generator = torch_generator(seed, "weights for the check")
    with torch.no_grad():
        for weight in net.parameters():  # away from zero, where an output layer that starts there hides the rest
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))

    def value() -> Tensor:
        return _loss(loss).mean(net(*arguments(net, some.inputs)).unsqueeze(0), targets)

    weights = list(net.parameters())
    gradients = torch.autograd.grad(value(), weights)
    padding = {
        id(layer.weight): range(layer.padding_idx * layer.embedding_dim, (layer.padding_idx + 1) * layer.embedding_dim)
        for layer in net.modules()
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.padding_idx is not None
    }
    worst, looked = 0.0, 0
    with torch.no_grad():
        for k in range(CHECKED_PARAMETERS):
            which = k % len(weights)
            flat = weights[which].view(-1)
            place = int(torch.randint(len(flat), (1,), generator=generator))
            if place in padding.get(id(weights[which]), ()):  # it stays as it is, so its gradient is nothing
                continue
            result = [_slope(flat, place, value, step) for step in (1e-5, 5e-6)]
            if abs(result[0] - result[1]) > GRADIENT_TOLERANCE * max(abs(result[0]), 1e-4):
                continue
            gradient = float(gradients[which].reshape(-1)[place])
            worst = max(worst, abs(result[0] - gradient) / max(abs(result[0]), abs(gradient), 1e-4))
            looked += 1
    return worst, looked


def _slope(flat: Tensor, place: int, value: Callable[[], Tensor], step: float) -> float:
    before = flat[place].item()
    flat[place] = before + step
    above = float(value())
    flat[place] = before - step
    below = float(value())
    flat[place] = before
    return (above - below) / (2 * step)
