"""What the designed experiments of steps 3 and 4 vary on tables: shapes, and the factors within each of them.

A shape is what makes a population (units, layers, batch size, rule, norm, input encoding, length); all other factors
differ from network to network of a stack. Names are those of the recipe's questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from luthier.engine import Member, Schedule
from luthier.recipe.bags import learnt_rows
from luthier.recipe.plan import WIDEST
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.statistics.designs import Factor, ShapeFactor

Shape = Mapping[str, Any]
NEAR_THE_END = 0.95  # coded: beyond it a factor that has an "off" is off
LENGTHS = (1.0, 0.5, 2.0)
SLOWEST, FASTEST = 1 / 8, 4.0  # times the rate of the range test
FEWEST_UNITS, LARGEST_BATCH = 4, 1024
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "none": {"noise": 0.0, "mixup": 0.0},
    "noise": {"noise": 0.1, "mixup": 0.0},
    "mix-up": {"noise": 0.0, "mixup": 0.2},
}
NORMS = {"none": (False, False), "batch norm": (True, False), "layer norm": (False, True)}


@dataclass(frozen=True)
class Space:
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


_OFF_BELOW = ("dropout, last layer", "dropout, other layers", "L2", "decoupled decay", "averaging")


def training_space(runner: Runner, rates: Mapping[str, float]) -> Space:
    """Step 3: what may fit the training set, from the rates of the range tests on."""
    plan, numbers = runner.plan, runner.problem.data.training.numbers.shape[1]
    batch = plan.batch_size
    rows = len(runner.problem.data.training)
    batches = tuple(
        size for size in dict.fromkeys((batch, 2 * batch, batch // 2)) if 8 <= size <= min(rows, LARGEST_BATCH)
    )
    methods: tuple[str, ...] = plan.methods if numbers else ("standardise",)
    first_method = next((name for name in ("quantile", "standardise") if name in methods), methods[0])
    choices = (
        ShapeFactor("input encoding", methods),
        ShapeFactor("rule", ("adam", "sgd")),
        ShapeFactor("units", (2, 1, 4)),
        ShapeFactor("layers", (2, 1, 3)),
        ShapeFactor("batch size", batches or (batch,)),
        ShapeFactor("length", LENGTHS),
    )
    first = {choice.name: choice.levels[0] for choice in choices} | {"input encoding": first_method}
    factors = (
        Factor("rate", SLOWEST, FASTEST, log=True),
        Factor("decay", -1.0, 1.0),
        Factor("restarts", -1.0, 1.0),
        Factor("memory", 0.001, 0.1, log=True),  # of squared gradients: 1 - beta2
    )

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        hidden = (min(WIDEST, max(FEWEST_UNITS, plan.width * shape["units"])),) * shape["layers"]
        kind = "constant" if values["decay"] <= 0 else "coslog4" if values["restarts"] > 0 else "cosine"
        member = Member(
            runner.problem.spec(shape["input encoding"], hidden, residual=len(hidden) > 1),
            0,
            rates[shape["rule"]] * values["rate"],
            schedule=Schedule(kind),
            betas=(0.9, 1 - values["memory"]),
        )
        return Setting(shape["input encoding"], shape["rule"], shape["batch size"], member, length=shape["length"])

    return Space(choices, first, factors, {"rate": 1.0, "decay": 1.0, "restarts": -1.0, "memory": 0.02}, build)


def validation_space(runner: Runner, now: Setting) -> Space:
    """Step 4: what may close the gap to rows that were not learnt from, around the setting of step 3."""
    plan, numbers = runner.plan, runner.problem.data.training.numbers.shape[1]
    methods = dict.fromkeys((now.method, *(plan.methods if numbers else ())))
    choices = (
        ShapeFactor("input encoding", tuple(methods)),
        ShapeFactor("batch norm", tuple(NORMS)),
        ShapeFactor("units", (1.0, 0.5, 2.0)),
        ShapeFactor("architecture", (0, 1, -1) if len(now.member.spec.hidden) > 1 else (0, 1)),
        ShapeFactor("augmentation", tuple(AUGMENTATIONS)),
        ShapeFactor("length", LENGTHS),
    )
    factors = (
        Factor("rate", 1 / 4, 4.0, log=True),
        Factor("dropout, last layer", 0.0, 0.5),
        Factor("dropout, other layers", 0.0, 0.5),
        Factor("L2", 1e-6, 1e-2, log=True),  # lambda / n
        Factor("decoupled decay", 1e-3, 0.3, log=True),
        Factor("clipping", 0.3, 30.0, log=True),
        Factor("averaging", 1e-3, 0.1, log=True),  # share of the training that an average of weights remembers
    )
    rows = learnt_rows(runner.problem)  # l2 / rows is the penalty

    def build(shape: Shape, values: Mapping[str, float]) -> Setting:
        batch_norm, layer_norm = NORMS[shape["batch norm"]]
        hidden = reshaped(now.member.spec.hidden, shape["units"], shape["architecture"])
        inputs = runner.problem.prepared(shape["input encoding"])[1].features.shape[1]
        spec = replace(
            now.member.dense,
            inputs=inputs,
            hidden=hidden,
            batch_norm=batch_norm,
            layer_norm=layer_norm,
            residual=len(hidden) > 1,
        )
        last, others = values["dropout, last layer"], values["dropout, other layers"]
        dropout = (others,) * (len(hidden) - 1) + (last,) if max(last, others) > 0 else ()
        member = replace(
            now.member,
            spec=spec,
            learning_rate=now.member.learning_rate * values["rate"],
            dropout=dropout,
            l2=values["L2"] * rows,
            weight_decay=values["decoupled decay"],
            clip_norm=values["clipping"],
            **AUGMENTATIONS[shape["augmentation"]],
        )
        return replace(
            now,
            method=shape["input encoding"],
            member=member,
            length=now.length * shape["length"],
            averaging=values["averaging"],
        )

    first = {choice.name: choice.levels[0] for choice in choices}
    first["batch norm"] = next(
        name for name, norms in NORMS.items() if norms == (now.member.dense.batch_norm, now.member.dense.layer_norm)
    )
    start = {factor.name: factor.low for factor in factors} | {"rate": 1.0, "clipping": 30.0}
    return Space(choices, first, factors, start, build)


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
        setting.method,
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
    }
    return ", ".join(words + [norm] * bool(norm) + [name + value for name, value in regularised.items() if value])
