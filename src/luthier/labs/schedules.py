"""Schedules: their formulas read off the engine's steps, and what decay and restarts do to a training."""

from __future__ import annotations

import math

import numpy as np
import torch

from luthier.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.optimise import Schedule
from luthier.rows import Inputs, Rows
from luthier.statistics.paired import of_mean

STEPS = 40


def rates(schedule: Schedule, steps: int = STEPS, rate: float = 1.0) -> np.ndarray:
    """The rates [steps] that the engine took: one bias on its way to a far target, whose slope is 1 throughout."""
    row = Rows(Inputs(numbers=torch.zeros(1, 1, dtype=torch.float64)), torch.full((1,), 1e6, dtype=torch.float64))
    spec = DenseSpec(inputs=1, hidden=(), outputs=1, initialiser="zeros")
    settings = Settings("mae", "sgd", 1, steps + 1, steps + 1, dtype=torch.float64, every_step=True)
    result = train([Member(spec, 0, rate, schedule, momentum=0.0)], row, None, settings).history.step_losses()
    taken: np.ndarray = -np.diff(result.sort("step")["train_loss"].to_numpy())
    return taken


def formulas(bench: Bench) -> None:
    """What the engine's steps were, beside what each schedule's formula says."""
    t = np.arange(STEPS)
    wanted = {
        "exponential": (Schedule("exponential", decay=0.9), 0.9**t),
        "staircase": (Schedule("staircase", decay=0.5, period=10), 0.5 ** (t // 10)),
        "1 / (1 + k t)": (Schedule("inverse", decay=0.2), 1 / (1 + 0.2 * t)),
        "cosine": (Schedule("cosine"), 0.5 * (1 + np.cos(math.pi * t / (STEPS + 1)))),
        "restarts": (Schedule("restarts", period=10), 0.5 * (1 + np.cos(math.pi * (t % 10) / 10))),
    }
    figure = empty_figure("step", "rate over the first rate")
    for (name, (schedule, formula)), colour in zip(wanted.items(), (BLUE, GREEN, GREY, ORANGE, PURPLE), strict=True):
        taken = rates(schedule)
        bench.number(
            Message("{name}: largest gap to its formula", name=name), 0.0, float(np.abs(taken - formula).max()), 1e-8
        )
        figure.add_scatter(x=t, y=taken, name=name, line={"color": colour, "shape": "hv"})
    bench.draw("Learning rates as used by the engine", figure)
    printed = (1, 0.976, 0.905, 0.794, 0.655, 0.5, 0.345, 0.206, 0.095, 0.024)
    taken = rates(Schedule("restarts", period=10), 20)
    bench.number(
        "a cosine cycle of ten steps against its formula, to three decimals: largest gap",
        0.0,
        float(np.abs(taken[:10] - np.array(printed)).max()),
        6e-4,
    )
    bench.number("after the cycle the rate is at its maximum again", 1.0, float(taken[10]), 1e-8)
    longer = rates(Schedule("restarts", period=5, multiplier=2.0), 36)
    tops = [int(k) for k in np.flatnonzero(longer > 0.9999)]
    bench.holds(
        "cycles may double",
        tops == [0, 5, 15, 35],
        Message("the rate is at its maximum again at steps {tops}", tops=tops),
    )
    steepest = int(np.argmax(-np.diff(rates(Schedule("cosine")))))
    bench.holds(
        "the cosine falls fastest in the middle",
        abs(steepest - STEPS / 2) <= 1,
        Message("after step {steepest} of {STEPS}", steepest=steepest, STEPS=STEPS),
    )


def _flat(bench: Bench) -> None:
    """A rate that is lowered when the validation loss has stopped falling."""
    part, held_out = digits_part()
    steps = 600
    schedule = Schedule("plateau", decay=0.1, period=2)
    member = Member(DenseSpec(inputs=64, hidden=(30,), outputs=10), 0, 0.5, schedule)
    table = train([member], part, held_out, Settings("softmax", "sgd", 32, steps, 20)).history.to_frame().sort("step")
    loss, taken = (table[name].to_numpy() for name in ("validation_loss", "learning_rate"))
    drop = int(np.argmax(taken < taken[0] * 0.99))
    best = int(np.argmin(loss[: drop + 1]))
    bench.holds(
        "the rate falls after the given number of evaluations without a better loss",
        taken[-1] < 0.2 * taken[0] and drop - best >= 2,
        Message("lowest at evaluation {best}, lowered at {drop}", best=best + 1, drop=drop + 1),
    )


def trainings(bench: Bench) -> None:
    """The same network under every schedule, at a rate that is too large to end with."""
    part, held_out = digits_part()
    epoch, epochs = -(-len(part) // 32), 20
    kinds = {
        "constant": Schedule(),
        "exponential": Schedule("exponential", decay=0.1, period=epochs * epoch // 2),
        "cosine": Schedule("cosine"),
        "restarts": Schedule("restarts", period=5 * epoch),
        "one-cycle": Schedule("one-cycle"),
    }
    seeds = bench.seeds(20, 8)
    members = [
        Member(DenseSpec(inputs=64, hidden=(10,), outputs=10), s, 0.05, kind) for kind in kinds.values() for s in seeds
    ]
    settings = Settings("softmax", "adam", 32, epochs * epoch, epoch)
    table = train(members, part, held_out, settings).history.to_frame().sort("member", "step")
    loss = table["train_loss"].to_numpy().reshape(len(kinds), len(seeds), -1)
    ends = {name: rows[:, -1] for name, rows in zip(kinds, loss, strict=True)}
    gains = {
        name: np.log10(ends["constant"] / np.maximum(row, 1e-12)) for name, row in ends.items() if name != "constant"
    }
    bench.holds(
        "a decaying rate fits the training set better than a constant one that is too large",
        all(gain.mean() > of_mean(gain).half_width() for gain in gains.values()),
        ", ".join(f"{name} {row.mean():.2g}" for name, row in ends.items()),
    )
    figure = empty_figure("epoch", "training loss").update_yaxes(type="log")
    for (name, rows), colour in zip(zip(kinds, loss, strict=True), (GREY, GREEN, BLUE, ORANGE, PURPLE), strict=True):
        figure.add_scatter(
            x=list(range(1, epochs + 1)), y=np.maximum(np.median(rows, 0), 1e-6), name=name, line={"color": colour}
        )
    bench.draw("Restarts raise the loss, and it ends lower", figure)
    restarts = np.median(loss[list(kinds).index("restarts")], 0)
    bench.holds(
        "a restart raises the loss, and it falls again",
        bool(restarts[5] > restarts[4] and restarts[9] < restarts[4]),
        Message(
            "{restarts:.2g}, {restarts_2:.2g} after the restart, {restarts_3:.2g} at its end",
            restarts=restarts[4],
            restarts_2=restarts[5],
            restarts_3=restarts[9],
        ),
    )
    _flat(bench)


LABS = (
    Lab(
        "schedules",
        "How rates fall",
        "The engine's steps follow each schedule's formula",
        ("S0-39", "S4-13", "S4-14", "S4-16", "S4-17"),
        formulas,
    ),
    Lab(
        "schedules-in-training",
        "Decay and restarts",
        "A decaying rate fits better than a constant one that is too large",
        ("S4-12", "S4-15", "S4-17"),
        trainings,
        seconds=5,
    ),
)
