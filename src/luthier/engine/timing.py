"""What a step and an evaluation of a stack take on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from luthier.engine.feed import batches_for, prepared
from luthier.engine.member import Member
from luthier.engine.population import Population
from luthier.engine.settings import Part, Settings

WARM_UP, TIMED = 2, 6


def step_time(
    members: Sequence[Member], training: Part, validation: Part, *, loss: str, rule: str, batch_size: int
) -> tuple[float, float]:
    """Median seconds of a training step of all members together, and seconds of one evaluation."""
    settings = Settings(loss=loss, rule=rule, batch_size=batch_size, steps=WARM_UP + TIMED, evaluate_every=1)
    population = Population.of(members, settings, len(training))
    held_out, batch = prepared(population, validation), batches_for(population, training).at(0)
    rates = population.rates.at(0)
    taken = []
    for step in range(WARM_UP + TIMED):
        began = time.perf_counter()
        population.step([batch], step + 1, rates)
        taken.append(time.perf_counter() - began)
    began = time.perf_counter()
    population.outputs(held_out)
    return median(taken[WARM_UP:]), time.perf_counter() - began
