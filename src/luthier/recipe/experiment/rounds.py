"""What a budget is turned into for the designed experiments: how long a whole training is, how many shapes and settings
are screened; and, round after round, whether there is time for the next one.

The clock is asked once a round, the answer is recorded, and a rerun follows the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from luthier.engine import Member
from luthier.machine import default_memory
from luthier.messages import Message
from luthier.recipe.experiment.fold_bags import learnt_rows, parameter_count, steps_of
from luthier.recipe.modality import Modality, WholeTraining, modality_of
from luthier.recipe.planning.plan import CODED, ENCODINGS, FOLDS, MOST_CODED, SHARES, SMALL, Design
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.runner import Runner
from luthier.records import Entry, Said

SCREEN = 1 / 2  # of a whole training


class Level(NamedTuple):
    """Shapes and settings of a screen, shapes of the second round, and bags that the questions take."""

    shapes: int
    settings: int
    second: int
    asked: int


# From rich to lean; the last ones where the validation part judges, however little there is to spend.
LEVELS = tuple(
    Level(*one) for one in ((8, 10, 4, 32), (8, 8, 4, 32), (6, 8, 3, 32), (4, 8, 3, 32), (4, 6, 2, 16), (3, 4, 2, 16))
)
LEANER = (Level(2, 3, 1, 8), Level(2, 2, 1, 0))
# Where a step takes about as long for few networks as for many: of more settings rather than of more shapes.
WIDE = tuple(
    Level(*one)
    for one in (
        (8, 80, 4, 128),
        (8, 40, 4, 64),
        (6, 40, 3, 48),
        (6, 20, 3, 32),
        (4, 20, 2, 16),
        (4, 12, 2, 16),
        (4, 6, 2, 16),
        (3, 4, 2, 16),
    )
)
RESERVED = 0.15  # of the time, for rounds after the second and for what took longer than planned
LATEST = 8  # populations whose speed tells that of the next ones
MOST_PARTITIONS = 12  # of a question that stays open
POPULATIONS_OF_QUESTIONS = 10  # the questions' variants have about so many shapes
FEWEST_EPOCHS = 10.0  # rows are judged by one part below
FEWEST_STEPS = 150
ENOUGH_OF_MANY = 1_200  # steps, where rows are so many that epochs ask for more
FEWEST_STEPS_OF_A_BUDGET = 60
FEWEST_ROWS, MOST_OUTPUTS = 20 * FOLDS, 600_000  # open rows, and these times outputs: a bag predicts them all
MOST_BYTES = 2**25  # of a bag's networks


def can_be_crossed(problem: Problem) -> bool:
    """Whether the open rows are few enough, and free enough of order, to be learnt from in folds."""
    asked = problem.asked
    rows = len(problem.data.training) + len(problem.data.validation)
    free = not (asked.time or asked.warm_start or problem.transfers) and problem.data.full_training_rows is None
    numbers = problem.data.training.numbers.shape[1]
    coded = CODED if numbers <= MOST_CODED else 1
    encoded = 4 * rows * numbers * coded * ENCODINGS  # bytes of all ways of preprocessing
    memory = problem.data.memory_beside(asked.memory or default_memory())
    known = rows * problem.outputs <= MOST_OUTPUTS and rows >= FEWEST_ROWS and encoded <= memory / 4
    few = modality_of(problem).crossed and rows <= SMALL
    return few and free and known and int(problem.cross_fitted().dealt(0).max()) + 1 == FOLDS


class StepCosts(NamedTuple):
    """Seconds of a step of a stack: `unit` for each unit of its networks' `work`, and `launch` however few they are.
    And those of a network's `judging` of one row."""

    unit: float = 0.0
    launch: float = 0.0
    judging: float = 0.0


NOTHING_TIMED = StepCosts()


@dataclass(frozen=True)
class Means:
    """What a design may spend on training: seconds, at `costs` in the `threads` that are used; or steps."""

    seconds: float | None
    steps: int | None = None
    costs: StepCosts = NOTHING_TIMED
    threads: int = 1

    @property
    def levels(self) -> tuple[Level, ...]:
        """From rich to lean."""
        return WIDE if self.costs.launch else LEVELS

    def length(self, modality: Modality, first: Setting, level: Level, folds: int, judged: int = 0) -> float:
        """Steps of a whole training where a design of this level, around a first setting, uses all of it.

        Each bag answers once for the rows that are `judged` when it is trained, those that are kept once more.
        """
        populations = 2 * (level.shapes * SCREEN + level.second) + POPULATIONS_OF_QUESTIONS * level.asked / 16
        if self.seconds is None:
            return float(self.steps or 0) * (1 - RESERVED) / (populations * modality.longer)
        bags = 2 * level.settings * (level.shapes * SCREEN + level.second) + level.asked
        work = modality.work(first.member.spec, first.batch_size) * folds * bags
        one_step = (self.costs.unit * work + self.costs.launch * populations) * modality.longer
        screened, whole = (2 * level.settings * shapes for shapes in (level.shapes, level.second))
        judging = self.costs.judging * judged * modality.longer * (screened + 2 * (whole + level.asked))
        return max(0.0, self.seconds * (1 - RESERVED) * (1 - SHARES["range"]) - judging) / one_step


def design_of(problem: Problem, means: Means) -> Design | None:
    """The richest design whose whole trainings are long enough.

    Of crossed rows None where not even the leanest one's are: then the validation part judges, by the leanest one at
    least, however short it is.
    """
    modality = modality_of(problem)
    first = modality.first_setting(problem)
    folds: Literal[1, 5] = FOLDS if problem.crossed else 1
    epoch = learnt_rows(problem) / first.batch_size
    if folds > 1 and 4 * FOLDS * parameter_count(first.member.spec) > MOST_BYTES:
        return None
    whole = modality.whole
    enough, fewest = _lengths(whole, epoch, means, crossed=problem.crossed)
    result, judged = None, sum(map(len, problem.judging.values()))
    for level in means.levels if problem.crossed else (*means.levels, *LEANER):
        length = min(
            means.length(modality, first, level, folds, judged), max(whole.most_epochs * epoch, whole.enough_steps)
        )
        if length >= fewest:
            result = Design(
                epochs=max(length, 1.0) / epoch,
                shapes=level.shapes,
                settings=level.settings,
                second=level.second,
                threads=means.threads,
                unit=means.costs.unit,
                launch=means.costs.launch,
                folds=folds,
            )
        if length >= enough:
            return result
    return result


def _lengths(whole: WholeTraining, epoch: float, means: Means, *, crossed: bool) -> tuple[float, float]:
    """Steps of a whole training above which a richer design is better than a longer one, and below which none is made.

    An epoch of many rows says more than one of few, so that steps bound what epochs ask for where one part judges.
    """
    if means.seconds is None:
        return FEWEST_STEPS_OF_A_BUDGET, FEWEST_STEPS_OF_A_BUDGET if crossed else 0
    enough, fewest = max(whole.enough_steps, whole.enough_epochs * epoch), max(FEWEST_STEPS, FEWEST_EPOCHS * epoch)
    return (enough, fewest) if crossed else (min(enough, ENOUGH_OF_MANY), 0)


ROUNDS = {  # what a round is called when it is spoken of
    "train-second": "second round of step 3",
    "train-second-smaller": "smaller second round of step 3",
    "train-further": "further round of step 3",
    "validate-second": "second round of step 4",
    "validate-second-smaller": "smaller second round of step 4",
    "validate-further": "further round of step 4",
    "more-rows": "would more rows help?",
    "questions": "questions",
    "half-the-questions": "half of the questions",
    "fewer-questions": "fewer questions",
}
Populations = Sequence[Sequence[Setting]]  # the settings of each


def cost_of(runner: Runner, populations: Populations) -> float:
    """What bags of these populations will take: steps where these are the budget, or else seconds.

    Seconds go by the speed of those that were trained last: dropout, clipping and averages take time too, and step 3
    has none of them.
    """
    design = runner.plan.design
    assert design is not None
    lengths = [steps_of(runner, settings[0], 1.0) for settings in populations]
    if runner.budget_clock.budget.seconds is None:
        return float(sum(lengths))
    work = modality_of(runner.problem).work

    def seconds(networks: Sequence[Member], batch_size: int) -> float:
        return design.launch + design.unit * sum(work(network.spec, batch_size) for network in networks)

    total = sum(
        steps * seconds([one.member for one in settings for _ in range(design.folds)], settings[0].batch_size)
        for settings, steps in zip(populations, lengths, strict=True)
    )
    latest = [one for one in runner.trained if one.name in runner.speeds][-LATEST:]
    expected = sum(seconds(one.members, one.batch_size) for one in latest)
    taken = sum(runner.speeds[one.name] for one in latest)
    return total * (taken / expected if expected else 1.0)


def there_is_time(runner: Runner, stage: str, step: int, name: str, populations: Populations) -> Said[bool]:
    """Whether a round of whole trainings is begun: by the record, or by what is left of its stage's share."""
    recorded, budget = runner.recipe.rounds, runner.budget_clock.budget
    if name in runner.begun:
        begun = runner.begun[name]
    elif recorded is not None:
        begun = name in recorded
    elif budget.seconds is None:
        spent = sum(trained.steps_done for trained in runner.trained)
        begun = spent + cost_of(runner, populations) <= runner.end_of(stage)
    else:
        ends = runner.budget_clock.spent() + cost_of(runner, populations)
        begun = not runner.interrupted and ends <= runner.end_of(stage)
    template = "round {name}: begun"
    if not begun:
        steps = budget.seconds is None
        template = "round {name}: no steps are left for it" if steps else "round {name}: no time is left for it"
    sentence = Message(template, name=Message(ROUNDS.get(name.rstrip("-0123456789"), name)))
    yield Entry("round", {"step": step, "name": name, "begun": begun, "sentence": sentence})
    return begun
