"""`luthier.train`: networks of the user's own, trained together, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from luthier.engine.member_shares import train_shares
from luthier.engine.members.batches import cast, epoch_steps
from luthier.engine.members.checkpoint import FileCheckpoint
from luthier.engine.members.devices import AUTO, CPU
from luthier.engine.members.member import Member
from luthier.engine.members.module_spec import ModuleSpec
from luthier.engine.members.settings import Evaluation, Settings
from luthier.engine.members.sharing import several_processes
from luthier.engine.placing import Turn, candidates, carried, faster, in_turns
from luthier.engine.populations.distributed import run_distributed
from luthier.engine.populations.layouts import choose
from luthier.engine.populations.loaders import loss_taken, numbers_in, part_of, types_taken
from luthier.engine.populations.outcome import Outcome, merged
from luthier.engine.processes import train_in_processes
from luthier.engine.train import train
from luthier.errors import ConfigError, InputError, nearest, users_code
from luthier.identity import name_of
from luthier.nets import DeferredSpec, DenseSpec
from luthier.objective import (
    AnyLoss,
    Criterion,
    Loss,
    Metric,
    column,
    has_gaps,
    loss_for,
    outputs_for,
    shared_outputs,
    targets_for,
)
from luthier.optimise import AnyRule, AnySchedule, is_optimiser, schedule_for
from luthier.records import Finding
from luthier.renamed import current_hyper_parameters
from luthier.rows import Inputs, Rows

_NUMBERS = ("learning_rate", "momentum", "l2", "l1", "weight_decay", "ema_decay", "label_smoothing", "noise", "mixup")
_LIMITS = ("clip_norm", "clip_value")  # may be infinite
_ONES = ("batch_size", "steps", "evaluate_every", "accumulate", "processes", "threads")
_COUNTS = {**dict.fromkeys(_ONES, 1), "patience": 0}
Network = nn.Module | Callable[[], nn.Module] | DenseSpec | DeferredSpec
_OF_RULES = ("momentum", "betas", "epsilon", "rho")
_SETTINGS = {field.name for field in fields(Settings)}
_MEMBER = {field.name for field in fields(Member)} - {"spec", "seed", "learning_rate", "schedule", "label"}


def train_networks(
    network: Network,
    data: Any,
    *,
    validation: Any = None,
    loss: AnyLoss | None = None,
    rule: AnyRule = "adam",
    learning_rate: float | Sequence[float] = 1e-3,
    schedule: str | AnySchedule | Callable[[int, int], float] | Sequence[Any] = "constant",
    seeds: int | Sequence[int] = 1,
    epochs: float = 10,
    steps: int | None = None,
    batch_size: int = 64,
    evaluate_every: int | None = None,
    patience: int = 0,
    tolerance: float = 0.0,
    metrics: Sequence[str | Metric] = (),
    accumulate: int = 1,
    mixed_precision: bool = False,
    compile: bool = False,
    only_first_batch: bool = False,
    layout: str | None = None,
    device: str | torch.device = AUTO,
    cuda_graphs: bool = True,
    processes: int = 1,
    threads: int = 1,
    shared: str = "batches",
    checkpoint: str | Path | None = None,
    history: str | Path | None = None,
    every_step: bool = False,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    **hyper: Any,
) -> Outcome:
    """Train one network, or many that differ in seeds and hyper-parameters, and keep each one's best weights.

    `network` is a module, whose present weights every network starts from and which stays as it is;
    or a function that builds one, called for each seed; or a DenseSpec, also a deferred one. `data` and
    `validation` are (X [N, ...], y [N] or [N, C]) or (X, y, weights [N]) of tensors, arrays or frames, or a data
    set or batches of them such as a DataLoader, which are read into memory once. Numbers get the module's type; whole
    numbers stay as they are where the module takes them. X may be a dictionary of such arrays: the module's attribute
    `takes` names those that it is called with, `takes = ("numbers", "codes")`, in that order.

    Without `loss`, whole-number targets get softmax cross-entropy and others the mean squared error. A name of LOSSES
    pairs each row's outputs with its own targets. A loss of torch.nn or a function (outputs, targets) -> number means
    what it means in a plain loop: it gets what the module returns, and targets in the shape in which they were given;
    where PyTorch would broadcast one over the other, so that rows are compared with other rows, that is an InputError.

    `rule` is a name, a Rule of yours, or a class of `torch.optim` (`functools.partial` gives it options), which trains
    networks looped, as it is; `schedule` a name, a Schedule, or a function (step, total) -> multiplier of the rate;
    each of `metrics` a name or a Metric. Gradients of `accumulate` batches of `batch_size` rows make a step;
    `mixed_precision` multiplies in bfloat16, `compile` trains looped what `torch.compile` makes of the module, and
    `only_first_batch` overfits one batch. A list of `learning_rate`, `schedule` or of any hyper-parameter of `Member`
    (momentum, betas, l2, weight_decay, clip_norm, ema_decay, layer_rates, ...) gives a network for each entry, lists of
    equal length going together; `seeds` gives each of those several. Batches are the same for all; networks that differ
    in `noise` or `mixup`, by which their rows are changed, train in turns.

    `epochs` (or `steps`) say how long; every `evaluate_every` steps (an epoch) the networks are measured, and
    `patience` counts those without an improvement of more than `tolerance` (0: to the end). Chains of dense layers
    train `stacked`; other modules `vmapped` or `looped`, whichever a few timed steps show to be faster; `layout`
    overrides. They train on the `device` "cpu", "cuda", "cuda:1" or "mps"; "auto" is where the module lies, or else an
    accelerator that a few timed steps show to be faster. What comes back lies on the processor; a module of yours,
    where it lay. Networks that do not fit into a device's memory together train in turns. On a CUDA device the steps of
    stacked networks are launched many at a time, unless `cuda_graphs` is False. `processes` share the networks out, one
    thread each; in one process blocks of networks step in so many `threads`. With a `checkpoint` file training
    continues where an earlier call with the same arguments was interrupted, bit for bit. `history` names a Parquet file
    for the learning curves, with `every_step` also those of single steps. `on_evaluation` is called after every
    measurement (in one process). In a script that `torchrun` started and that called
    `torch.distributed.init_process_group("gloo")`, the processes share each batch of one training; with
    `shared="members"` each trains some of the networks, on the GPU with its number where they train on "cuda". All get
    the outcome.

    Raises InputError for data, modules and settings that do not fit, all mistakes of the settings at once.

    >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> found = train_networks(net, (X, X.sum(1)), learning_rate=[1e-4, 1e-2], epochs=5)
    >>> found.layout, found.best, type(found.module()).__name__
    ('stacked', 1, 'Sequential')
    """
    given = dict(locals())
    _check_settings(given)
    several = _settings({"learning_rate": learning_rate, "schedule": schedule, **current_hyper_parameters(hyper)})
    gaps = has_gaps(loss)
    part = part_of(data, "data", gaps=gaps)
    held_out = None if validation is None else part_of(validation, "validation", gaps=gaps)
    spec = _spec(network, part, loss)
    part, held_out, chosen, dtype = _suited_to(spec, part, held_out, loss)
    batch, wanted = min(batch_size, len(part)), range(seeds) if isinstance(seeds, int) else list(seeds)
    devices = candidates(device, spec.home if isinstance(spec, ModuleSpec) else CPU, processes=processes)
    if several_processes():
        devices = devices[:1]  # a timing could come out differently in each process
    known = {"device": devices[0], "loss": carried(chosen, devices[0]), "batch_size": batch, "dtype": dtype}
    passed = {name: given[name] for name in _SETTINGS & set(given)} | {"metrics": tuple(metrics)}
    settings = Settings(**passed | known | {"blocks": threads, "steps": 1, "evaluate_every": 1})
    findings, path = list[Finding](), None if checkpoint is None else Path(checkpoint)
    by_members = shared == "members" and several_processes()
    if (processes > 1 or by_members) and on_evaluation is not None:
        what = "processes" if processes > 1 else 'shared="members"'
        raise InputError(f"on_evaluation cannot be combined with {what}", remedy="leave out one of them")
    if isinstance(spec, ModuleSpec):
        asked = layout or _layout_of(path, in_pieces=processes > 1 or by_members)
        if asked is None and several_processes() and (spec.chain is None or isinstance(chosen, Criterion)):
            asked = "looped"  # a timing could come out differently in each process
        spec, findings = choose(spec, len(several) * len(wanted), part, settings, asked)
    least = spec.least_rows if isinstance(spec, ModuleSpec) else 1
    epoch = 1 if only_first_batch else -(-epoch_steps(len(part), batch, least) // accumulate)
    length = steps if steps is not None else max(1, round(epochs * epoch))
    settings = replace(settings, steps=length, evaluate_every=evaluate_every or min(length, epoch))
    flat = _flattened(spec, part), None if held_out is None else _flattened(spec, held_out)
    members = [_member(spec, seed, setting) for setting in several for seed in wanted]
    if not members:
        raise InputError("there are no networks to train", expected="at least one seed", received="none")
    if len(devices) > 1:
        fastest, found = faster(members, flat[0], settings, devices)
        settings, findings = replace(settings, device=fastest, loss=carried(chosen, fastest)), [*findings, found]
    training = partial(_training, processes=processes, on_evaluation=on_evaluation, by_members=by_members)
    outcome = _in_turns(members, flat, settings, path, training)
    outcome.findings[:0] = findings
    if history is not None:
        outcome.history.write(history)
    return outcome


def _suited_to(
    spec: DenseSpec | ModuleSpec, part: Rows, held_out: Rows | None, loss: AnyLoss | None
) -> tuple[Rows, Rows | None, str | Loss | Criterion, torch.dtype]:
    """Both parts as a network takes them, the loss that is meant, and the type that the network computes in."""
    dtype = torch.float32 if isinstance(spec, DenseSpec) else spec.dtype
    kinds = numbers_in(dtype, part.inputs)
    if isinstance(spec, DenseSpec) or spec.chain is not None:
        chosen = loss_for(part.targets, loss, flat=True)
    else:
        kinds = types_taken(spec.module, part.inputs, dtype)
        chosen = loss_taken(spec.module, part.inputs.cast(kinds), part.targets, loss)
    part = suited(part, kinds, chosen, dtype)
    if held_out is not None:
        held_out = suited(alike(part, held_out), kinds, chosen, dtype)
    return part, held_out, chosen, dtype


def _in_turns(
    members: Sequence[Member],
    parts: tuple[Rows, Rows | None],
    settings: Settings,
    path: Path | None,
    training: Callable[..., Callable[[], Outcome]],
) -> Outcome:
    """One outcome of members that train in turns: those whose rows are changed alike, as many as fit the device."""
    turns, findings, outcomes = list[Turn](), list[Finding](), list[Outcome]()
    for share in _seeing_the_same_rows(members):
        some_turns, said = in_turns(members, share, settings, parts[0])
        turns, findings = [*turns, *some_turns], [*findings, *said]
    for number, (share, its) in enumerate(turns):
        some = [members[place] for place in share]
        file = path if path is None or number == 0 else path.with_name(f"{path.name}.rows-{number}")
        outcomes.append(training(some, parts, its, checkpoint=file)())
        outcomes[-1].members = tuple(some)
    outcome = outcomes[0] if len(turns) == 1 else merged(members, [share for share, _ in turns], outcomes)
    outcome.findings[:0] = findings
    return outcome


def _training(
    members: Sequence[Member],
    parts: tuple[Rows, Rows | None],
    settings: Settings,
    *,
    checkpoint: Path | None,
    processes: int,
    on_evaluation: Callable[[Evaluation], None] | None,
    by_members: bool,
) -> Callable[[], Outcome]:
    """The training of one population, in as many processes as are asked for."""
    if processes > 1 and len(members) > 1:
        return partial(train_in_processes, members, *parts, settings, processes, checkpoint=checkpoint)
    if by_members:
        return partial(train_shares, members, *parts, settings, checkpoint=checkpoint)
    kept = None if checkpoint is None else FileCheckpoint(checkpoint)
    training = partial(train, members, *parts, settings, checkpoint=kept, on_evaluation=on_evaluation)
    return partial(run_distributed, (members[0].spec, settings), training) if several_processes() else training


def _seeing_the_same_rows(members: Sequence[Member]) -> list[list[int]]:
    """Places of members that train together: those whose rows are changed alike."""
    result: dict[tuple[float, float], list[int]] = {}
    for place, member in enumerate(members):
        result.setdefault((member.noise, member.mixup), []).append(place)
    return list(result.values())


def _layout_of(checkpoint: Path | None, *, in_pieces: bool) -> str | None:
    """The layout that an interrupted training was in: another would round otherwise."""
    if checkpoint is None:
        return None
    names = [checkpoint.name] if not in_pieces else [f"{checkpoint.name}.0", checkpoint.name]
    result = (FileCheckpoint(checkpoint.with_name(name)).load() for name in names)
    return next((str(saved.facts["layout"]) for saved in result if saved is not None), None)


def suited(part: Rows, kinds: Mapping[str, torch.dtype], loss: str | Loss | Criterion, dtype: torch.dtype) -> Rows:
    """A part as networks of this type and a loss take it, its inputs of these kinds."""
    return cast(replace(part, inputs=part.inputs.cast(kinds), targets=targets_for(loss, part.targets)), dtype)


def alike(training: Rows, validation: Rows) -> Rows:
    """The validation part. InputError where its rows have another shape or other targets than those of training."""
    if set(training.inputs) != set(validation.inputs):
        raise InputError(
            "training and validation have other inputs",
            expected=", ".join(training.inputs),
            received=", ".join(validation.inputs),
        )
    pairs = [("rows", value, validation.inputs[name]) for name, value in training.inputs.items()]
    for name, ours, theirs in (*pairs, ("targets", training.targets, validation.targets)):
        if ours.shape[1:] != column(theirs).shape[1:] and ours.shape[1:] != theirs.shape[1:]:
            raise InputError(
                f"training and validation {name} differ in shape",
                expected=f"{name} of shape {list(ours.shape[1:])}, as in data",
                received=f"{name} of shape {list(theirs.shape[1:])}",
            )
    if training.targets.is_floating_point() != validation.targets.is_floating_point():
        types = [str(part.targets.dtype).removeprefix("torch.") for part in (training, validation)]
        raise InputError(
            "training and validation targets differ in type",
            expected=f"{types[0]}, as in data",
            received=types[1],
            remedy="whole numbers are classes, others values: convert one of them",
        )
    return validation


def _spec(network: Network, part: Rows, loss: AnyLoss | None) -> DenseSpec | ModuleSpec:
    if isinstance(network, DenseSpec | DeferredSpec):
        return known_spec(network, part, loss)
    return ModuleSpec(network)


def known_spec(spec: DenseSpec | DeferredSpec, part: Rows, loss: AnyLoss | None = None) -> DenseSpec:
    """The spec for these rows and this loss: a deferred one reads its inputs and outputs off them."""
    if isinstance(spec, DenseSpec):
        return spec
    known = loss_for(part.targets, loss, flat=True)
    outputs = spec.outputs or outputs_for(known, part.targets)
    if shared := shared_outputs(known, outputs):
        spec = replace(spec, options={"constant_outputs": shared, **spec.options})
    return spec.known(inputs=part.numbers.flatten(1).shape[1], outputs=outputs)


def _check_settings(given: Mapping[str, Any]) -> None:
    """Raise ConfigError unless numbers of rows, steps and networks are such numbers, all mistakes at once."""
    mistakes = []
    for name, least in _COUNTS.items():
        value = given[name]
        if value is None and name in ("steps", "evaluate_every"):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            mistakes.append(f"{name} must be at least {least}, and a whole number, not {value!r}")
    for name in ("epochs", "tolerance"):
        value = given[name]
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            mistakes.append(f"{name} must be a number of at least 0, not {value!r}")
    if given["shared"] not in ("batches", "members"):
        mistakes.append(f"shared must be batches or members, not {given['shared']!r}")
    seeds = given["seeds"]
    if not isinstance(seeds, int) and not (_is_list("seeds", seeds) and all(isinstance(s, int) for s in seeds)):
        mistakes.append(f"seeds are a number of networks, or a list of whole numbers, not {seeds!r}")
    if is_optimiser(given["rule"]) and (idle := [name for name in _OF_RULES if name in given["hyper"]]):
        own = f"functools.partial(torch.optim.{name_of(given['rule'])}, ...)"
        mistakes.append(f"an optimiser of torch.optim takes its own options, by {own}, not {', '.join(idle)}")
    if isinstance(given["metrics"], str | Metric):
        mistakes.append(f"metrics are a list of names, not {given['metrics']!r}")
    if mistakes:
        raise ConfigError(mistakes)


def _settings(choices: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One dictionary for each network (before seeds): lists go together, single values are repeated."""
    known = sorted(_MEMBER | {"learning_rate", "schedule"})
    unknown = [name for name in choices if name not in known]
    names = [*known, *signature(train_networks).parameters]
    mistakes = [f"'{name}' is not a setting of train; {nearest(name, names)}".rstrip("; ") for name in unknown]
    lists = {name: list(value) for name, value in choices.items() if _is_list(name, value)}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        mistakes.append(f"lists must have the same length, not {lengths}")
    for name, value in choices.items():
        for one in lists.get(name, [value]):
            if name in _NUMBERS + _LIMITS and not (_is_number(one) and (one < math.inf or name in _LIMITS)):
                mistakes.append(f"{name} must be a number of at least 0, not {one!r}")
            if name == "betas" and not (isinstance(one, tuple | list) and len(one) == 2 and all(map(_is_share, one))):
                mistakes.append(f"betas must be two numbers of at least 0 and below 1, not {one!r}")
    if mistakes:
        raise ConfigError(mistakes)
    count = max(lengths.values(), default=1)
    return [{name: lists[name][k] if name in lists else value for name, value in choices.items()} for k in range(count)]


def _is_list(name: str, value: Any) -> bool:
    """Whether a value is one for each network; a tuple is a value where the hyper-parameter is one."""
    if name in ("betas", "dropout", "layer_rates", "frozen_until"):
        return isinstance(value, list) or (isinstance(value, tuple) and any(isinstance(v, tuple | list) for v in value))
    return isinstance(value, list | tuple | np.ndarray | range)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(value >= 0)


def _is_share(value: Any) -> bool:
    return _is_number(value) and bool(value < 1)


def _member(spec: DenseSpec | ModuleSpec, seed: int, setting: Mapping[str, Any]) -> Member:
    fixed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in setting.items()
    }
    if isinstance(spec, ModuleSpec) and spec.layout == "stacked" and spec.chain is not None:
        fixed.setdefault("dropout", spec.chain.dropout)
    fixed["learning_rate"] = float(setting["learning_rate"])
    fixed["schedule"] = schedule_for(setting["schedule"])
    with users_code("a hyper-parameter cannot be used", expected="numbers, or a list of them for several networks"):
        return Member(spec=spec, seed=int(seed), **fixed)


def _flattened(spec: DenseSpec | ModuleSpec, part: Rows) -> Rows:
    dense = isinstance(spec, DenseSpec) or spec.layout == "stacked"
    if not dense:
        return part
    features = (part.numbers if isinstance(spec, DenseSpec) else part.inputs.only).flatten(1)
    wanted = spec.inputs if isinstance(spec, DenseSpec) else spec.chain.spec.inputs if spec.chain else 0
    if features.shape[1] != wanted:
        raise InputError(
            "the network does not fit the data",
            expected=f"rows of {wanted} numbers, as many as the network has inputs",
            received=f"rows of {features.shape[1]}",
        )
    numbers = features if features.is_floating_point() else features.float()
    own = part.inputs if isinstance(spec, DenseSpec) else Inputs()
    return replace(part, inputs=own.replaced(numbers=numbers))
