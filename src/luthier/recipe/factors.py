"""What the designed experiments of steps 3 and 4 vary on tables: shapes, and the factors within each of them.

A shape is what makes a population (units, layers, batch size, rule, norm, input encoding, length); all other factors
differ from network to network of a stack. Names are those of the recipe's questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from luthier.engine import Schedule
from luthier.machine import default_memory
from luthier.nets import AnyEmbedding, NumberEmbedding
from luthier.objective import metric_named, shared_outputs
from luthier.recipe.first_setting import EMBEDDED, METHOD, FirstSetting, TableShape, first_setting
from luthier.recipe.fold_bags import learnt_rows
from luthier.recipe.plan import CODED, ENCODINGS, WIDEST
from luthier.recipe.problem import Problem
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.statistics.designs import Factor, ShapeFactor

Shape = Mapping[str, Any]
NEAR_THE_END = 0.95  # coded: beyond it a factor that has an "off" is off
LENGTH = "length"  # of a shape's trainings: varied where they are whole, since short ones favour what is long
SLOWEST, FASTEST = 1 / 8, 4.0  # times the rate of the range test
FEWEST_UNITS, LARGEST_BATCH = 4, 1024
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {"noise": 0.0, "mixup": 0.0},
    "noise": {"noise": 0.1, "mixup": 0.0},
    "mix-up": {"noise": 0.0, "mixup": 0.2},
}
NORMS = {"none": (False, False), "batch norm": (True, False), "layer norm": (False, True)}


@dataclass(frozen=True)
class FactorSpace:
    """What a step varies: the choices of a shape and the factors within, where it starts, and what a point is."""

    choices: tuple[ShapeFactor, ...]
    first_shape: Shape
    factors: tuple[Factor, ...]
    first_values: Mapping[str, float]
    build: Callable[[Shape, Mapping[str, float]], Setting]

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
        return replace(result, label=_in_words(result))


def _switched(factor: Factor, coded: float) -> float:
    """A factor's value; off at the end of its range that means nothing."""
    if factor.name in _OFF_BELOW and coded <= -NEAR_THE_END:
        return 0.0
    if factor.name == "clipping" and coded >= NEAR_THE_END:
        return inf
    return factor.value(coded)


SMOOTHING = Factor("label smoothing", 0.0, 0.2, least=0.0, most=0.5)
_OFF_BELOW = ("dropout, last layer", "dropout, other layers", "L2", "decoupled decay", "averaging", SMOOTHING.name)


def start_of(problem: Problem) -> FirstSetting:
    """The strong first setting of a problem's table (see `first_setting`)."""
    training = problem.data.training
    numbers = training.numbers.shape[1]
    flags = problem.prepared(METHOD)[1].features.shape[1] - numbers
    rows, sizes = learnt_rows(problem), problem.data.encoder.category_sizes
    constant = shared_outputs(problem.loss, problem.outputs)
    return first_setting(TableShape(problem.task.family, rows, numbers, sizes, problem.outputs, flags, constant))


def encodings(problem: Problem, methods: Sequence[str]) -> dict[str, tuple[str, AnyEmbedding | None]]:
    """How numbers may enter, by name: a way of preprocessing, and learned functions of them beside one of these."""
    numbers = problem.data.training.numbers.shape[1]
    if not numbers:
        return {METHOD: (METHOD, None)}
    embedded = {"embedded": (METHOD, NumberEmbedding(numbers))} if numbers <= EMBEDDED else {}
    others = [method for method in methods if method not in ("standardise", METHOD) and _is_light(problem, method)]
    return {**embedded, **{method: (method, None) for method in (METHOD, *others)}}


def _is_light(problem: Problem, method: str) -> bool:
    """Whether the rows behind a way of preprocessing take no more than their part of the memory."""
    rows = len(problem.data.training) + len(problem.data.validation)
    inputs = problem.data.training.numbers.shape[1] * (CODED if method in ("piecewise", "periodic") else 1)
    return 4 * rows * inputs * ENCODINGS <= problem.data.memory_beside(problem.asked.memory or default_memory()) / 4


def training_space(runner: Runner) -> FactorSpace:
    """Step 3: what may fit the training set, around the strong first setting."""
    problem, start = runner.problem, start_of(runner.problem).setting
    batch, inputs = start.batch_size, encodings(runner.problem, runner.plan.methods)
    sizes = dict.fromkeys((batch, 2 * batch, batch // 2))
    batches = tuple(size for size in sizes if 8 <= size <= min(learnt_rows(problem), LARGEST_BATCH))
    choices = (
        ShapeFactor("input encoding", tuple(inputs)),
        ShapeFactor("units", (1.0, 0.5, 2.0)),
        ShapeFactor("layers", (0, -1, 1)),
        ShapeFactor("activation", ("selu", "relu")),
        ShapeFactor("batch size", batches or (batch,)),
    )
    factors = (
        Factor("rate", SLOWEST, FASTEST, log=True),
        Factor("decay", -1.0, 1.0),
        Factor("restarts", -1.0, 1.0),
        Factor("memory", 0.001, 0.2, log=True, most=0.5),  # of squared gradients: 1 - beta2
    )

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        kind = "constant" if values["decay"] <= 0 else "coslog4" if values["restarts"] > 0 else "cosine"
        shaped = with_hidden(start, reshaped(start.member.spec.hidden, shape["units"], shape["layers"]))
        encoded = with_inputs(problem, shaped, inputs[shape["input encoding"]])
        member = replace(
            encoded.member,
            spec=replace(encoded.member.dense, activation=shape["activation"]),
            learning_rate=start.member.learning_rate * values["rate"],
            schedule=Schedule(kind),
            betas=(0.9, 1 - values["memory"]),
        )
        return replace(encoded, member=member, batch_size=shape["batch size"], length=shape.get(LENGTH, 1.0))

    first = {choice.name: choice.levels[0] for choice in choices}
    values = {"rate": 1.0, "decay": 1.0, "restarts": 1.0, "memory": 1 - start.member.betas[1]}
    return FactorSpace(choices, first, factors, values, build)


def validation_space(runner: Runner, now: Setting) -> FactorSpace:
    """Step 4: what may close the gap to rows that were not learnt from, around the setting of step 3."""
    problem, member, spec = runner.problem, now.member, now.member.dense
    inputs = encodings(problem, runner.plan.methods)
    known = next((name for name, one in inputs.items() if one == (now.method, spec.number_embedding)), now.method)
    inputs = {known: (now.method, spec.number_embedding), **inputs}
    choices = (
        ShapeFactor("input encoding", tuple(inputs)),
        ShapeFactor("batch norm", tuple(NORMS)),
        ShapeFactor("units", (1.0, 0.5, 2.0)),
        ShapeFactor("architecture", (0, 1, -1) if len(spec.hidden) > 1 else (0, 1)),
        ShapeFactor("augmentation", tuple(name for name in AUGMENTATIONS if problem.mixes or name != "mix-up")),
    )
    factors = (
        Factor("rate", 1 / 4, 4.0, log=True),
        Factor("dropout, last layer", 0.0, 0.6, least=0.0, most=0.9),
        Factor("dropout, other layers", 0.0, 0.6, least=0.0, most=0.9),
        Factor("L2", 1e-6, 1e-2, log=True, most=0.1),  # lambda / n
        Factor("decoupled decay", 1e-3, 0.3, log=True, most=1.0),
        Factor("clipping", 0.3, 30.0, log=True, least=0.03),
        Factor("averaging", 1e-3, 0.1, log=True, most=0.5),  # share of the training that an average remembers
        *([SMOOTHING] if _counts_classes(problem) else []),
    )
    rows = learnt_rows(problem)  # l2 / rows is the penalty

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        batch_norm, layer_norm = NORMS[shape["batch norm"]]
        hidden = reshaped(spec.hidden, shape["units"], shape["architecture"])
        shaped = with_inputs(problem, with_hidden(now, hidden), inputs[shape["input encoding"]])
        last, others = values["dropout, last layer"], values["dropout, other layers"]
        changed = replace(
            shaped.member,
            spec=replace(shaped.member.dense, batch_norm=batch_norm, layer_norm=layer_norm),
            learning_rate=member.learning_rate * values["rate"],
            dropout=(others,) * (len(hidden) - 1) + (last,) if max(last, others) > 0 else (),
            l2=values["L2"] * rows,
            weight_decay=values["decoupled decay"],
            clip_norm=values["clipping"],
            label_smoothing=values.get(SMOOTHING.name, 0.0),
            **AUGMENTATIONS[shape["augmentation"]],
        )
        return replace(
            shaped, member=changed, length=now.length * shape.get(LENGTH, 1.0), averaging=values["averaging"]
        )

    first = {choice.name: choice.levels[0] for choice in choices}
    first["batch norm"] = next(name for name, norms in NORMS.items() if norms == (spec.batch_norm, spec.layer_norm))
    start = {
        "rate": 1.0,
        "dropout, last layer": member.drop_rates[-1],
        "dropout, other layers": max(member.drop_rates[:-1], default=0.0),
        "L2": max(1e-6, member.l2 / rows),
        "decoupled decay": max(1e-3, member.weight_decay),
        "clipping": min(30.0, member.clip_norm),
        "averaging": max(1e-3, now.averaging),
        SMOOTHING.name: member.label_smoothing,
    }
    return FactorSpace(choices, first, factors, start, build)


def _counts_classes(problem: Problem) -> bool:
    """Whether the metric that was asked for counts right classes: smoothed labels may raise it, as well as the loss."""
    known = problem.task.is_classes and problem.mixes
    return known and bool(problem.asked_metric) and metric_named(problem.asked_metric).of_classes


def with_hidden(now: Setting, hidden: tuple[int, ...], *, residual: bool | None = None) -> Setting:
    """The setting with other hidden layers; each drops as the one in its place did."""
    rates, spec = now.member.dropout, now.member.dense
    if rates and len(rates) != len(hidden):
        rates = (rates[0] if len(rates) > 1 else 0.0,) * (len(hidden) - 1) + (rates[-1],)
    skips = spec.residual if residual is None else residual
    return replace(now, member=replace(now.member, spec=replace(spec, hidden=hidden, residual=skips), dropout=rates))


def with_inputs(problem: Problem, now: Setting, encoding: tuple[str, AnyEmbedding | None]) -> Setting:
    """The setting behind another way of preprocessing, with or without learned functions of numbers."""
    method, embedding = encoding
    inputs = problem.prepared(method)[1].features.shape[1]
    spec = replace(now.member.dense, inputs=inputs, number_embedding=embedding)
    return replace(now, method=method, member=replace(now.member, spec=spec))


def reshaped(hidden: tuple[int, ...], times: float, more: int) -> tuple[int, ...]:
    """Hidden layers with so many times the units, and some more or fewer of them.

    >>> reshaped((64, 64), 0.5, 1), reshaped((64, 64), 1.0, -1)
    ((32, 32, 32), (64,))
    """
    result = tuple(min(WIDEST, max(FEWEST_UNITS, round(units * times))) for units in hidden)
    return result + result[-1:] * more if more >= 0 else result[:more]


def _in_words(setting: Setting) -> str:
    """What sets a network apart, in a line."""
    member, hidden = setting.member, setting.member.spec.hidden
    words = [
        "x".join(map(str, hidden)) or "linear",
        setting.method + (" with learned functions" if member.dense.number_embedding else ""),
        setting.rule,
        f"batches of {setting.batch_size}",
        f"rate {member.learning_rate:.3g}",
        member.schedule.kind,
    ]
    if setting.length != 1:
        words.append(f"{setting.length:g} times as long")
    norm = "batch norm" if member.dense.batch_norm else "layer norm" if member.dense.layer_norm else ""
    regularised = {
        "dropout ": "/".join(f"{p:.2g}" for p in member.dropout) if any(member.dropout) else "",
        "L2 ": f"{member.l2:.2g}" if member.l2 else "",
        "decay ": f"{member.weight_decay:.2g}" if member.weight_decay else "",
        "clip ": f"{member.clip_norm:.2g}" if member.clip_norm < inf else "",
        "averaged ": f"{setting.averaging:.2g}" if setting.averaging else "",
        "noise ": f"{member.noise:g}" if member.noise else "",
        "mix-up ": f"{member.mixup:g}" if member.mixup else "",
        "smoothing ": f"{member.label_smoothing:.2g}" if member.label_smoothing else "",
    }
    return ", ".join(words + [norm] * bool(norm) + [name + value for name, value in regularised.items() if value])
