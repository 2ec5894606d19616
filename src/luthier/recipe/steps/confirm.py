"""Step 4, last: the recipe's questions about the adopted setting, answered in pairs on fresh partitions into folds.

The setting and each of its variants train on the same rows, from the same seeds, in the same batches. S partitions,
N open rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.experiment import AnswerEvidence
from luthier.recipe.fold_bags import Bag, BagPlan, train_bags
from luthier.recipe.questions import Question, questions
from luthier.recipe.rounds import MOST_PARTITIONS, PARTITIONS, there_is_time
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.statistics.confirming import MARGIN, answer
from luthier.statistics.paired import SeedSpread

STAGE, KEPT = "questions", 2


def confirm(runner: Runner, adopted: Setting, rates: Mapping[str, float]) -> list[Bag]:
    """Answer every question that there is time for; the bags whose networks were kept may be delivered."""
    asked = list(questions(runner, adopted, rates))
    settings = [replace(adopted, label="adopted"), *(replace(one.other, label=one.name) for one in asked)]
    shapes = _affordable(runner, _shapes(settings))
    losses: dict[str, list[np.ndarray]] = {one.label: [] for each in shapes for one in each}
    kept: list[Bag] = []
    for number in range(MOST_PARTITIONS if shapes else 0):
        name = f"questions-{number}"
        if number >= PARTITIONS and not there_is_time(runner, STAGE, 4, name, shapes):
            break
        bags = _train(runner, name, shapes, number)
        if bags is None:
            break
        for bag in bags:
            rows = bag.row_losses(runner.problem) if np.isfinite(bag.loss) else np.array([np.nan])
            losses[bag.setting.label].append(rows)
        trained = {id(bag.population): bag.population for bag in bags}
        slim = {key: runner.forget_outputs(population) for key, population in trained.items()}
        kept += [
            replace(
                bag,
                setting=replace(bag.setting, label=f"{name}, {bag.setting.label}"),
                population=slim[id(bag.population)],
            )
            for bag in bags
        ]
    _answer(runner, asked, losses)
    return [bag for bag in kept if bag.is_kept]


def _affordable(runner: Runner, shapes: list[list[Setting]]) -> list[list[Setting]]:
    """The shapes whose questions there is time for: all, half of them, those of the adopted shape alone, or none."""
    for name, count in (
        ("questions", len(shapes)),
        ("half-the-questions", -(-len(shapes) // 2)),
        ("fewer-questions", 1),
    ):
        if there_is_time(runner, STAGE, 4, name, shapes[:count] * PARTITIONS):
            return shapes[:count]
    return []


def _train(runner: Runner, name: str, shapes: Sequence[Sequence[Setting]], number: int) -> list[Bag] | None:
    """The bags of all settings on one partition, shape by shape; None where the clock cut one."""
    trial = BagPlan(STAGE, partition=1 + number, seed=100 + number, kept=KEPT, outputs=True)
    result: list[Bag] = []
    for place, together in enumerate(shapes):
        bags = train_bags(runner, f"{name}-{place}", together, trial)
        if not bags:
            return None
        result += bags
    return result


def _shapes(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings by what those of one population have in common."""
    result: dict[Any, list[Setting]] = {}
    for one in settings:
        member = one.member
        key = one.method, one.rule, one.batch_size, one.length, member.spec, member.noise, member.mixup
        result.setdefault(key, []).append(one)
    return list(result.values())


def _answer(runner: Runner, asked: Sequence[Question], losses: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Each question's answer from whole partitions; the luck of trainings is judged by all of them together."""
    known = {name: np.array(rows) for name, rows in losses.items() if rows and all(len(one) > 1 for one in rows)}
    if "adopted" not in known:
        return
    reference, spread = known["adopted"], SeedSpread()
    differences = [known[one.name] - reference for one in asked if one.name in known]
    if len(reference) > 1:
        spread.add(differences)
    units = _units(runner)
    for one in asked:
        if one.name not in known:
            continue
        pair = (reference, known[one.name]) if one.used else (known[one.name], reference)
        result = answer(*pair, units, spread)
        runner.ledger.decide(
            4,
            AnswerEvidence(
                one.name,
                one.used,
                one.value,
                round(result.size, 5),
                finite(result.low),
                finite(result.high),
                len(reference),
                MARGIN,
                5 if runner.problem.crossed else 1,
            ),
        )


def _units(runner: Runner) -> np.ndarray:
    """The unit of each row that judges [N]: its group, the copies of one row, or a block of times."""
    problem = runner.problem
    numbers, start = [], 0
    for name, part in problem.judging.items():
        own = problem.data.units[name].numbers(len(part))
        numbers.append(own + start)
        start += int(own.max(initial=-1)) + 1
    return np.concatenate(numbers)
