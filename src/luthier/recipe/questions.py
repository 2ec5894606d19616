"""The recipe's sixteen questions about an adopted setting: itself beside itself with one thing undone, or done.

In the order of the recipe: what fits the training set, then what closes the gap to the validation set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from luthier.engine import Schedule
from luthier.recipe.factors import AUGMENTATIONS, reshaped, with_hidden, with_inputs
from luthier.recipe.fold_bags import learnt_rows
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting

DROPPED, PENALTY, CLIP, SLOWER = 0.25, 1e-3, 1.0, 1 / 3  # what is tried of a remedy that the adopted setting lacks


@dataclass(frozen=True)
class Question:
    """A question by its name: whether the adopted setting has the thing, and the setting with it undone, or done.

    `value` is what the other setting has in its place, where that has a value.
    """

    name: str
    used: bool
    other: Setting
    value: str = ""


def questions(runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
    """All sixteen, for the adopted setting and the rates that the range tests found."""
    yield from _of_training(now, rates)
    yield from _of_validation(runner, now)


def _of_training(now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
    member, hidden, rate = now.member, now.member.spec.hidden, now.member.learning_rate
    yield Question("rate", True, _with(now, learning_rate=rate * SLOWER))
    other = replace(_with(now, learning_rate=rates["sgd"], width_scaled=False, rate_factors=()), rule="sgd")
    yield Question("Adam", True, other)
    used = member.schedule.kind != "constant"
    kind = "constant" if used else "cosine"
    yield Question("decay", used, _with(now, schedule=Schedule(kind)))
    used = member.schedule.kind in ("coslog4", "restarts")
    kind = "cosine" if used else "coslog4"
    yield Question("restarts", used, _with(now, schedule=Schedule(kind)))
    units = reshaped(hidden, 0.5, 0)
    yield Question("units", True, with_hidden(now, units))
    size = now.batch_size * 2
    yield Question("batch size", True, replace(now, batch_size=size), f"{size}")
    deeper = len(hidden) > 1
    layers = reshaped(hidden, 1.0, -1 if deeper else 1)
    yield Question("layers", deeper, with_hidden(now, layers))


def _of_validation(runner: Runner, now: Setting) -> Iterator[Question]:
    member, spec, numbers = now.member, now.member.dense, runner.problem.data.training.numbers.shape[1]
    last, others = member.drop_rates[-1], max(member.drop_rates[:-1], default=0.0)
    changed = (*member.drop_rates[:-1], 0.0 if last else DROPPED)
    yield Question("dropout, last layer", last > 0, _with(now, dropout=changed), f"{0.0 if last else DROPPED:g}")
    p = 0.0 if last and others else DROPPED
    yield Question("dropout, all layers", p == 0, _with(now, dropout=(p,) * len(spec.hidden)), f"{p:g}")
    used = bool(member.l2 or member.weight_decay)
    penalty = 0.0 if used else PENALTY * learnt_rows(runner.problem)
    yield Question("L2", used, _with(now, l2=penalty, weight_decay=0.0), "" if used else f"{PENALTY:g}")
    if numbers:
        used, method = now.method != "standardise", "standardise" if now.method != "standardise" else "robust"
        other = with_inputs(runner.problem, now, (method, None))
        yield Question("input normalisation", used, other, method)
    used = spec.normalised
    other = _with(now, spec=replace(spec, batch_norm=not used, layer_norm=False))
    yield Question("batch norm", used, other)
    used = bool(member.noise or member.mixup)
    name = "none" if used else "noise" if spec.inputs else "mix-up"
    yield Question("augmentation", used, _with(now, **AUGMENTATIONS[name]), "" if used else name)
    used = member.clip_norm < inf
    yield Question("clipping", used, _with(now, clip_norm=inf if used else CLIP), "" if used else f"{CLIP:g}")
    used = spec.initialiser == "he"
    other = _with(now, spec=replace(spec, initialiser="xavier" if used else "he"))
    yield Question("initialisation", used, other)
    used = spec.residual
    alike = spec.hidden if len(spec.hidden) > 1 else spec.hidden * 2  # one layer has nothing to skip
    other = with_hidden(now, alike, residual=not used)
    yield Question("architecture", used, other)


def _with(now: Setting, **changes: Any) -> Setting:
    return replace(now, member=replace(now.member, **changes))
