"""Networks by the metric that was asked for, on rows that they have not learnt from. N rows, C outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from luthier.assess import Scoring, Units, paired_difference, score
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.recipe.delivery.fitted_answers import answered_in_folds, fit_answer
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.run_baselines import own_scale
from luthier.records import Measure
from luthier.rows import Rows


@dataclass(frozen=True, eq=False)
class ByMetric:
    """The metric that was asked for, on rows of known targets: `y` [N] on the metric's scale, `targets` [N] on the
    modelled one; `units` are what new data would bring anew."""

    problem: Problem
    y: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    units: Units

    @classmethod
    def on(cls, problem: Problem, parts: Iterable[Rows], units: Units) -> ByMetric:
        """On the rows of some parts."""
        rows = list(parts)
        y = np.concatenate([own_scale(problem.task, part) for part in rows])
        targets = np.concatenate([part.targets.numpy() for part in rows])
        known = [part.weights.numpy() for part in rows if part.weights is not None]
        return cls(problem, y, targets, np.concatenate(known) if known else None, units)

    @property
    def metric(self) -> str:
        """Its name."""
        return self.problem.asked_metric

    @property
    def larger_is_better(self) -> bool:
        """Which way it goes."""
        return metric_named(self.metric).larger_is_better

    def prediction(self, outputs: np.ndarray) -> np.ndarray:
        """What the metric sees of outputs [N, C], by the answer that it asks for, fitted on these rows."""
        return fit_answer(*self._way, outputs, self.targets, self.weights)(outputs)

    def prediction_in_folds(self, outputs: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """The same with an answer that was fitted on the other folds [N]."""
        return answered_in_folds(*self._way, outputs, self.targets, self.weights, folds)

    @property
    def _way(self) -> tuple[str, Task, TargetTransform]:
        return self.metric, self.problem.task, self.problem.target

    def value(self, prediction: np.ndarray) -> float:
        """The metric of a prediction; NaN where it is not defined on these rows."""
        return score(self.metric, self.y, prediction, self.weights, task=self.problem.task)

    def gain(self, one: np.ndarray, other: np.ndarray) -> Measure:
        """How much better one prediction is than another, above 0, with its interval by the jackknife over units."""
        problem = self.problem
        scoring = Scoring(self.weights, problem.task, self.units)
        return paired_difference(self.metric, self.y, one, other, scoring, seed=problem.seed)
