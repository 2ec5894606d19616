"""Step 2: a first architecture, and three quick checks that the machinery works before it is trusted."""

from __future__ import annotations

import math
from dataclasses import replace

from luthier.diagnosis import check_gradients, loss_at_start, overfit_batch
from luthier.messages import restored, with_messages
from luthier.recipe.decisions.decision import Evidence, decided
from luthier.recipe.decisions.machinery_checks import GradientsEvidence, OverfitEvidence, StartEvidence
from luthier.recipe.modality import modality_of
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Finding, Said, found
from luthier.seeds import derive

SEEDS = 5
OVERFIT_STEPS = 400
MOST_SECONDS = 0.1  # of a budget, for the batch that is overfitted
CHECKS: dict[str, type[Evidence[bool]]] = {
    "start": StartEvidence,
    "overfit": OverfitEvidence,
    "gradients": GradientsEvidence,
}


def choose_network(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """The first architecture, and how numbers enter it at first: the experiments vary both."""
    modality = modality_of(runner.problem)
    yield from modality.choose_network(runner)
    return replace(so_far, method=modality.first_setting(runner.problem).method)


def check_before_training(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Loss at the start near its expected value, one batch overfitted, gradients checked numerically."""
    problem, budget = runner.problem, runner.budget_clock.budget
    known = runner.memo.known("before-training")
    if known is None:
        _, training, _ = problem.prepared(so_far.method)
        spec = modality_of(problem).bare_network(problem, so_far.method, runner.plan.width)
        seeds, seconds = [derive(problem.seed, "start", k) for k in range(SEEDS)], budget.seconds or math.inf
        measured = {
            "start": loss_at_start(spec, training, problem.loss, seeds=seeds),
            "overfit": overfit_batch(
                spec, training, problem.loss, seed=seeds[0], steps=OVERFIT_STEPS, seconds=MOST_SECONDS * seconds
            ),
            "gradients": check_gradients(spec, training, problem.loss, seed=seeds[0]),
        }
        known = runner.memo.noted("before-training", {name: with_messages(one) for name, one in measured.items()})
    for key, kind in CHECKS.items():
        result = restored(known[key])
        if not (yield from decided(2, kind(**result["evidence"]))):
            yield found(2, Finding(key, "warning", result["sentence"], result["evidence"], result["remedy"], "S2-07"))
    return so_far
