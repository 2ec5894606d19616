"""Step 5, when asked: one network that learns what the delivered mean of many says (Hinton and others 2015).

N rows, C outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.messages import Message
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.delivered import DistilledEvidence
from luthier.recipe.delivery.deliverable import Component, Deliverable
from luthier.recipe.planning.plan import FINAL_SEEDS
from luthier.recipe.planning.setting import Setting, seeded
from luthier.recipe.preparing.yardstick import comparable, yardstick_of
from luthier.recipe.running.pieces_of_populations import TrainingPlan
from luthier.recipe.running.runner import Runner
from luthier.records import Said, noted
from luthier.rows import Rows, arguments
from luthier.saved import activate
from luthier.seeds import derive
from luthier.statistics.row_losses import row_losses


def distil(runner: Runner, setting: Setting, choice: Deliverable) -> Said[Deliverable]:
    """The best of five networks trained on what the choice says of the training rows; the choice where time is up."""
    problem = runner.problem
    if not problem.mixes:
        yield noted(5, Message("ordered levels are not distilled; --task multiclass can be"))
        return choice
    if len(choice.components) < 2:
        return choice
    _, training, validation = problem.prepared(setting.method)
    taught = Rows(training.inputs, _teaching(runner, choice, training), training.weights)
    planned = runner.plan.final.for_batches(setting.batch_size, runner.plan.batch_size)
    seeds = [derive(problem.seed, "distilled", k) for k in range(FINAL_SEEDS)]
    members = seeded(setting, seeds, planned.steps, "distilled")
    plan = TrainingPlan.of(list(runner.plan.shares)[-1], planned, setting, parts=(taught, validation))
    trained = yield from runner.run("distilled", members, plan)
    if trained is None:
        return choice
    best = trained.usable()[0]
    known = comparable(problem, activate(trained.logits[best], problem.task.kind), validation)
    losses = row_losses(known, validation.targets, yardstick_of(problem), validation.weights)
    alone, own = choice.losses["one"], float(losses.mean())
    offered = choice.kind, len(choice.components)
    yield from decided(5, DistilledEvidence(alone, choice.losses[choice.kind], *offered, own))
    return Deliverable("distilled", (Component(trained, best),), {**choice.losses, "distilled": own})


@torch.no_grad()
def _teaching(runner: Runner, choice: Deliverable, training: Rows) -> Tensor:
    """What the mean says of the training rows: probabilities [N, C], of two classes [N, 1], or values [N]."""
    problem = runner.problem
    kind = problem.task.kind
    total = torch.zeros(len(training), max(2, problem.outputs) if problem.task.classes else 1, dtype=torch.float64)
    for component in choice.components:
        net = component.trained.net(component.member)
        rows = torch.split(torch.arange(len(training)), 8192)
        outputs = torch.cat([activate(net(*arguments(net, training.rows(r).inputs)), kind) for r in rows])
        total += component.weight * outputs
    if not problem.task.is_classes:
        return total[:, 0].float()
    return total[:, 1:].float() if problem.task.family == "binary" else total.float()
