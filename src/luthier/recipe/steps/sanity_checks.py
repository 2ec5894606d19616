"""Step 2: a first architecture, and three quick checks that the machinery works before it is trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from luthier.diagnosis import check_gradients, loss_at_start, overfit_batch
from luthier.recipe.decisions.decision import Evidence, decided
from luthier.recipe.decisions.machinery_checks import GradientsEvidence, OverfitEvidence, StartEvidence
from luthier.recipe.modality import modality_of
from luthier.recipe.runner import Runner
from luthier.recipe.so_far import SoFar
from luthier.records import Finding, Said, found
from luthier.seeds import derive

SEEDS = 5
OVERFIT_STEPS = 400
CHECKS: dict[str, type[Evidence[bool]]] = {
    "start": StartEvidence,
    "overfit": OverfitEvidence,
    "gradients": GradientsEvidence,
}


def choose_network(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """The first architecture and how numbers enter it at first, which the experiments vary; then the checks."""
    modality = modality_of(runner.problem)
    method = modality.first_setting(runner.problem).method
    yield from modality.choose_network(runner)
    yield from _check_before_training(runner, method)
    return replace(so_far, method=method)


def _check_before_training(runner: Runner, method: str) -> Said[None]:
    """Loss at the start near its expected value, one batch overfitted, gradients checked numerically."""
    measured = runner.memo.json("before-training", lambda: _measure(runner, method))
    for key, kind in CHECKS.items():
        result = measured[key]
        if not (yield from decided(2, kind(**result["evidence"]))):
            yield found(2, Finding(key, "warning", result["sentence"], result["evidence"], result["remedy"], "S2-07"))


def _measure(runner: Runner, method: str) -> dict[str, Any]:
    problem = runner.problem
    _, training, _ = problem.prepared(method)
    spec = modality_of(problem).bare_network(problem, method, runner.plan.width)
    seeds = [derive(problem.seed, "start", k) for k in range(SEEDS)]
    return {
        "start": loss_at_start(spec, training, problem.loss, seeds=seeds),
        "overfit": overfit_batch(spec, training, problem.loss, seed=seeds[0], steps=OVERFIT_STEPS),
        "gradients": check_gradients(spec, training, problem.loss, seed=seeds[0]),
    }
