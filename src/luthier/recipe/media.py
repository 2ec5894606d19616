"""Rungs of the recipe, and how it goes where rows are pictures or text. (Tables have theirs in the plan.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Rung(NamedTuple):
    """What a remedy costs: networks (before seeds) of each of its populations, with factors of width and depth."""

    name: str
    shapes: tuple[tuple[int, float, int], ...]  # (options, times the width, layers more)


Level = tuple[int, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Medium:
    """How the recipe goes for one kind of rows: its rungs, what they cost beside the first network, and its shares.

    `levels` go from rich to lean: seeds, rungs of step 3, rungs of step 4. `going_on` is the part of enough steps
    that step 4 needs, less than one where its networks go on from those of step 3.
    """

    training: tuple[Rung, ...]
    validation: tuple[Rung, ...]
    levels: tuple[Level, ...]
    costs: Mapping[str, float]
    shares: Mapping[str, float]
    final_seeds: int
    final_cost: float
    going_on: float
    method: Literal["pixels", "standardise"]
    most_batch: int
    folded: bool


def _names(rungs: tuple[Rung, ...]) -> tuple[str, ...]:
    return tuple(rung.name for rung in rungs)


_PICTURE_TRAINING = (
    Rung("rate", ((2, 1, 0),)),
    Rung("Adam", ((2, 1, 0),)),
    Rung("decay", ((1, 1, 0),)),
    Rung("units", ((1, 2, 0),)),
    Rung("layers", ((1, 1, 1),)),
)
_PICTURE_VALIDATION = (
    Rung("start", ((1, 1, 0),)),
    Rung("augmentation", ((10, 1, 0),)),
    Rung("augmentations together", ((4, 1, 0),)),
    Rung("mix-up", ((1, 1, 0),)),
    Rung("dropout, last layer", ((2, 1, 0),)),
    Rung("L2", ((3, 1, 0),)),
)
_TEXT_TRAINING = (
    Rung("rate", ((2, 1, 0),)),
    Rung("Adam", ((2, 1, 0),)),
    Rung("decay", ((1, 1, 0),)),
    Rung("units", ((2, 1, 0),)),
    Rung("order", ((1, 1, 0),)),
)
_TEXT_VALIDATION = (
    Rung("start", ((1, 1, 0),)),
    Rung("sentence vectors", ((2, 1, 0),)),
    Rung("words alike", ((1, 1, 0),)),
    Rung("dropout, last layer", ((2, 1, 0),)),
    Rung("dropout of words", ((2, 1, 0),)),
    Rung("L2", ((4, 1, 0),)),
)
MEDIA: dict[str, Medium] = {
    "pictures": Medium(
        training=_PICTURE_TRAINING,
        validation=_PICTURE_VALIDATION,
        levels=(
            (2, _names(_PICTURE_TRAINING), _names(_PICTURE_VALIDATION)),
            (1, _names(_PICTURE_TRAINING), _names(_PICTURE_VALIDATION)),
            (1, ("rate", "Adam", "decay", "units"), ("start", "augmentation", "augmentations together", "L2")),
            (1, ("Adam", "decay"), ("start", "augmentation", "augmentations together")),
        ),
        costs={"units": 2.2, "layers": 3.7, "augmentation": 1.25, "augmentations together": 1.25, "later": 2.2},
        shares={"range": 0.06, "fit training": 0.22, "fit validation": 0.30, "seeds": 0.42, "folds": 0},
        final_seeds=3,
        final_cost=1.25 * 2.2,
        going_on=0.4,
        method="pixels",
        most_batch=128,
        folded=False,
    ),
    "text": Medium(
        training=_TEXT_TRAINING,
        validation=_TEXT_VALIDATION,
        levels=(
            (2, _names(_TEXT_TRAINING), _names(_TEXT_VALIDATION)),
            (1, _names(_TEXT_TRAINING), _names(_TEXT_VALIDATION)),
            (1, ("Adam", "decay", "units"), ("start", "sentence vectors", "dropout, last layer", "L2")),
            (1, ("Adam",), ("start", "dropout, last layer")),
        ),
        costs={"order": 5.0, "units": 1.2, "later": 1.0},
        shares={
            "range": 0.05,
            "fit training": 0.25,
            "fit validation": 0.27,
            "seeds": 0.13,
            "folds": 0.30,
        },
        final_seeds=5,
        final_cost=1.0,
        going_on=1.0,
        method="standardise",
        most_batch=64,
        folded=True,
    ),
}
