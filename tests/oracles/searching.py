"""A search without training: a space, an objective with a known optimum, and the loop of ask and answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from luthier.search import Choice, Number, Space, Trial
from luthier.search.samplers import Request, Sampler

SPACE = Space(
    {
        "rate": Number(1e-4, 1.0, scale="log"),
        "beta": Number(0.5, 0.999, scale="window"),
        "units": Number(1, 40, integer=True),
        "rule": Choice(("sgd", "adam")),
        "period": Number(0.1, 0.5, when={"rule": ("sgd",)}),
    },
    {"fixed": 3},
)


Objective = Callable[[dict[str, Any]], float]


def distance(values: dict[str, Any]) -> float:
    """Lowest at rate 0.02 and beta 0.9."""
    return (math.log10(values["rate"]) + 1.7) ** 2 + (math.log10(1 - values["beta"]) + 1) ** 2


def search(
    sampler: Sampler, space: Space, objective: Objective, total: int, *, at_once: int = 8, seed: int = 0
) -> list[Trial]:
    """What a sampler finds when each proposal is told before the next is asked for."""
    told: list[Trial] = []
    asked = 0
    while len(told) < total:
        proposal = sampler.ask(Request(space, min(at_once, total - len(told)), asked, total, told, seed))
        if not proposal.settings:
            break
        asked += len(proposal.settings)
        for values in proposal.settings:
            told = [*told, Trial(len(told), values, 0, "all", "complete", objective(values))]
    return told
