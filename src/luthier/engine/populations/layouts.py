"""Which layout a module's networks train in: what is possible is tried, what is fastest is timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch

from luthier.engine.members.batches import Batch
from luthier.engine.members.devices import random_states, wait
from luthier.engine.members.dropout import own_dropouts
from luthier.engine.members.masks import mask_seeds
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.outputs import as_rows, mean_of, one_tensor, running
from luthier.engine.members.settings import Settings
from luthier.engine.members.state import Learner, TrainState
from luthier.engine.torch_modules.modules import Modules
from luthier.errors import InputError, in_a_line
from luthier.identity import name_of
from luthier.machine import torch_settings
from luthier.messages import Message, joined
from luthier.objective import Criterion, Loss, loss_named
from luthier.optimise import is_optimiser
from luthier.records import Finding
from luthier.rows import Rows, arguments

LAYOUTS = ("stacked", "vmapped", "looped")
TRIED_MEMBERS, TRIED_ROWS = 2, 8
TIMED_MEMBERS, TIMED_STEPS = 16, 3
AGREEMENT = 1e-3  # relative, between gradients of two layouts in float32


def examine(spec: ModuleSpec, part: Rows, settings: Settings) -> str | None:
    """Run the module once: find out whether it draws random numbers by itself, and why `vmap` cannot train it.

    Raises InputError where the module fails on the data at all.
    """
    few = replace(settings, mixed_precision=False, compile=False)
    count = min(TRIED_ROWS, len(part)) if settings.batch_size > 1 else 1
    rows = torch.arange(count)
    if part.targets.ndim == 1 and count > 1:  # a label that is no class is found now, not in the middle of an epoch
        rows = torch.cat([rows, part.targets.int().argmin().view(1), part.targets.int().argmax().view(1)])
    batch = Batch.of(replace(part, weights=None).rows(rows)).to(settings.device)
    with torch.random.fork_rng():
        learn_about(spec, batch, settings.loss, targets=part.targets, rest=len(part) % settings.batch_size)
        looped = _gradients(spec, "looped", few, batch)
    if spec.draws:
        return "the module draws its own random numbers"
    try:
        vmapped = _gradients(spec, "vmapped", few, batch)
    except Exception as error:  # whatever a module's code does under vmap
        return Message("vmap cannot run it ({why})", why=in_a_line(error.__cause__ or error)[:120])
    scale = looped.abs().max().clamp_min(1e-12)
    if not bool(((vmapped - looped).abs().max() / scale) < AGREEMENT):
        return "its gradients under vmap differ from those of the module alone"
    return None


def learn_about(
    spec: ModuleSpec, batch: Batch, loss: str | Loss | Criterion, *, targets: torch.Tensor | None = None, rest: int = 0
) -> None:
    """Find out by one pass whether module and loss draw random numbers by themselves, and write into their inputs.

    Where the last batch of an epoch has `rest` rows, also whether the module can be trained on a single one. InputError
    where the loss does not go with the outputs and the batch's targets, or all `targets`.
    """
    module, device = spec.built(0).to(batch.targets.device), batch.targets.device
    inputs = arguments(module, batch.clone().inputs)
    versions = [value._version for value in inputs]
    with torch.random.fork_rng(), torch.no_grad(), running(inputs):
        torch.manual_seed(0)
        start = random_states(device)
        for layer in own_dropouts(module):
            layer.begin(mask_seeds([0], device))
        outputs = one_tensor(module(*inputs), batch.rows)
        known = loss_named(loss)
        if isinstance(known, Loss) and known.check is not None:
            known.check(as_rows(outputs.unsqueeze(0)).shape[-1], batch.targets if targets is None else targets)
        mean_of(known, outputs.unsqueeze(0), batch)
        spec.draws = not all(map(torch.equal, start, random_states(device)))
    spec.changes_inputs = versions != [value._version for value in inputs]
    if rest == 1 and batch.rows > 1:
        spec.least_rows = 1 if _takes_one_row(spec, batch.cut(slice(1)).clone()) else 2


def _takes_one_row(spec: ModuleSpec, batch: Batch) -> bool:
    """Whether a single row can be trained on, which batch norm cannot normalise."""
    device = batch.targets.device
    module = spec.built(0).to(device)
    for layer in own_dropouts(module):
        layer.begin(mask_seeds([0], device))
    try:
        with torch.random.fork_rng(), torch.no_grad():
            module(*arguments(module, batch.inputs))
    except ValueError:
        return False
    return True


def _learner(spec: ModuleSpec, layout: str, members: int, settings: Settings) -> Learner:
    kind = Modules(spec.with_layout(layout))
    device = settings.device
    parameters, buffers = (tensor.to(device) for tensor in kind.fresh(range(members), settings.dtype))
    state = TrainState(parameters, buffers, torch.zeros_like(parameters), {})
    seeds = mask_seeds(range(members), device)
    return kind.learner(state, seeds, torch.zeros(members, 0), loss_named(settings.loss), settings)


def _gradients(spec: ModuleSpec, layout: str, settings: Settings, batch: Batch) -> torch.Tensor:
    learner = _learner(spec, layout, TRIED_MEMBERS, settings)
    learner.gradients(batch, 0)
    return learner.state.gradients


def seconds(spec: ModuleSpec, layout: str, members: int, part: Rows, settings: Settings) -> float:
    """Median seconds of a step of so many members together."""
    learner = _learner(spec, layout, members, settings)
    batch = Batch.of(replace(part, weights=None).span(0, settings.batch_size)).to(settings.device)
    taken = []
    for number in range(1 + TIMED_STEPS):
        wait(settings.device)
        began = time.perf_counter()
        learner.gradients(batch, number)
        wait(settings.device)
        taken.append(time.perf_counter() - began)
    return median(taken[1:])


@torch_settings()
def choose(
    spec: ModuleSpec, members: Sequence[Member] | int, part: Rows, settings: Settings, layout: str | None
) -> tuple[ModuleSpec, list[Finding]]:
    """The spec in the layout asked for, or else in the fastest; findings say what was measured, or why not."""
    count = members if isinstance(members, int) else len(members)
    if layout is not None and layout not in LAYOUTS:
        raise InputError(Message("'{layout}' is not a layout", layout=layout), expected=", ".join(LAYOUTS))
    if is_optimiser(settings.rule):
        if layout not in (None, "looped"):
            raise InputError(
                Message(
                    "{rule} of torch.optim does not train {layout} networks",
                    rule=name_of(settings.rule),
                    layout=layout,
                ),
                expected='layout="looped": each network has an optimiser of its own',
                remedy="leave the layout out; or a rule by name, or a Rule",
            )
        layout = "looped"
    if settings.compile:
        if layout not in (None, "looped"):
            raise InputError(
                Message("{layout} networks are not compiled", layout=layout),
                expected='layout="looped": what torch.compile makes of one module serves all of them',
                remedy="leave out the layout, or compile=True",
            )
        layout = "looped"
    if spec.chain is not None and layout in (None, "stacked") and not isinstance(settings.loss, Criterion):
        return spec.with_layout("stacked"), []
    if layout == "stacked" and spec.chain is not None:
        raise InputError(
            "a loss of your own does not train stacked networks",
            remedy="leave the layout out; or a loss by name, or custom_loss(rows)",
        )
    if layout == "stacked":
        raise InputError(
            "the module cannot be stacked",
            expected="an nn.Sequential of Linear, activations and Dropout",
            received=type(spec.module).__name__,
            remedy="leave out layout, or use vmapped or looped",
        )
    reason = examine(spec, part, settings)
    message = [] if spec.least_rows == 1 else [_left_out(len(part))]
    if reason is not None and (layout == "vmapped" or (layout is None and count > 1)):
        return spec.with_layout("looped"), [*message, _looped(reason)]
    if layout is not None or count == 1:
        return spec.with_layout(layout or "looped"), message
    timed = {name: seconds(spec, name, min(count, TIMED_MEMBERS), part, settings) for name in ("vmapped", "looped")}
    faster = min(timed, key=lambda name: timed[name])
    return spec.with_layout(faster), [
        *message,
        Finding(
            code="layout",
            severity="note",
            sentence=Message(
                "the networks train {faster}: a step of {count} takes {each}",
                faster=Message(faster),
                count=min(count, TIMED_MEMBERS),
                each=joined(
                    (Message("{time:.1f} ms {how}", time=1e3 * t, how=Message(how)) for how, t in timed.items()),
                    "{first} and {rest}",
                ),
            ),
            evidence={"seconds": timed, "members": min(count, TIMED_MEMBERS)},
            remedy="override with layout=",
            source="timed at the start",
        ),
    ]


def _left_out(rows: int) -> Finding:
    return Finding(
        code="row-left-out",
        severity="note",
        sentence=Message(
            "one of {rows} rows, another in each epoch, would be a batch by itself, and is left out", rows=rows
        ),
        evidence={"rows": rows},
        remedy="none is needed; another batch_size divides the rows otherwise",
        source="batch norm cannot be trained on a single row",
    )


def _looped(reason: str) -> Finding:
    return Finding(
        code="looped",
        severity="note",
        sentence=Message("the networks train one after another: {reason}", reason=reason),
        evidence={"reason": reason},
        remedy="nothing needs to be done; a module without in-place state or data-dependent branches would train "
        "faster",
        source="tried at the start",
    )
