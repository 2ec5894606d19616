"""Between steps 2 and 3: three quick checks that the machinery works before it is trusted."""

from __future__ import annotations

from typing import Any

from luthier.diagnosis import check_gradients, loss_at_start, overfit_batch
from luthier.recipe.steps.architecture import first_spec
from luthier.recipe.work import Work
from luthier.records import Decision, Finding
from luthier.seeds import derive

SEEDS = 5
OVERFIT_STEPS = 400


def check_before_training(work: Work, method: str) -> None:
    """Loss at the start near its expected value, one batch overfitted, gradients checked numerically."""
    found = work.memory.json("before-training", lambda: _measure(work, method))
    for topic, key in (
        ("check: loss at the start", "start"),
        ("check: one batch overfitted", "overfit"),
        ("check: gradients against finite differences", "gradients"),
    ):
        result = found[key]
        work.ledger.decide(
            Decision(
                step=2,
                topic=topic,
                chosen="passed" if result["passed"] else "failed",
                reason=result["sentence"],
                evidence=result["evidence"],
                rule=f"check of {key}",
            )
        )
        if not result["passed"]:
            work.ledger.find(
                Finding(key, "warning", result["sentence"], result["evidence"], result["remedy"], "S2-07"),
                step=2,
            )


def _measure(work: Work, method: str) -> dict[str, Any]:
    _, training, _ = work.prepared(method)
    spec = first_spec(work, method)
    seeds = [derive(work.seed, "start", k) for k in range(SEEDS)]
    return {
        "start": loss_at_start(spec, training, work.loss, seeds=seeds),
        "overfit": overfit_batch(spec, training, work.loss, seed=seeds[0], steps=OVERFIT_STEPS),
        "gradients": check_gradients(spec, training, work.loss, seed=seeds[0]),
    }
