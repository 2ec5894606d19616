"""What a step and an evaluation of a stack take on this machine, and where they are faster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch

from luthier.engine.evaluating import held_out_rows, measured
from luthier.engine.feed import batches_for
from luthier.engine.members.devices import CPU, wait
from luthier.engine.members.member import Member
from luthier.engine.members.settings import Settings
from luthier.engine.populations.graphs import STRETCH
from luthier.engine.populations.population import RECORDED_FROM, Population
from luthier.machine import torch_settings
from luthier.objective import Loss
from luthier.rows import Rows

EVALUATED, OUTPUTS = 4096, 2**22  # rows of an evaluation that are timed, and what networks say of them
FEWEST_EVALUATED = 64
WARM_UP, TIMED, LONGEST = 2, 6, 1.0  # steps, and seconds after which one that was timed is enough
COMPARED_ROWS, COMPARED_MEMBERS = 4096, 32  # of which a processor's step is timed; others take as long each


def step_time(
    members: Sequence[Member],
    training: Rows,
    validation: Rows,
    *,
    loss: str | Loss,
    rule: str,
    batch_size: int,
    device: torch.device = CPU,
) -> tuple[float, float]:
    """Median seconds of a training step of all members together, and seconds of one evaluation.

    Steps that a long training replays as graphs are replayed here too.
    """
    settings = Settings(
        loss=loss, rule=rule, batch_size=batch_size, steps=RECORDED_FROM, evaluate_every=1, device=device
    )
    each = len(members) * max(1, getattr(members[0].spec, "outputs", 1))
    some = min(len(validation), EVALUATED, max(FEWEST_EVALUATED, OUTPUTS // each))
    population = Population.of(members, settings, len(training))
    held_out, taken = held_out_rows(population, training, validation.span(0, some), None), _steps(population, training)
    losses, began = population.losses(), time.perf_counter()
    measured(population, held_out, losses)
    return taken, (time.perf_counter() - began) * len(validation) / some


@torch_settings()
def seconds_by_device(
    members: Sequence[Member], training: Rows, settings: Settings, devices: Sequence[torch.device]
) -> dict[str, float]:
    """Median seconds of a step of all members on each device: what `auto` chooses by."""
    some = training.rows(torch.arange(min(len(training), max(COMPARED_ROWS, settings.batch_size))))
    result = {}
    for device in devices:
        count = len(members) if device != CPU else min(COMPARED_MEMBERS, len(members))
        while str(device) not in result:
            try:
                population = Population.of(
                    members[:count], replace(settings, device=device, accumulate=1), len(training)
                )
                result[str(device)] = _steps(population, some) * len(members) / count
            except torch.cuda.OutOfMemoryError:  # they would train in turns
                if count == 1:
                    break
                count = -(-count // 2)
    return result


def _steps(population: Population, training: Rows) -> float:
    """Median seconds of a step; of replayed ones, of many at a time, after those that are recorded."""
    batch, rates, device = batches_for(population, training).at(0), population.rates.at(0), population.settings.device
    together = 1 if population.blocks[0].graphs is None else STRETCH
    taken: list[float] = []
    for turn in range(WARM_UP + TIMED):
        began = time.perf_counter()
        for block in population.blocks:
            block.steps([[batch]] * together, turn * together + 1, [rates] * together)
        wait(device)
        taken.append((time.perf_counter() - began) / together)
        if len(taken) > 1 and together * sum(taken) > LONGEST:
            break
    return median(taken[min(WARM_UP, len(taken) - 1) :])
