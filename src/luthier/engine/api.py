"""`luthier.train`: networks of the user's own, trained together, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from luthier.engine.batches import cast
from luthier.engine.checkpoint import FileCheckpoint
from luthier.engine.distributed import run_distributed
from luthier.engine.layouts import choose
from luthier.engine.member import Member
from luthier.engine.modules import ModuleSpec
from luthier.engine.outcome import Outcome, merged
from luthier.engine.processes import train_in_processes
from luthier.engine.settings import Evaluation, Part, Settings
from luthier.engine.sharing import several_processes
from luthier.engine.train import train
from luthier.errors import ConfigError, InputError, nearest
from luthier.nets import DeferredSpec, DenseSpec
from luthier.objective import LOSSES, Criterion, Loss
from luthier.optimise import Schedule
from luthier.records import Finding
from luthier.renamed import current_hyper_parameters

_NUMBERS = ("learning_rate", "momentum", "l2", "l1", "weight_decay", "ema_decay")
Network = nn.Module | Callable[[], nn.Module] | DenseSpec | DeferredSpec
AnyLoss = str | Loss | Criterion | Callable[[Any, Any], Tensor]
_MEMBER = {field.name for field in fields(Member)} - {"spec", "seed", "learning_rate", "schedule", "label"}


def train_networks(
    network: Network,
    data: Any,
    *,
    validation: Any = None,
    loss: AnyLoss | None = None,
    rule: str = "adam",
    learning_rate: float | Sequence[float] = 1e-3,
    schedule: str | Schedule | Sequence[Schedule] = "constant",
    seeds: int | Sequence[int] = 1,
    epochs: float = 10,
    steps: int | None = None,
    batch_size: int = 64,
    evaluate_every: int | None = None,
    patience: int = 0,
    tolerance: float = 0.0,
    metrics: Sequence[str] = (),
    accumulate: int = 1,
    mixed_precision: bool = False,
    only_first_batch: bool = False,
    layout: str | None = None,
    processes: int = 1,
    checkpoint: str | Path | None = None,
    history: str | Path | None = None,
    every_step: bool = False,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    **hyper: Any,
) -> Outcome:
    """Train one network, or many that differ in seeds and hyper-parameters, and keep each one's best weights.

    `network` is a module, whose present weights every network starts from and which stays as it is;
    or a function that builds one, called for each seed; or a DenseSpec, also a deferred one. `data` and
    `validation` are (X [N, ...], y [N] or [N, C]) or (X, y, weights [N]) of tensors or arrays, or batches
    of them such as a DataLoader, which are read into memory once. Without `loss`, whole-number targets
    get softmax cross-entropy and others the mean squared error; a name of LOSSES, a Loss or any function
    (outputs, targets) -> number serves too.

    A list of `learning_rate`, `schedule` or of any hyper-parameter of `Member` (momentum, betas, l2,
    weight_decay, clip_norm, ema_decay, layer_rates, ...) gives a network for each entry, lists of equal
    length going together; `seeds` gives each of those several. Batches are the same for all; networks that differ in
    `noise` or `mixup`, by which their rows are changed, train in turns.

    `epochs` (or `steps`) say how long; every `evaluate_every` steps (an epoch) the networks are
    measured, and `patience` counts those without an improvement. Chains of dense layers train
    `stacked`; other modules `vmapped` or `looped`, whichever a few timed steps show to be faster;
    `layout` overrides. `processes` share the networks out, one thread each. With a `checkpoint` file
    training continues where an earlier call with the same arguments was interrupted, bit for bit. `history`
    names a Parquet file for the learning curves, with `every_step` also those of single steps.
    `on_evaluation` is called after every measurement (in one process). In a script that `torchrun` started and that
    called `torch.distributed.init_process_group("gloo")`, the processes share each batch of one training; all get
    its outcome.

    Raises InputError for data, modules and settings that do not fit, all mistakes of the settings at once.

    >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> found = train_networks(net, (X, X.sum(1)), learning_rate=[1e-4, 1e-2], epochs=5)
    >>> found.layout, found.best, type(found.module()).__name__
    ('stacked', 1, 'Sequential')
    """
    part = part_of(data, "data")
    held_out = None if validation is None else part_of(validation, "validation")
    if held_out is not None and held_out.features.shape[1:] != part.features.shape[1:]:
        raise InputError(
            "training and validation rows differ in shape",
            expected=f"rows of shape {list(part.features.shape[1:])}, as in data",
            received=f"rows of shape {list(held_out.features.shape[1:])}",
        )
    chosen = loss_for(part.targets, loss)
    batch = min(batch_size, len(part)) if batch_size > 0 else batch_size
    epoch = 1 if only_first_batch else max(1, -(-len(part) // max(1, batch * accumulate)))
    length = steps if steps is not None else max(1, round(epochs * epoch))
    spec = _spec(network, part)
    settings = Settings(
        loss=chosen,
        rule=rule,
        batch_size=batch,
        steps=length,
        evaluate_every=evaluate_every or min(length, epoch),
        patience=patience,
        tolerance=tolerance,
        metrics=tuple(metrics),
        accumulate=accumulate,
        mixed_precision=mixed_precision,
        only_first_batch=only_first_batch,
        every_step=every_step,
        dtype=torch.float32 if isinstance(spec, DenseSpec) else spec.dtype,
    )
    several = _settings({"learning_rate": learning_rate, "schedule": schedule, **current_hyper_parameters(hyper)})
    wanted = range(seeds) if isinstance(seeds, int) else seeds
    part, findings = cast(part, settings.dtype), list[Finding]()
    path = None if checkpoint is None else Path(checkpoint)
    if processes > 1 and on_evaluation is not None:
        raise InputError("on_evaluation cannot be combined with processes", remedy="leave out one of them")
    if isinstance(spec, ModuleSpec):
        asked = "looped" if isinstance(chosen, Criterion) and layout is None and spec.chain is not None else layout
        asked = asked or _layout_of(path, processes)
        if asked is None and several_processes() and spec.chain is None:
            asked = "looped"  # a timing could come out differently in each process
        spec, findings = choose(spec, len(several) * len(wanted), part, settings, asked)
    flat = _flattened(spec, part), None if held_out is None else _flattened(spec, held_out)
    members = [_member(spec, seed, setting) for setting in several for seed in wanted]
    if not members:
        raise InputError("there are no networks to train", expected="at least one seed", received="none")
    shares, outcomes = _seeing_the_same_rows(members), list[Outcome]()
    for number, share in enumerate(shares):
        some = [members[place] for place in share]
        file = path if path is None or number == 0 else path.with_name(f"{path.name}.rows-{number}")
        outcomes.append(_trained(some, flat, settings, processes, file, on_evaluation))
    outcome = outcomes[0] if len(shares) == 1 else merged(members, shares, outcomes)
    outcome.findings[:0] = findings
    if history is not None:
        outcome.history.write(history)
    return outcome


def _trained(
    members: Sequence[Member],
    parts: tuple[Part, Part | None],
    settings: Settings,
    processes: int,
    checkpoint: Path | None,
    on_evaluation: Callable[[Evaluation], None] | None,
) -> Outcome:
    """One population, in as many processes as are asked for."""
    if processes > 1 and len(members) > 1:
        return train_in_processes(members, *parts, settings, processes, checkpoint=checkpoint)
    kept = None if checkpoint is None else FileCheckpoint(checkpoint)
    training = partial(train, members, *parts, settings, checkpoint=kept, on_evaluation=on_evaluation)
    outcome = run_distributed((members[0].spec, settings), training)
    outcome.members = tuple(members)
    return outcome


def _seeing_the_same_rows(members: Sequence[Member]) -> list[list[int]]:
    """Places of members that train together: those whose rows are changed alike."""
    result: dict[tuple[float, float], list[int]] = {}
    for place, member in enumerate(members):
        result.setdefault((member.noise, member.mixup), []).append(place)
    return list(result.values())


def _layout_of(checkpoint: Path | None, processes: int) -> str | None:
    """The layout that an interrupted training was in: another would round otherwise."""
    if checkpoint is None:
        return None
    names = [checkpoint.name] if processes == 1 else [f"{checkpoint.name}.0", checkpoint.name]
    result = (FileCheckpoint(checkpoint.with_name(name)).load() for name in names)
    return next((str(saved.facts["layout"]) for saved in result if saved is not None), None)


def _spec(network: Network, part: Part) -> DenseSpec | ModuleSpec:
    if isinstance(network, DenseSpec | DeferredSpec):
        return known_spec(network, part)
    return ModuleSpec(network)


def known_spec(spec: DenseSpec | DeferredSpec, part: Part) -> DenseSpec:
    """The spec for these rows: a deferred one reads its inputs and outputs off them."""
    if isinstance(spec, DenseSpec):
        return spec
    targets = part.targets
    outputs = targets.shape[1] if targets.ndim == 2 else 1 if targets.is_floating_point() else int(targets.max()) + 1
    return spec.known(inputs=part.features.flatten(1).shape[1], outputs=outputs)


def _settings(choices: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary for each network (before seeds): lists go together, single values are repeated."""
    known = sorted(_MEMBER | {"learning_rate", "schedule"})
    mistakes = [
        f"'{name}' is not a setting of train; {nearest(name, known)}".rstrip("; ")
        for name in choices
        if name not in known
    ]
    lists = {name: list(value) for name, value in choices.items() if _is_list(name, value)}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        mistakes.append(f"lists must have the same length, not {lengths}")
    for name, value in choices.items():
        for one in lists.get(name, [value]):
            if name in _NUMBERS and not (isinstance(one, int | float) and math.isfinite(one) and one >= 0):
                mistakes.append(f"{name} must be a number of at least 0, not {one!r}")
            if name == "betas" and not (isinstance(one, tuple | list) and len(one) == 2):
                mistakes.append(f"betas must be two numbers, not {one!r}")
    if mistakes:
        raise ConfigError(mistakes)
    count = max(lengths.values(), default=1)
    return [{name: lists[name][k] if name in lists else value for name, value in choices.items()} for k in range(count)]


def _is_list(name: str, value: Any) -> bool:
    """Whether a value is one for each network; a tuple is a value where the hyper-parameter is one."""
    if name in ("betas", "dropout", "layer_rates", "frozen_until"):
        return isinstance(value, list) or (isinstance(value, tuple) and any(isinstance(v, tuple | list) for v in value))
    return isinstance(value, list | tuple | np.ndarray | range)


def _member(spec: DenseSpec | ModuleSpec, seed: int, setting: Mapping[str, Any]) -> Member:
    schedule = setting["schedule"]
    fixed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in setting.items()
    }
    if isinstance(spec, ModuleSpec) and spec.layout == "stacked" and spec.chain is not None:
        fixed.setdefault("dropout", spec.chain.dropout)
    fixed["learning_rate"] = float(setting["learning_rate"])
    fixed["schedule"] = Schedule(schedule) if isinstance(schedule, str) else schedule
    return Member(spec=spec, seed=int(seed), **fixed)


def part_of(data: Any, what: str = "data") -> Part:
    """Rows to train on from a pair or triple of tensors or arrays, a Part, or an iterable of batches.

    >>> len(part_of((np.zeros((5, 2)), np.arange(5))))
    5
    """
    result = data if isinstance(data, Part) else _part(data, what)
    tensors = {"X": result.features, "y": result.targets, "weights": result.weights}
    lengths = {name: len(values) for name, values in tensors.items() if values is not None}
    if len(set(lengths.values())) != 1 or not len(result):
        raise InputError(
            f"the arrays of {what} differ in length",
            expected="the same number of rows in all, at least one",
            received=", ".join(f"{count} of {name}" for name, count in lengths.items()),
        )
    for name, values in tensors.items():
        if values is None or not values.is_floating_point() or bool(values.sum().isfinite()):
            continue  # a finite sum has finite terms, and is ten times faster to ask for
        bad = int((~values.isfinite()).view(len(values), -1).any(1).sum())
        if bad:
            raise InputError(
                f"{name} of {what} has values that are not finite",
                expected="numbers",
                received=f"NaN or infinity in {bad} of {len(values)} rows",
                remedy="remove or fill those rows first",
            )
    return result


def _part(data: Any, what: str) -> Part:
    pieces = data if isinstance(data, tuple) else _collected(data, what)
    if len(pieces) not in (2, 3):
        raise InputError(
            f"{what} has an unknown form", expected="(X, y) or (X, y, weights)", received=f"{len(pieces)} parts"
        )
    X, y, *rest = (torch.as_tensor(piece) for piece in pieces)
    if X.ndim < 2:
        raise InputError(f"{what} has no columns", expected="X of shape [N, ...]", received=f"shape {list(X.shape)}")
    X = X.float() if X.dtype in (torch.uint8, torch.bool) else X  # other whole numbers are codes: a module embeds them
    y = y if y.is_floating_point() else y.long()
    y = y.squeeze(1) if y.ndim == 2 and y.shape[1] == 1 else y
    return Part(X, torch.zeros(len(X), 0, dtype=torch.int64), y, rest[0] if rest else None)


def _collected(batches: Iterable[Any], what: str) -> tuple[Tensor, ...]:
    """All batches of an iterable, end to end."""
    try:
        result = [tuple(torch.as_tensor(piece) for piece in batch) for batch in batches]
    except TypeError as error:
        raise InputError(
            f"{what} has an unknown form",
            expected="(X, y), (X, y, weights), or batches of them such as a DataLoader",
            received=type(batches).__name__,
        ) from error
    if not result:
        raise InputError(f"{what} has no batches", expected="at least one batch (x, y)")
    return tuple(torch.cat(pieces) for pieces in zip(*result, strict=True))


def loss_for(targets: Tensor, loss: AnyLoss | None) -> str | Loss | Criterion:
    """The loss asked for, PyTorch's own ones by their names here; without one, what the targets' type suggests."""
    if loss is None:
        return "mse" if targets.is_floating_point() else "softmax"
    if isinstance(loss, Criterion | Loss):
        return loss
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ConfigError([f"'{loss}' is not one of {', '.join(LOSSES)}; {nearest(loss, LOSSES)}".rstrip("; ")])
        return loss
    for kind, name in _PLAIN.items():
        plain = loss is kind or (isinstance(loss, nn.Module) and type(loss) is kind and _same(loss, kind()))
        if plain and (name != "softmax" or not targets.is_floating_point() or targets.ndim == 2):
            return name
    return Criterion(loss)


def _same(loss: nn.Module, default: nn.Module) -> bool:
    simple = {k: v for k, v in vars(default).items() if isinstance(v, int | float | str | bool)}
    plain = all(getattr(loss, name, None) == value for name, value in simple.items())
    return plain and all(t is None for t in loss._buffers.values())


_PLAIN: dict[Any, str] = {
    nn.CrossEntropyLoss: "softmax",
    nn.MSELoss: "mse",
    nn.L1Loss: "mae",
    nn.HuberLoss: "huber",
    nn.NLLLoss: "negative log-likelihood",
    F.cross_entropy: "softmax",
    F.mse_loss: "mse",
    F.l1_loss: "mae",
}


def _flattened(spec: DenseSpec | ModuleSpec, part: Part) -> Part:
    dense = isinstance(spec, DenseSpec) or spec.layout == "stacked"
    if not dense:
        return part
    features = part.features.flatten(1)
    wanted = spec.inputs if isinstance(spec, DenseSpec) else spec.chain.spec.inputs if spec.chain else 0
    if features.shape[1] != wanted:
        raise InputError(
            "the network does not fit the data",
            expected=f"rows of {wanted} numbers, as many as the network has inputs",
            received=f"rows of {features.shape[1]}",
        )
    return replace(part, features=features.float() if not features.is_floating_point() else features)
