"""Settings of several targets that share their networks: each target's own metric beside that of its best constant
answer. N rows that judge, n of them with a target; T targets, C outputs of all heads.

What is learnt is the loss of all targets; what is adopted goes by the mean of their metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from luthier.assess import scores_by, seen_by
from luthier.assess.jackknife import batches, student
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.recipe.decisions.decision import finite
from luthier.recipe.decisions.experiment import Tried
from luthier.recipe.delivery.fitted_answers import answered_in_folds, constant_answer, fit_answer
from luthier.recipe.experiment.fold_bags import Bag, choosing_folds, judging_units
from luthier.recipe.preparing.problem import Problem
from luthier.task import deciding_metric

BATCHES = 20  # of units, each of which is left out once: how much a mean of metrics owes to the rows' luck


@dataclass(frozen=True, eq=False)
class TargetMetric:
    """A target's metric on the rows that judge and have it: `y` [n] on the metric's scale, `targets` [n] on the
    modelled one.

    Where it was `asked` for, each row's answer is the one that it asks for on the other `folds` [n]; else classes are
    the likeliest ones. Rows of one of the `batches` [n] are left out together.
    """

    name: str
    asked: bool
    task: Task
    transform: TargetTransform
    y: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None
    folds: np.ndarray
    batches: np.ndarray

    def relative(self, outputs: np.ndarray) -> np.ndarray:
        """How far outputs [n, C] are from perfect, as a share of how far the best constant answer is: 1 is as good as
        that, 0 perfect. Of all rows first, then without each batch of units [1 + R]; NaN where that cannot be said."""
        perfect, constant = self._ends
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((perfect - self._scores(self._answers(outputs))) / (perfect - constant))

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The metric of perfect answers and of the best constant one [1 + R]."""
        count, row = len(self.y), constant_answer(self.name, self.task, self.y, self.weights)
        constant = np.repeat(row, count, 0)
        if not self.task.is_classes:
            perfect = self.y[:, None] if constant.ndim == 2 else self.y
            return self._scores(perfect), self._scores(constant)
        if self.asked:
            constant = fit_answer(self.name, self.task, self.transform, constant, self.targets, self.weights)(constant)
        return self._scores(np.eye(constant.shape[1])[self.y]), self._scores(constant)

    def _answers(self, outputs: np.ndarray) -> np.ndarray:
        if self.task.is_classes and not self.asked:
            return seen_by(self.name, outputs, 0.5)
        known = self.task, self.transform, outputs, self.targets, self.weights
        return answered_in_folds(self.name, *known, self.folds)

    def _scores(self, prediction: np.ndarray) -> np.ndarray:
        """The metric of all rows, and without each batch [1 + R]."""
        weights = np.ones(len(self.y)) if self.weights is None else self.weights
        left_out = np.arange(-1, BATCHES)[:, None] == self.batches
        return scores_by(self.name, self.y, prediction, np.where(left_out, 0.0, weights), self.task)


@dataclass(frozen=True, eq=False)
class TargetMetrics:
    """The metrics of all targets; what bags come to is remembered."""

    problem: Problem
    metrics: Sequence[TargetMetric]
    rows: Sequence[np.ndarray]  # which of the rows that judge have each target: [N], truth values
    _known: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem) -> TargetMetrics:
        """Of a problem of several targets."""
        parts, joint, folds = list(problem.judging.values()), problem.joint, choosing_folds(problem).numpy()
        assert joint is not None
        targets = torch.cat([part.targets for part in parts]).numpy()
        some = [part.weights.numpy() for part in parts if part.weights is not None]
        weights = np.concatenate(some) if some else None
        left_out = batches(judging_units(problem).numbers(len(targets)), BATCHES, problem.seed)
        metrics, rows = list[TargetMetric](), list[np.ndarray]()
        for column, task, transform, text in zip(
            targets.T, joint.tasks, joint.transforms, problem.asked.head_metrics, strict=True
        ):
            known = ~np.isnan(column)
            modelled = column[known].astype(int if task.is_classes else float)
            y = np.exp(modelled) if task.log_scale else modelled
            own = None if weights is None else weights[known]
            name, asked = deciding_metric(text, task.kind), bool(text) or task.traits.is_ordered
            metrics.append(TargetMetric(name, asked, task, transform, y, modelled, own, folds[known], left_out[known]))
            rows.append(known)
        return cls(problem, metrics, rows)

    def tried(self, bags: Sequence[tuple[Bag, float]]) -> list[Tried]:
        """Bags and their expected losses as the ledger has them, with the mean over targets of what `relative` says,
        and by how much it may lie below the best one's: by the jackknife over units, in pairs."""
        known = [self._of(bag) for bag, _ in bags]
        best = min((one.mean(0) for one in known if len(one)), key=lambda mean: float(mean[0]), default=None)
        result = []
        for (bag, expected), one in zip(bags, known, strict=True):
            plain = Tried(bag.setting.label, float(bag.loss), expected)
            if len(one) and best is not None:
                gain = best - one.mean(0)
                ends = student(float(gain[0]), gain[1:])
                each = tuple(round(float(value), 5) for value in one[:, 0])
                high = 0.0 if ends is None else finite(ends[1])
                plain = replace(plain, value=round(float(one[:, 0].mean()), 5), at_most=high, of_targets=each)
            result.append(plain)
        return result

    def _of(self, bag: Bag) -> np.ndarray:
        """Each target's metric of a bag relative to the constant's [T, 1 + R]; of no target where one cannot be said,
        or where the bag's networks were not kept."""
        key = bag.population.name, bag.first
        if bag.is_kept and key not in self._known:
            joint, outputs = self.problem.joint, bag.outputs(self.problem.kind).numpy()
            assert joint is not None
            each = zip(self.metrics, self.rows, joint.kind.answers, strict=True)
            found = np.stack([metric.relative(outputs[rows, place]) for metric, rows, place in each])
            self._known[key] = found if np.isfinite(found[:, 0]).all() else found[:0]
        return self._known.get(key, np.zeros((0, 1)))
