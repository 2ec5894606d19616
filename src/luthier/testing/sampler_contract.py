"""What a sampler has to keep: settings inside the space, from the request alone, nothing twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from luthier.search import Choice, Number, Sampler, Space, Trial
from luthier.search.spaces.samplers import Request, Unseen, sampler_named
from luthier.search.spaces.space import Values

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
SMALL = Space({"rule": Choice(("sgd", "adam")), "units": Number(1, 5, integer=True)})  # ten settings
Objective = Callable[[Values], float]
Build = Callable[[], Sampler]


def check_sampler(
    sampler: str | Sampler | Build, *, trials: int = 40, draws: bool = True, exhausts: bool = True
) -> None:
    """Check a sampler, by name, as it is, or by a function that builds it.

    `trials` settings lie in their space, with those conditions that hold; what it proposes follows from the request
    alone, so that a killed search repeats itself; where it `draws`, another seed gives other settings; where it
    `exhausts`, a space of ten settings ends after ten, none of them twice.

    >>> check_sampler("random")
    """
    build = _builder(sampler)
    _inside(searched(build(), SPACE, distance, trials))
    old = build()
    told = searched(old, SPACE, distance, 16)
    request = Request(SPACE, 8, 16, 48, told, 0)
    first, anew, again = (one.ask(request).settings for one in (old, build(), old))
    assert first == anew == again, "what is proposed depends on earlier questions, not on the request alone"
    if draws:
        one, two = ([t.values for t in searched(build(), SPACE, distance, 8, seed=seed)] for seed in (0, 1))
        assert one != two, "another seed gives the same settings: draw from luthier.seeds by request.seed"
    if exhausts:
        _ends(build())


def distance(values: Values) -> float:
    """Lowest at rate 0.02 and beta 0.9."""
    rate, beta = float(values["rate"]), float(values["beta"])
    return (math.log10(rate) + 1.7) ** 2 + (math.log10(1 - beta) + 1) ** 2


def searched(
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


def _builder(sampler: str | Sampler | Build) -> Build:
    builds = callable(sampler) and (isinstance(sampler, type) or not hasattr(sampler, "ask"))
    return cast(Build, sampler) if builds else lambda: sampler_named(cast(str | Sampler, sampler))


def _inside(trials: list[Trial]) -> None:
    assert trials, "nothing is proposed"
    for trial in trials:
        values: Values = trial.values
        assert 1e-4 <= float(values["rate"]) <= 1.0, values
        assert 0.5 <= float(values["beta"]) <= 0.999, values
        assert isinstance(values["units"], int), values
        assert 1 <= values["units"] <= 40, values
        assert values["rule"] in ("sgd", "adam"), values
        assert values["fixed"] == 3, values
        assert ("period" in values) == (values["rule"] == "sgd"), f"a condition is not kept: {values}"


def _ends(sampler: Sampler) -> None:
    unseen, result = Unseen(sampler), list[Values]()
    told, asked = list[Trial](), 0
    for _ in range(12):
        proposal, used = unseen.ask(Request(SMALL, 3, asked, 36, told, 0), SMALL)
        asked += used
        result += proposal.settings
        told += [Trial(len(told), v, 0, "", "complete", float(v["units"])) for v in proposal.settings]
    keys = {SMALL.key(values) for values in result}
    assert len(result) == len(keys) == 10, f"of ten settings {len(keys)} are proposed, in {len(result)} trials"
