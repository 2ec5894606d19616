"""Between steps 2 and 3: three quick checks that the machinery works before it is trusted."""

from __future__ import annotations

from typing import Any

from luthier.diagnosis import check_gradients, loss_at_start, overfit_batch
from luthier.messages import restored, with_messages
from luthier.recipe.decisions.decision import Evidence
from luthier.recipe.decisions.machinery_checks import GradientsEvidence, OverfitEvidence, StartEvidence
from luthier.recipe.modality import modality_of
from luthier.recipe.runner import Runner
from luthier.records import Finding
from luthier.seeds import derive

SEEDS = 5
OVERFIT_STEPS = 400
CHECKS: dict[str, type[Evidence[bool]]] = {
    "start": StartEvidence,
    "overfit": OverfitEvidence,
    "gradients": GradientsEvidence,
}


def check_before_training(runner: Runner, method: str) -> None:
    """Loss at the start near its expected value, one batch overfitted, gradients checked numerically."""
    found = runner.memo.json("before-training", lambda: _measure(runner, method))
    for key, kind in CHECKS.items():
        result = restored(found[key])
        passed = runner.ledger.decide(2, kind(**result["evidence"]))
        if not passed:
            runner.ledger.find(
                Finding(key, "warning", result["sentence"], result["evidence"], result["remedy"], "S2-07"),
                step=2,
            )


def _measure(runner: Runner, method: str) -> dict[str, Any]:
    problem = runner.problem
    _, training, _ = problem.prepared(method)
    spec = modality_of(problem).bare_network(problem, method, runner.plan.width)
    seeds = [derive(problem.seed, "start", k) for k in range(SEEDS)]
    measured = {
        "start": loss_at_start(spec, training, problem.loss, seeds=seeds),
        "overfit": overfit_batch(spec, training, problem.loss, seed=seeds[0], steps=OVERFIT_STEPS),
        "gradients": check_gradients(spec, training, problem.loss, seed=seeds[0]),
    }
    return {name: with_messages(result) for name, result in measured.items()}
