"""The order of a search: tiers of hyper-parameters one after another, and brackets that cut losers early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.errors import ConfigError
from luthier.messages import Message
from luthier.search.spaces.registry import LENGTH, REGISTRY, TIERS, WITH_MANY
from luthier.search.spaces.space import Dimension, Space

MANY = 200  # trials from which Adam's own hyper-parameters are searched too
FEWEST = 4  # trials that a stage is worth
ETA = 3  # of what is left, one in so many goes on at a rung
RATE = "learning_rate"
HALVINGS = ("", "successive", "hyperband")


@dataclass(frozen=True)
class SearchStage:
    """Dimensions that are searched together, the others held at the best so far; `weight` is its part of all trials."""

    name: str
    dimensions: tuple[str, ...]
    weight: float


def tier_of(name: str, dimension: Dimension) -> int:
    """When a dimension is tuned; one of the user's own, without a tier, comes with depth and decay."""
    if dimension.tier is not None:
        return dimension.tier
    return REGISTRY[name].tier if name in REGISTRY else 3


def make_stages(space: Space, *, tiers: bool, trials: int | None) -> tuple[list[SearchStage], list[str]]:
    """The stages of a search, and sentences about what is left out.

    The learning rate is searched again in every stage: the best one depends on everything else.

    >>> from luthier.search import usual_space
    >>> stages, _ = make_stages(usual_space(["learning_rate", "width", "depth"]), tiers=True, trials=60)
    >>> [stage.dimensions for stage in stages]
    [('learning_rate',), ('learning_rate', 'width'), ('learning_rate', 'depth')]
    """
    by_tier: dict[int, list[str]] = {}
    for name, dimension in space.dimensions.items():
        if name != "epochs":
            by_tier.setdefault(tier_of(name, dimension), []).append(name)
    notes: list[str] = []
    if tiers and WITH_MANY in by_tier and len(by_tier) > 1 and trials is not None and trials < MANY:
        left = by_tier.pop(WITH_MANY)
        template = "{names} kept at the default: tier 4 is searched from {trials} trials on"
        notes.append(Message(template, names=", ".join(left), trials=MANY))
    everything = tuple(name for tier in sorted(by_tier) for name in by_tier[tier])
    if not tiers or len(by_tier) < 2:
        return ([SearchStage("all", everything, 1.0)] if everything else []), notes
    stages = []
    for tier in sorted(by_tier):
        again = [RATE] if RATE in space.dimensions and RATE not in by_tier[tier] else []
        names = (*again, *by_tier[tier])
        stages.append(SearchStage(f"tier {tier}" if tier < LENGTH else "later", names, 1.0 + len(names)))
    while trials is not None and len(stages) > 1 and trials / len(stages) < FEWEST:
        gone = stages.pop()
        left_out = ", ".join(name for name in gone.dimensions if name != RATE)
        template = "{names} kept at the default: {trials} trials are too few for every tier"
        notes.append(Message(template, names=left_out, trials=trials))
    return stages, notes


def shared_out(total: int, stages: Sequence[SearchStage]) -> list[int]:
    """Whole trials for each stage by its weight, together `total`.

    >>> shared_out(10, [SearchStage("a", ("x",), 2.0), SearchStage("b", ("x", "y"), 3.0)])
    [4, 6]
    """
    weights = [stage.weight for stage in stages]
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [math.floor(share) for share in exact]
    for place in sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])[: total - sum(counts)]:
        counts[place] += 1
    return counts


def title(stage: SearchStage) -> Message:
    """A stage in words."""
    number, names = stage.name.removeprefix("tier "), ", ".join(stage.dimensions)
    if number.isdigit():
        about = Message(TIERS[int(number)])
        return Message("tier {number} ({about}): {names}", number=number, about=about, names=names)
    return Message("{stage}: {names}", stage=stage_in_words(stage.name), names=names)


def stage_in_words(name: str) -> Message:
    """A stage's name as a message."""
    number = name.removeprefix("tier ")
    return Message("tier {number}", number=number) if number.isdigit() else Message(name)


@dataclass(frozen=True)
class Bracket:
    """Trials that compete: `rungs` are (share of the training, share of the trials that go on)."""

    trials: int
    rungs: tuple[tuple[float, float], ...] = ()


def brackets(halving: str, together: int) -> list[Bracket]:
    """The brackets that a search goes round in.

    `successive`: rungs after a ninth and a third of the training, where one in three goes on. `hyperband`
    (Li and others, 2018) takes turns with brackets that cut later and begin with fewer trials, since an
    early loss may mislead.

    >>> [bracket.trials for bracket in brackets("hyperband", 27)]
    [27, 14, 9]
    """
    if halving not in HALVINGS:
        raise ConfigError([Message("halving must be 'successive' or 'hyperband', not '{halving}'", halving=halving)])
    if not halving:
        return [Bracket(together)]
    rungs = ((1 / ETA**2, 1 / ETA), (1 / ETA, 1 / ETA))
    if halving == "successive":
        return [Bracket(together, rungs)]
    sizes = (together, math.ceil(together / 2), math.ceil(together / ETA))
    return [Bracket(size, rungs[place:]) for place, size in enumerate(sizes)]
