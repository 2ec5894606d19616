"""Step 4, last: the recipe's questions about the adopted setting, answered in pairs on fresh partitions into folds.

The setting and each of its variants train on the same rows, from the same seeds, in the same batches. Questions that
two partitions leave open are asked on more of them while there is time. Of several targets it is asked of each one
whether networks that learn it alone serve it better. Where one part judges, partitions are seeds.
S partitions, N rows that judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from luthier.messages import Message
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.recipe.experiment.fold_bags import Bag, BagPlan, judging_units, train_bags
from luthier.recipe.experiment.questions import of_sharing
from luthier.recipe.experiment.rounds import MOST_PARTITIONS, there_is_time
from luthier.recipe.modality import modality_of
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.question_losses import ADOPTED, QuestionLosses
from luthier.records import Said
from luthier.statistics.confirming import FIRST, MARGIN

STAGE, KEPT = "questions", 2


def confirm(runner: Runner, adopted: Setting, rates: Mapping[str, float]) -> Said[list[Bag]]:
    """Answer every question that there is time for; the bags whose networks were kept may be delivered."""
    problem = runner.problem
    asked = list(modality_of(problem).questions(runner, adopted, rates))
    if problem.joint is not None:
        asked = [*of_sharing(adopted, [task.target for task in problem.joint.tasks]), *asked]
    settings = [replace(adopted, label=ADOPTED), *(replace(one.other, label=one.name) for one in asked)]
    shapes = yield from _affordable(runner, _shapes(settings))
    units = judging_units(problem).numbers(sum(map(len, problem.judging.values())))
    losses, kept = QuestionLosses(problem, asked, units), list[Bag]()
    for place, number in product(range(len(shapes)), range(FIRST)):  # shape by shape: a cut leaves answers of the first
        bags = yield from _asked_on(runner, losses, f"{STAGE}-{number}", place, shapes[place], number)
        if not bags:
            break
        kept += bags
    else:
        kept += yield from _on_more_partitions(runner, losses, shapes)
    yield from _answer(runner, losses)
    return [bag for bag in kept if bag.is_kept]


def _on_more_partitions(runner: Runner, losses: QuestionLosses, shapes: list[list[Setting]]) -> Said[list[Bag]]:
    """Ask what is still open of one partition after another, while there is time."""
    kept = list[Bag]()
    for number in range(FIRST, MOST_PARTITIONS):
        name, shapes = f"{STAGE}-{number}", _of_open_questions(shapes, losses)
        if not shapes or not (yield from there_is_time(runner, STAGE, 4, name, shapes)):
            break
        for place, together in enumerate(shapes):
            bags = yield from _asked_on(runner, losses, name, place, together, number)
            if not bags:
                return kept
            kept += bags
    return kept


def _asked_on(
    runner: Runner, losses: QuestionLosses, name: str, place: int, together: Sequence[Setting], number: int
) -> Said[list[Bag]]:
    """The counted bags of settings of one shape on one partition; none where the clock cut them."""
    trial = BagPlan(STAGE, partition=1 + number, seed=100 + number, kept=KEPT, outputs=True)
    bags = yield from train_bags(runner, f"{name}-{place}", together, trial)
    for bag in bags:
        losses.take(bag)
    return _slim(runner, name, bags)


def _slim(runner: Runner, name: str, bags: Sequence[Bag]) -> list[Bag]:
    """The bags, named by their partition, without the outputs of networks that are not kept."""
    trained = {id(bag.population): bag.population for bag in bags}
    slim = {key: runner.forget_outputs(population) for key, population in trained.items()}
    return [
        replace(
            bag,
            setting=replace(bag.setting, label=Message("{name}, {label}", name=name, label=bag.setting.label)),
            population=slim[id(bag.population)],
        )
        for bag in bags
    ]


def _of_open_questions(shapes: Sequence[Sequence[Setting]], losses: QuestionLosses) -> list[list[Setting]]:
    """The settings of questions that are not answered yet, beside the adopted one; none where all are."""
    names = losses.still_open()
    if not names:
        return []
    left = ([one for one in each if one.label in (*names, ADOPTED)] for each in shapes)
    return [each for each in left if each]


def _affordable(runner: Runner, shapes: list[list[Setting]]) -> Said[list[list[Setting]]]:
    """The shapes whose questions there is time for: all, half of them, those of the adopted shape alone, or none.

    Of several targets those of each target come first: with the adopted shape's, or alone.
    """
    alone = [shape for shape in shapes if shape[0].only is not None]
    offered = {"questions": shapes, "half-the-questions": shapes[: -(-len(shapes) // 2)]}
    if alone:
        offered |= {"fewer-questions-1": [shapes[0], *alone], "fewer-questions-2": [shapes[0][:1], *alone]}
    for name, some in (offered | {"fewer-questions": shapes[:1]}).items():
        if (yield from there_is_time(runner, STAGE, 4, name, some * FIRST)):
            return some
    return []


def _shapes(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings by what those of one population have in common."""
    result: dict[Any, list[Setting]] = {}
    for one in settings:
        member = one.member
        how = one.method, one.rule, one.batch_size, one.length, one.loss, one.only
        key = *how, member.spec, member.noise, member.mixup
        result.setdefault(key, []).append(one)
    return list(result.values())


def _answer(runner: Runner, losses: QuestionLosses) -> Said[None]:
    found, folds = losses.answers(), 5 if runner.problem.crossed else 1
    for one in losses.asked:
        if result := found.get(one.name):
            size, low, high = round(result.size, 5), finite(result.low), finite(result.high)
            question, partitions = (one.name, one.used, one.value), losses.partitions(one.name)
            yield from decided(4, AnswerEvidence(*question, size, low, high, partitions, MARGIN, folds))
