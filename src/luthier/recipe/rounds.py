"""What a budget is turned into for the designed experiments: how long a whole training is, how many shapes and settings
are screened; and, round after round, whether there is time for the next one.

The clock is asked once a round, the answer is recorded, and a rerun follows the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from luthier.engine import ModuleSpec
from luthier.machine import default_memory
from luthier.nets import DenseSpec, Spec
from luthier.recipe.fold_bags import learnt_rows, partition, steps_of
from luthier.recipe.plan import CROSSED_SHARES, FOLDS, MOST_CODED, Design
from luthier.recipe.problem import Problem
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting

SCREEN = 1 / 2  # of a whole training
# From rich to lean: shapes and settings of a screen, shapes of the second round, and bags that the questions take.
LEVELS = ((8, 10, 4, 32), (8, 8, 4, 32), (6, 8, 3, 32), (4, 8, 3, 32), (4, 6, 2, 16), (3, 4, 2, 16))
RESERVED = 0.15  # of the time, for rounds after the second and for what took longer than planned
PARTITIONS, MOST_PARTITIONS = 2, 6
POPULATIONS_OF_QUESTIONS = 10  # the questions' variants have about so many shapes
MOST_EPOCHS = 40.0  # of a whole training at first; its length is a factor
ENOUGH_EPOCHS, FEWEST_EPOCHS = 20.0, 10.0  # a leaner screen is better than less; rows are judged by one part below
ENOUGH_STEPS, FEWEST_STEPS = 400, 150
FEWEST_STEPS_OF_A_BUDGET = 60
LONGER = 1.3  # times as many steps as a whole training's, on average over lengths and batch sizes
FEWEST_ROWS, MOST_OUTPUTS = 20 * FOLDS, 600_000  # open rows, and these times outputs: a bag predicts them all
MOST_BYTES = 2**25  # of a bag's networks
CODED, ENCODINGS = 16, 2  # inputs that a number has in the widest encoding, and how many such encodings may be held
LAYER_COST = 40.0  # products that the calls around a layer's products cost beside them, a row and unit


def work(spec: Spec | ModuleSpec, batch_size: int, members: float, steps: int) -> float:
    """What a population costs, in units: products of a step, and what comes with each layer's."""
    assert isinstance(spec, DenseSpec)
    sizes = (spec.fan_in(0), *spec.hidden, spec.outputs)
    products = sum(a * b for a, b in pairwise(sizes))
    waves = 0 if spec.number_embedding is None else spec.number_embedding.inner
    beside = LAYER_COST * (sum(sizes[1:]) + waves)
    return float((products + beside) * batch_size * members * steps)


def can_be_crossed(problem: Problem) -> bool:
    """Whether a table's open rows are few enough, and free enough of order, to be learnt from in folds."""
    asked = problem.asked
    rows = len(problem.data.training) + len(problem.data.validation)
    free = not (asked.time or asked.warm_start or asked.backbone) and problem.data.full_training_rows is None
    numbers = problem.data.training.numbers.shape[1]
    coded = CODED if numbers <= MOST_CODED else 1
    encoded = 4 * rows * numbers * coded * ENCODINGS  # bytes of all ways of preprocessing
    memory = problem.data.memory_beside(asked.memory or default_memory())
    known = rows * problem.outputs <= MOST_OUTPUTS and rows >= FEWEST_ROWS and encoded <= memory / 4
    return problem.medium == "table" and free and known and int(partition(problem, 0).max()) + 1 == FOLDS


def design_of(
    problem: Problem,
    spec: Spec | ModuleSpec,
    batch_size: int,
    *,
    seconds: float | None,
    steps: int | None = None,
    unit: float = 0.0,
    threads: int = 1,
) -> Design | None:
    """The richest design whose whole trainings are long enough; None where not even the leanest one's are.

    `unit` is the seconds that a unit of `work` takes in the threads that are used.
    """
    assert isinstance(spec, DenseSpec)
    epoch, result = learnt_rows(problem) / batch_size, None
    if 4 * FOLDS * spec.parameter_count() > MOST_BYTES:
        return None
    for shapes, settings, second, asked in LEVELS:
        if seconds is None:
            populations = 2 * (shapes * SCREEN + second) + POPULATIONS_OF_QUESTIONS * asked / 16
            length = float(steps or 0) * (1 - RESERVED) / (populations * LONGER)
        else:
            bags = 2 * settings * (shapes * SCREEN + second) + asked
            one_step = unit * work(spec, batch_size, FOLDS * bags, 1) * LONGER
            length = seconds * (1 - RESERVED) * (1 - CROSSED_SHARES["range"]) / one_step
        length = min(length, max(MOST_EPOCHS * epoch, ENOUGH_STEPS))
        if length < (FEWEST_STEPS_OF_A_BUDGET if seconds is None else max(FEWEST_STEPS, FEWEST_EPOCHS * epoch)):
            continue
        whole = length / epoch
        result = Design(epochs=whole, shapes=shapes, settings=settings, second=second, threads=threads, unit=unit)
        if length >= (ENOUGH_STEPS if seconds is None else max(ENOUGH_STEPS, ENOUGH_EPOCHS * epoch)):
            return result
    return result


Populations = Sequence[Sequence[Setting]]  # the settings of each


def cost_of(runner: Runner, populations: Populations, share: float = 1.0) -> float:
    """What bags of these populations will take: steps where these are the budget, or else seconds.

    Seconds go by the speed of those that were trained so far.
    """
    design = runner.plan.design
    assert design is not None
    lengths = [steps_of(runner, settings[0], share) for settings in populations]
    if runner.budget_clock.budget.seconds is None:
        return float(sum(lengths))
    total = sum(
        work(one.member.spec, one.batch_size, FOLDS, steps)
        for settings, steps in zip(populations, lengths, strict=True)
        for one in settings
    )
    known = [
        (work(t.members[0].spec, t.batch_size, len(t.members), 1), runner.speeds[t.name])
        for t in runner.trained
        if t.name in runner.speeds and t.members[0].fold is not None
    ]
    unit = sum(s for _, s in known) / sum(w for w, _ in known) if known else design.unit
    return unit * total


def there_is_time(runner: Runner, stage: str, step: int, name: str, populations: Populations) -> bool:
    """Whether a round of whole trainings is begun: by the record, or by what is left of its stage's share."""
    said = {record["name"]: bool(record["begun"]) for record in runner.ledger.recorded("round")}
    recorded, budget = runner.recipe.rounds, runner.budget_clock.budget
    if name in said:
        begun = said[name]
    elif recorded is not None:
        begun = name in recorded
    elif budget.seconds is None:
        spent = sum(trained.steps_done for trained in runner.trained)
        begun = spent + cost_of(runner, populations) <= runner.end_of(stage)
    else:
        ends = runner.budget_clock.spent() + cost_of(runner, populations)
        begun = not runner.interrupted and ends <= runner.end_of(stage)
    sentence = f"round {name}: {'begun' if begun else 'no time is left for it'}"
    runner.ledger.add("round", {"step": step, "name": name, "begun": begun, "sentence": sentence})
    return begun
