"""Step 4: would more training rows help? The learning curve over their number."""

from __future__ import annotations

import torch

from luthier.assess import more_rows
from luthier.engine import Part
from luthier.recipe.decisions.data_need import LossLaw, MoreRowsEvidence
from luthier.recipe.ladder import Candidate
from luthier.recipe.runner import Runner, TrainingPlan
from luthier.recipe.setting import seeded
from luthier.seeds import derive, torch_generator

SHARES = (1 / 8, 1 / 4, 1 / 2)
FEWEST = 40


def _some(part: Part, rows: int, seed: int) -> Part:
    """The first rows of a fixed order, so that a larger part holds the smaller ones."""
    order = torch.randperm(len(part), generator=torch_generator(seed, "some rows"))[:rows]
    return part.rows(order)


def ask_for_more_rows(runner: Runner, standing: Candidate) -> None:
    """Train the standing setting on parts of the training rows, and follow the losses on to twice as many."""
    problem = runner.problem
    setting, rows = standing.setting, len(problem.data.training)
    sizes, losses = [], []
    _, training, validation = problem.prepared(setting.method)
    for share in SHARES:
        count = round(share * rows)
        if count < FEWEST:
            continue
        planned = runner.plan.fit_validation.for_batches(setting.batch_size, runner.plan.batch_size)
        seeds = [derive(problem.seed, "member", k) for k in range(runner.plan.seeds)]
        members = seeded(setting, seeds, planned.steps, f"{count} rows")
        parts = _some(training, count, problem.seed), validation
        batch = min(setting.batch_size, count)
        plan = TrainingPlan("fit validation", planned, setting.method, setting.rule, batch, parts)
        trained = runner.run(f"validate-rows-{count}", members, plan)
        if trained is None or "cut" in trained.statuses or len(trained.usable()) < len(members):
            return
        sizes.append(count)
        losses.append([float(loss) for loss in trained.validation_loss])
    if len(sizes) < 2:
        return
    result = more_rows([*sizes, rows], [*losses, [float(loss) for loss in standing.rows.mean(1)]])
    known = {name: value for name, value in result.items() if name not in ("helps", "law")}
    runner.ledger.decide(4, MoreRowsEvidence(law=LossLaw(**result["law"]), **known))
