"""The six steps of the recipe as a list, and the other lists: a warm start, several targets, and a network that has
learnt elsewhere.

A step is a function of a runner, which is of one problem and one plan, and of what the steps before it came to. It says
its decisions, findings and notes as it goes, and returns what it came to; `recipe/run.py` alone writes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.designed import fit_training, fit_validation
from luthier.recipe.steps.judge import judge
from luthier.recipe.steps.loss import choose_loss
from luthier.recipe.steps.sanity_checks import check_before_training, choose_network
from luthier.recipe.steps.so_far import SoFar
from luthier.recipe.steps.transferring import use_backbone
from luthier.recipe.steps.warm_start import warm_start
from luthier.records import Said


def compare_baselines(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """How simple models do, which were fitted meanwhile: the bar to clear."""
    yield from so_far.baselines.collect()
    return so_far


@dataclass(frozen=True)
class RecipeStep:
    """A step of the recipe, by its number.

    What it came to is remembered under `kept`, so that another run may begin after it; `each_time` it is taken in such
    a run too.
    """

    number: int
    take: Callable[[Runner, SoFar], Said[SoFar]]
    kept: str = ""
    each_time: bool = False


SIX_STEPS = (  # the sixth, the real world, is `luthier check`
    RecipeStep(1, choose_loss),
    RecipeStep(2, choose_network, kept="method"),
    RecipeStep(2, check_before_training),
    RecipeStep(3, fit_training, kept="fitted"),
    RecipeStep(4, fit_validation, kept="closed"),
    RecipeStep(4, compare_baselines, each_time=True),  # nothing before waits for them
    RecipeStep(5, judge),
)
WARM_START = (
    RecipeStep(1, choose_loss),
    RecipeStep(4, warm_start, kept="closed"),
    RecipeStep(4, compare_baselines),
    RecipeStep(5, judge),
)
SEVERAL_TARGETS = tuple(  # that share their networks: each one's own run goes on
    step for step in SIX_STEPS if step.number < 5 and step.take is not compare_baselines
)
ONE_OF_SEVERAL = (RecipeStep(5, compare_baselines), RecipeStep(5, judge))
BACKBONE = (
    RecipeStep(1, choose_loss),
    RecipeStep(4, use_backbone),
    RecipeStep(4, compare_baselines),
    RecipeStep(5, judge),
)
