"""What a step and an evaluation of a stack take on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from luthier.population.member import Member
from luthier.population.outcome import evaluate
from luthier.population.population import Batches, Population, cast
from luthier.population.settings import Part, Settings
from luthier.population.stack import Stack

WARM_UP, TIMED = 2, 6


def step_time(
    members: Sequence[Member], training: Part, validation: Part, *, loss: str, rule: str, batch_size: int
) -> tuple[float, float]:
    """Median seconds of a training step of all members together, and seconds of one evaluation."""
    settings = Settings(loss=loss, rule=rule, batch_size=batch_size, steps=WARM_UP + TIMED, evaluate_every=1)
    part, held_out = cast(training, settings.dtype), cast(validation, settings.dtype)
    population, batches = Population(members, settings, len(part)), Batches(part, batch_size, 0)
    batches.at(0)
    taken = []
    for step in range(WARM_UP + TIMED):
        began = time.perf_counter()
        population.step(batches.at(0), step + 1, population.rates[step])
        taken.append(time.perf_counter() - began)
    began = time.perf_counter()
    stack: Stack = population.stack
    evaluate(stack, held_out.features, held_out.codes)
    return median(taken[WARM_UP:]), time.perf_counter() - began
