"""What a designed experiment varies: choices that make a shape, and factors within each shape.

A shape is what makes a population (layers, batch size, input encoding, length); all other factors differ from network
to network of a stack. Names are those of the recipe's questions. What every modality varies alike is here. F factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from luthier.engine import Member, Schedule
from luthier.messages import Message, joined
from luthier.nets import Spec
from luthier.objective import metric_named
from luthier.recipe.experiment.fold_bags import learnt_rows
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.statistics.designs import Factor, ShapeFactor

Shape = Mapping[str, Any]
InWords = Callable[[Setting], list[str]]  # a setting's network and how its inputs enter, in parts
NEAR_THE_END = 0.95  # coded: beyond it a factor that has an "off" is off
LENGTH = "length"  # of a shape's trainings: varied where they are whole, since short ones favour what is long
LOSS = "loss"  # that networks learn by
SLOWEST, FASTEST = 1 / 8, 4.0  # times the first rate
FEWEST_ROWS, LARGEST_BATCH = 8, 1024  # of a batch

TRAINING_FACTORS = (
    Factor("rate", SLOWEST, FASTEST, log=True),
    Factor("decay", -1.0, 1.0),
    Factor("restarts", -1.0, 1.0),
    Factor("memory", 0.001, 0.2, log=True, most=0.5),  # of squared gradients: 1 - beta2
)
RATE_AGAIN = Factor("rate", 1 / 4, 4.0, log=True)
REGULARISERS = (
    Factor("L2", 1e-6, 1e-2, log=True, most=0.1),  # lambda / n
    Factor("decoupled decay", 1e-3, 0.3, log=True, most=1.0),
    Factor("clipping", 0.3, 30.0, log=True, least=0.03),
    Factor("averaging", 1e-3, 0.1, log=True, most=0.5),  # share of the training that an average remembers
)
SMOOTHING = Factor("label smoothing", 0.0, 0.2, least=0.0, most=0.5)
_OFF_BELOW = ("dropout, last layer", "dropout, other layers", "L2", "decoupled decay", "averaging", SMOOTHING.name)


@dataclass(frozen=True)
class FactorSpace:
    """What a step varies: the choices of a shape and the factors within, where it starts, and what a point is."""

    choices: tuple[ShapeFactor, ...]
    first_shape: Shape
    factors: tuple[Factor, ...]
    first_values: Mapping[str, float]
    build: Callable[[Shape, Mapping[str, float]], Setting]
    in_words: InWords

    @property
    def names(self) -> tuple[str, ...]:
        """The factors, in the order of a point's coordinates."""
        return tuple(factor.name for factor in self.factors)

    @property
    def first_point(self) -> np.ndarray:
        """Where the step starts, coded [F]."""
        return np.array([factor.coded(self.first_values[factor.name]) for factor in self.factors])

    def setting(self, shape: Shape, point: np.ndarray) -> Setting:
        """The setting at a coded point [F] of a shape."""
        values = {
            factor.name: _switched(factor, coded) for factor, coded in zip(self.factors, point.tolist(), strict=True)
        }
        result = self.build(shape, values)
        return replace(result, label=_listed([*self.in_words(result), *_training_in_words(result)]))


def training_space(
    start: Setting, choices: tuple[ShapeFactor, ...], network: Callable[[Shape], Spec], in_words: InWords
) -> FactorSpace:
    """Around a first setting: the networks of the choices' shapes, and how they train."""

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        member = replace(trained_by(start.member, start.member, values), spec=network(shape))
        return replace(start, member=member, batch_size=shape["batch size"], length=shape.get(LENGTH, 1.0))

    values = first_training(start.member)
    return FactorSpace(choices, first_levels(choices), TRAINING_FACTORS, values, build, in_words)


def validation_space(
    problem: Problem,
    now: Setting,
    choices: tuple[ShapeFactor, ...],
    changed: Callable[[Shape], Member],
    in_words: InWords,
) -> FactorSpace:
    """Around a setting: its member changed by the choices, and what regularises it."""
    rows = learnt_rows(problem)

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        length = now.length * shape.get(LENGTH, 1.0)
        member = regularised(changed(shape), now.member, values, rows)
        return replace(now, member=member, length=length, averaging=values["averaging"])

    start, factors = first_regularisers(now, rows), (RATE_AGAIN, *regularisers(problem))
    return FactorSpace(choices, first_levels(choices), factors, start, build, in_words)


def _switched(factor: Factor, coded: float) -> float:
    """A factor's value; off at the end of its range that means nothing."""
    if factor.name in _OFF_BELOW and coded <= -NEAR_THE_END:
        return 0.0
    if factor.name == "clipping" and coded >= NEAR_THE_END:
        return inf
    return factor.value(coded)


def first_levels(choices: tuple[ShapeFactor, ...]) -> Shape:
    """The shape of each choice's first level."""
    return {choice.name: choice.levels[0] for choice in choices}


def batch_sizes(problem: Problem, now: int) -> ShapeFactor:
    """This batch size, its double and its half."""
    sizes = dict.fromkeys((now, 2 * now, now // 2))
    known = tuple(size for size in sizes if FEWEST_ROWS <= size <= min(learnt_rows(problem), LARGEST_BATCH))
    return ShapeFactor("batch size", known or (now,))


def losses_first(problem: Problem, now: Setting | None = None) -> tuple[ShapeFactor, ...]:
    """The losses to learn by, where the metric that decides makes it a question: the one in use first."""
    known = [now.loss] if now is not None and now.loss else []
    return (ShapeFactor(LOSS, tuple(dict.fromkeys((*known, *problem.losses)))),) if problem.asks_losses else ()


def trained_by(member: Member, start: Member, values: Mapping[str, float]) -> Member:
    """A member with what the TRAINING_FACTORS change in how the first one trains."""
    kind = "constant" if values["decay"] <= 0 else "coslog4" if values["restarts"] > 0 else "cosine"
    rate = start.learning_rate * values["rate"]
    return replace(member, learning_rate=rate, schedule=Schedule(kind), betas=(0.9, 1 - values["memory"]))


def first_training(start: Member) -> dict[str, float]:
    """The TRAINING_FACTORS' values of a member."""
    restarts = 1.0 if start.schedule.kind == "coslog4" else -1.0
    return {"rate": 1.0, "decay": 1.0, "restarts": restarts, "memory": 1 - start.betas[1]}


def regularisers(problem: Problem) -> tuple[Factor, ...]:
    """The REGULARISERS, with label smoothing where it may help what is asked for."""
    metric = problem.asked_metric if problem.task.is_classes and problem.mixes else ""
    if metric and metric_named(metric).of_classes:  # what counts right classes may rise with smoothed labels
        return (*REGULARISERS, SMOOTHING)
    return REGULARISERS


def regularised(member: Member, now: Member, values: Mapping[str, float], rows: int) -> Member:
    """A member with what rate and regularisers change in the one that trains now; l2 / rows is the penalty."""
    return replace(
        member,
        learning_rate=now.learning_rate * values["rate"],
        l2=values["L2"] * rows,
        weight_decay=values["decoupled decay"],
        clip_norm=values["clipping"],
        label_smoothing=values.get(SMOOTHING.name, 0.0),
    )


def first_regularisers(now: Setting, rows: int) -> dict[str, float]:
    """The values of rate and regularisers in a setting."""
    member = now.member
    return {
        "rate": 1.0,
        "L2": max(1e-6, member.l2 / rows),
        "decoupled decay": max(1e-3, member.weight_decay),
        "clipping": min(30.0, member.clip_norm),
        "averaging": max(1e-3, now.averaging),
        SMOOTHING.name: member.label_smoothing,
    }


def _training_in_words(setting: Setting) -> list[str]:
    member = setting.member
    parts: list[str] = [
        setting.rule,
        Message("batches of {size}", size=setting.batch_size),
        Message("rate {rate:.3g}", rate=member.learning_rate),
        member.schedule.kind,
    ]
    if setting.loss:
        parts.append(Message("loss {name}", name=setting.loss))
    if setting.length != 1:
        parts.append(Message("{times:g} times as long", times=setting.length))
    if any(member.dropout):
        parts.append(Message("dropout {shares}", shares="/".join(f"{p:.2g}" for p in member.dropout)))
    clipped = member.clip_norm if member.clip_norm < inf else 0.0
    parts += [Message("L2 {value:.2g}", value=member.l2)] if member.l2 else []
    parts += [Message("decay {value:.2g}", value=member.weight_decay)] if member.weight_decay else []
    parts += [Message("clip {value:.2g}", value=clipped)] if clipped else []
    parts += [Message("averaged {value:.2g}", value=setting.averaging)] if setting.averaging else []
    parts += [Message("noise {value:g}", value=member.noise)] if member.noise else []
    parts += [Message("mix-up {value:g}", value=member.mixup)] if member.mixup else []
    parts += [Message("smoothing {value:.2g}", value=member.label_smoothing)] if member.label_smoothing else []
    return parts


def _listed(parts: list[str]) -> Message:
    return joined(parts, "{first}, {rest}")
