"""The bar to clear: simple models beside the networks, in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NotRequired

import numpy as np
import torch
from typing_extensions import TypedDict

from luthier.assess import BaselineRun, Scoring, measure, seen_by
from luthier.assess.baseline_process import of_quantile
from luthier.assess.baselines import ValueBaselines
from luthier.data import Task
from luthier.messages import Message, restored, with_messages
from luthier.recipe.decisions.baselines_ready import BaselineScore, BaselinesEvidence
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.running.runner import Runner
from luthier.records import Said, noted
from luthier.rows import Rows
from luthier.task import baseline_loss

SLOT = 0.5  # share of the budget after which baselines that are not ready are stopped
FIRST_SLOT = 0.1  # of the budget, where they come before the training
TEST_SECONDS = 10.0  # for predictions of the test rows by models that are fitted already,
LATE_SECONDS = 2.0  # of which at most this many after the budget's end
REFIT_SECONDS = 300.0  # where a resumed run must fit them again


class BaselineFacts(TypedDict):
    """What is remembered beside predictions: which baselines could not be fitted, and why."""

    failed: NotRequired[dict[str, object]]  # reasons, or messages as `with_messages` writes them


class Baselines:
    """The baselines of a run: asked for validation predictions once, for test predictions once."""

    def __init__(self, runner: Runner, run: BaselineRun) -> None:
        self._runner, self._run = runner, run
        self.validation: dict[str, np.ndarray] = {}
        self.failed: dict[str, str] = {}  # those that could not be fitted, and why
        self._refitted = False  # where a resumed run fits them anew

    def collect(self) -> Said[None]:
        """Wait until the slot ends, and say how the baselines do on the validation part."""
        runner, run = self._runner, self._run
        recalled = self._recalled()
        if recalled is not None:
            result, self.failed = recalled
        else:
            recorded = runner.recipe.cut("baselines") if runner.repeating else None
            count = None if recorded is None else recorded.step  # a repeated run waits for those that were ready
            late = count is None and not runner.repeating
            result = run.wait(lambda: bool(runner.interrupted) or (late and _slot_left(runner) < 0), count)
            lacking = set(run.names[:count]) - set(result)
            self.failed = {name: why for name, why in run.failed().items() if name in lacking}
            kept = {name: torch.from_numpy(p) for name, p in result.items()}
            runner.memo.keep("baselines", kept, {"failed": with_messages(self.failed)})
        missing = [name for name in run.names if name not in result and name not in self.failed]
        if missing:
            yield runner.cut("baselines", len(run.names) - len(missing))  # they are fitted one after another
        for name, why in self.failed.items():
            yield noted(1, Message("the baseline '{name}' cannot be fitted here: {why}", name=name, why=why))
        self.validation = result
        targets = own_scale(runner.problem.task, runner.problem.data.validation)
        metric = runner.problem.metric
        scoring = Scoring.of(runner.problem.data.validation, runner.problem.task)
        scores = {
            name: measure(metric, targets, seen_by(metric, result[name], 0.5), scoring, seed=runner.problem.seed)
            for name in run.names
            if name in result and not of_quantile(name)
        }
        evidence = BaselinesEvidence(
            metric,
            tuple(BaselineScore(name, finite(one.value), one.low, one.high) for name, one in scores.items()),
            tuple(name for name in missing if not of_quantile(name)),
            tuple(run.unweighed()),
            few="pixels" in runner.problem.data.training.inputs,
        )
        yield from decided(1, evidence)

    def finish_first(self) -> None:
        """Let them have the cores before training, which needs all of them: convolutions wait for each other."""
        if self._recalled() is None and not (self._runner.repeating and self._runner.recipe.cut("baselines")):
            runner = self._runner
            slot = (runner.budget_clock.budget.seconds or float("inf")) * FIRST_SLOT
            self._run.finish(lambda: bool(runner.interrupted) or runner.budget_clock.spent() > slot)

    def _recalled(self) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
        """What an earlier sitting's baselines said of the validation rows, and which failed; they are fitted anew
        meanwhile."""
        recalled = self._runner.memo.recall("baselines", BaselineFacts)
        if recalled is None:
            return None
        self._refitted = True
        result = {name: recalled[0][name].numpy() for name in self._run.names if name in recalled[0]}
        return result, restored(recalled[1].get("failed", {}))

    def ask(self, rows: Rows) -> None:
        """Hand out the opened test rows, which the baselines predict beside the networks."""
        if self._late != set(self.validation):
            self._run.ask(rows)

    @property
    def _late(self) -> set[str]:
        """Those that a recorded run had no time to wait for."""
        runner = self._runner
        return {name for name in self.validation if runner.repeating and runner.recipe.cut(f"{name} on test rows")}

    def test(self) -> Said[dict[str, np.ndarray]]:
        """Predictions for the test rows that were handed out, of the baselines that were ready in their slot; the
        process then ends, and its memory is free for what follows.
        """
        if not self.validation:
            self._run.close()
            return {}
        runner, budget = self._runner, self._runner.budget_clock
        limited = budget.budget.seconds is not None and not runner.repeating
        wait = max(min(TEST_SECONDS, budget.left()), LATE_SECONDS)  # what the budget has left, and a little without
        deadline = budget.clock.now() + (REFIT_SECONDS if self._refitted else wait)
        late, result = self._late, dict[str, np.ndarray]()
        if late != set(self.validation):
            result = self._run.predicted(lambda: limited and budget.clock.now() > deadline)
        self._run.close()
        kept = {name: result[name] for name in self.validation if name in result and name not in late}
        if limited and budget.clock.now() > deadline:
            late = self.validation.keys() - kept.keys()
        for name in sorted(late):
            yield runner.cut(f"{name} on test rows", 5)
        return kept


def _slot_left(runner: Runner) -> float:
    """Seconds until baselines that are not ready are stopped."""
    return SLOT * (runner.budget_clock.budget.seconds or float("inf")) - runner.budget_clock.spent()


class NoBaselines:
    """In the place of baselines where there are none."""

    def finish_first(self) -> None:
        """Nothing to wait for."""


@contextmanager
def running_baselines(runner: Runner) -> Iterator[Any]:
    """Fit the baselines beside the networks, and end their process whatever happens.

    Of several targets that share their networks each has its own later.
    """
    problem = runner.problem
    if problem.joint is not None:
        yield NoBaselines()
        return
    data, encoder = problem.data, problem.data.encoder
    words = (encoder.words, sum(text.length for text in encoder.texts), encoder.vector_width)
    BaselineRun.clear(runner.folder.path)
    values = ValueBaselines(baseline_loss(problem.metric), problem.quantiles)
    place, sizes, left = runner.folder.path, encoder.category_sizes, _slot_left(runner)
    limited = left < float("inf") and not runner.repeating and runner.memo.recall("baselines", BaselineFacts) is None
    seconds = max(left, LATE_SECONDS) if limited else None
    run = BaselineRun(data.training, data.validation, data.task, sizes, words, place, values, seconds)
    try:
        yield Baselines(runner, run)
    finally:
        run.close()


def own_scale(task: Task, part: Rows) -> np.ndarray:
    """Targets of a part as metrics want them: class numbers, or values on the target's own scale."""
    targets = part.targets.numpy()
    return np.exp(targets.astype(float)) if task.log_scale else targets
