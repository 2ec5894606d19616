"""The bar to clear: simple models beside the networks, in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from luthier.assess import BaselineRun, measure
from luthier.data import Dataset, Task
from luthier.recipe.work import Work
from luthier.records import Decision, Option

SLOT = 0.5  # share of the budget after which baselines that are not ready are stopped
FIRST_SLOT = 0.1  # of the budget, where they come before the training
TEST_SECONDS = 10.0  # for predictions of the test rows by models that are fitted already
REFIT_SECONDS = 300.0  # where a resumed run must fit them again


class Baselines:
    """The baselines of a run: asked for validation predictions once, for test predictions once."""

    def __init__(self, work: Work, run: BaselineRun) -> None:
        self._work, self._run = work, run
        self.validation: dict[str, np.ndarray] = {}
        self._seconds = TEST_SECONDS

    def collect(self) -> None:
        """Wait until the slot ends, and write how the baselines do on the validation part."""
        work, run = self._work, self._run
        found = self._recalled()
        if found is None:
            recorded = work.script.cut("baselines") if work.repeating else None
            slot = (work.spending.budget.seconds or float("inf")) * SLOT
            found = {} if recorded else run.wait(lambda: bool(work.interrupted) or work.spending.spent() > slot)
            work.memory.keep("baselines", {name: torch.from_numpy(p) for name, p in found.items()}, {})
        missing = [name for name in run.names if name not in found]
        if missing:
            work.record_cut("baselines", len(found))
        if run.failed() and missing:
            work.ledger.add("note", {"step": 1, "sentence": f"the baselines' process failed: {run.failed()}"})
        self.validation = found
        targets = own_scale(work.data.task, work.data.validation)
        metric = work.metric
        weights = None if work.data.validation.weights is None else work.data.validation.weights.numpy()
        scores = {
            name: measure(metric, targets, found[name], seed=work.seed, weights=weights)
            for name in run.names
            if name in found
        }
        work.ledger.decide(
            Decision(
                step=1,
                topic="baselines",
                chosen=", ".join(f"{name} {score.value:.4g}" for name, score in scores.items()) or "none",
                reason=f"a network must be worth its trouble; {metric} on the validation part"
                + ("; slow ones learnt from the first 3,000 to 20,000 pictures" if work.medium == "pictures" else "")
                + (f" ({', '.join(missing)} not ready in time)" if missing else ""),
                options=tuple(Option(name, score.to_json()) for name, score in scores.items()),
                rule="all that were ready",
            )
        )

    def finish_first(self) -> None:
        """Let them have the cores before training, which needs all of them: convolutions wait for each other."""
        if self._recalled() is None and not (self._work.repeating and self._work.script.cut("baselines")):
            work = self._work
            slot = (work.spending.budget.seconds or float("inf")) * FIRST_SLOT
            self._run.finish(lambda: bool(work.interrupted) or work.spending.spent() > slot)

    def _recalled(self) -> dict[str, np.ndarray] | None:
        """What an earlier sitting's baselines said of the validation rows; their process fits them anew meanwhile."""
        recalled = self._work.memory.recall("baselines")
        if recalled is None:
            return None
        self._seconds = REFIT_SECONDS
        return {name: recalled[0][name].numpy() for name in self._run.names if name in recalled[0]}

    def test(self, rows: Dataset) -> dict[str, np.ndarray]:
        """Predictions for the opened test rows, of the baselines that were ready in their slot."""
        if not self.validation:
            return {}
        deadline = self._work.spending.clock.now() + self._seconds
        limited = self._work.spending.budget.seconds is not None
        found = self._run.predict_test(rows, lambda: limited and self._work.spending.clock.now() > deadline)
        return {name: found[name] for name in self.validation if name in found}


@contextmanager
def running_baselines(work: Work) -> Iterator[Baselines]:
    """Fit the baselines beside the networks, and end their process whatever happens."""
    data, encoder = work.data, work.data.encoder
    words = (encoder.words, sum(text.length for text in encoder.texts))
    run = BaselineRun(data.training, data.validation, data.task, encoder.category_sizes, words)
    try:
        yield Baselines(work, run)
    finally:
        run.close()


def own_scale(task: Task, part: Dataset) -> np.ndarray:
    """Targets of a part as metrics want them: class numbers, or values on the target's own scale."""
    assert part.targets is not None
    targets = part.targets.numpy()
    return np.exp(targets.astype(float)) if task.log_scale else targets
