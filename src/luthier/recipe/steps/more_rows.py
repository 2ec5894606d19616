"""Step 4: would more training rows help? The learning curve over their number."""

from __future__ import annotations

import torch

from luthier.assess import more_rows
from luthier.recipe.decisions.data_need import LossLaw, MoreRowsEvidence
from luthier.recipe.decisions.decision import decided
from luthier.recipe.experiment.fold_bags import steps_of
from luthier.recipe.experiment.rounds import there_is_time
from luthier.recipe.planning.plan import FOLDS, Stage
from luthier.recipe.planning.setting import Setting, seeded
from luthier.recipe.running.pieces_of_populations import TrainingPlan
from luthier.recipe.running.runner import Runner, TrainedPopulation
from luthier.records import Said
from luthier.rows import Rows
from luthier.seeds import derive, torch_generator

STAGE, SHARES, FEWEST = "questions", (1 / 8, 1 / 4, 1 / 2, 1.0), 40
SPARE = 6  # times as long there has to be: the questions come first


def ask_for_more_rows(runner: Runner, setting: Setting) -> Said[None]:
    """Train a setting on parts of the training rows, where there is time, and follow the losses to twice as many."""
    assert runner.plan.design is not None
    bags = FOLDS // runner.plan.design.folds  # that cost as much as the seeds on all rows
    rows = len(runner.problem.data.training)
    counts = [count for share in SHARES if (count := round(share * rows)) >= FEWEST]
    populations = [[setting] * bags] * len(counts)
    if len(counts) < 3 or not (yield from there_is_time(runner, STAGE, 4, "more-rows", populations * SPARE)):
        return
    losses: list[list[float]] = []
    for count in counts:
        one = yield from _trained(runner, setting, count)
        losses += [] if one is None else [[float(loss) for loss in one.validation_loss]]
    if len(losses) < len(counts):
        return
    result = more_rows(counts, losses)
    known = {name: value for name, value in result.items() if name not in ("helps", "law")}
    yield from decided(4, MoreRowsEvidence(law=LossLaw(**result["law"]), **known))


def _trained(runner: Runner, setting: Setting, count: int) -> Said[TrainedPopulation | None]:
    """Its networks from five seeds on so many training rows; None where the clock cut them, or one diverged."""
    problem = runner.problem
    _, training, validation = problem.prepared(setting.method)
    steps = steps_of(runner, setting, 1.0)
    seeds = [derive(problem.seed, "more rows", k) for k in range(FOLDS)]
    plan = TrainingPlan.of(
        STAGE,
        Stage(steps=steps),
        setting,
        batch_size=min(setting.batch_size, count),
        parts=(_some(training, count, problem.seed), validation),
        kept=1,
        outputs=False,
        complete=True,
    )
    trained = yield from runner.run(f"more-rows-{count}", seeded(setting, seeds, steps, f"{count} rows"), plan)
    return None if trained is None or "cut" in trained.statuses or len(trained.usable()) < FOLDS else trained


def _some(part: Rows, rows: int, seed: int) -> Rows:
    """The first rows of a fixed order, so that a larger part holds the smaller ones."""
    order = torch.randperm(len(part), generator=torch_generator(seed, "some rows"))[:rows]
    return part.rows(order)
