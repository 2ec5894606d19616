"""The bar to clear: simple models beside the networks, in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from luthier.assess import PRIMARY, BaselineRun, measure
from luthier.data import Dataset
from luthier.recipe.work import Work
from luthier.records import Decision, Option

SLOT = 0.5  # share of the budget after which baselines that are not ready are stopped
TEST_SECONDS = 10.0  # for predictions of the test rows by models that are fitted already


class Baselines:
    """The baselines of a run: asked for validation predictions once, for test predictions once."""

    def __init__(self, work: Work, run: BaselineRun) -> None:
        self._work, self._run = work, run
        self.validation: dict[str, np.ndarray] = {}

    def collect(self) -> None:
        """Wait until the slot ends, and write how the baselines do on the validation part."""
        work, run = self._work, self._run
        recorded = work.script.cut("baselines") if work.repeating else None
        slot = (work.spending.budget.seconds or float("inf")) * SLOT
        found = {} if recorded else run.wait(lambda: bool(work.interrupted) or work.spending.spent() > slot)
        missing = [name for name in run.names if name not in found]
        if missing:
            work.record_cut("baselines", len(found))
        if run.failed() and missing:
            work.ledger.add("note", {"step": 1, "sentence": f"the baselines' process failed: {run.failed()}"})
        self.validation = found
        targets = own_scale(work, work.data.validation)
        metric = PRIMARY[work.data.task.kind]
        scores = {name: measure(metric, targets, found[name], seed=work.seed) for name in run.names if name in found}
        work.ledger.decide(
            Decision(
                step=1,
                topic="baselines",
                chosen=", ".join(f"{name} {score.value:.4g}" for name, score in scores.items()) or "none",
                reason=f"a network must be worth its trouble; {metric} on the validation part"
                + (f" ({', '.join(missing)} not ready in time)" if missing else ""),
                options=tuple(Option(name, score.to_json()) for name, score in scores.items()),
                rule="all that were ready",
            )
        )

    def test(self, rows: Dataset) -> dict[str, np.ndarray]:
        """Predictions for the opened test rows, of the baselines that were ready in their slot."""
        if not self.validation:
            return {}
        deadline = self._work.spending.clock.now() + TEST_SECONDS
        limited = self._work.spending.budget.seconds is not None
        found = self._run.predict_test(rows, lambda: limited and self._work.spending.clock.now() > deadline)
        return {name: found[name] for name in self.validation if name in found}


@contextmanager
def running_baselines(work: Work) -> Iterator[Baselines]:
    """Fit the baselines beside the networks, and end their process whatever happens."""
    run = BaselineRun(work.data.training, work.data.validation, work.data.task, work.data.encoder.category_sizes)
    try:
        yield Baselines(work, run)
    finally:
        run.close()


def own_scale(work: Work, part: Dataset) -> np.ndarray:
    """Targets of a part as metrics want them: class numbers, or values on the target's own scale."""
    assert part.targets is not None
    targets = part.targets.numpy()
    return np.exp(targets.astype(float)) if work.data.task.log_scale else targets
