"""Settings of several targets are adopted by each target's own metric beside the best constant answer's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luthier.assess.jackknife import batches
from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.recipe.delivery.target_metrics import BATCHES, TargetMetric

RNG = np.random.default_rng(0)
N = 400
VALUES, TWO, THREE = RNG.gamma(2.0, size=N), RNG.integers(0, 2, N), RNG.integers(0, 3, N)
WEIGHTS = RNG.random(N) + 0.1
NUMBER, BINARY = Task("regression", "a"), Task("binary", "b", ("no", "yes"))
SEVERAL, ORDERED = Task("multiclass", "c", ("p", "q", "r")), Task("ordered", "d", ("low", "medium", "high"))


def measured(name: str, task: Task, y: np.ndarray, *, asked: bool = True, weights: Any = None) -> TargetMetric:
    targets = y.astype(int if task.is_classes else float)
    transform = TargetTransform()
    return TargetMetric(
        name, asked, task, transform, y, targets, weights, np.arange(N) % 5, batches(np.arange(N), BATCHES, 0)
    )


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("name", "task", "y"),
    [
        *((name, NUMBER, VALUES) for name in ("rmse", "mae", "r2", "rmsle", "pinball 0.9", "poisson deviance")),
        *((name, BINARY, TWO) for name in ("accuracy", "auc", "f1", "log loss", "brier", "mcc")),
        *((name, SEVERAL, THREE) for name in ("accuracy", "f1 macro", "log loss", "balanced accuracy")),
        ("quadratic kappa", ORDERED, THREE),
    ],
)
def test_a_constant_is_one_and_a_perfect_answer_nothing(
    name: str, task: Task, y: np.ndarray, weights: np.ndarray | None
) -> None:
    """Whichever way a metric goes: 1 is as good as the best constant answer, 0 is perfect."""
    metric = measured(name, task, y, weights=weights)
    perfect = np.eye(len(task.classes))[y] if task.is_classes else y[:, None]
    assert metric.relative(perfect) == pytest.approx(0, abs=1e-6)
    if not task.is_classes:
        constant = np.full((N, 1), np.average(y, weights=weights))  # its answer is then measured on other folds
        assert metric.relative(constant)[0] == pytest.approx(1, abs=0.02)
    noise = 0.8 * perfect + 0.2 * RNG.permutation(perfect)
    assert 0 <= metric.relative(noise)[0] < 1


def test_without_a_metric_that_was_asked_for_classes_are_the_likeliest() -> None:
    """A threshold is fitted for accuracy where it was asked for, as what is delivered is answered."""
    p = np.where(TWO == 1, 0.45, 0.05)
    outputs = np.stack([1 - p, p], 1)
    plain, asked = (measured("accuracy", BINARY, TWO, asked=asked).relative(outputs)[0] for asked in (False, True))
    assert (plain, asked) == (pytest.approx((TWO == 1).mean() / min((TWO == 1).mean(), (TWO == 0).mean())), 0)


def test_rows_are_left_out_in_batches_alike_for_the_answer_and_the_constant() -> None:
    metric = measured("rmse", NUMBER, VALUES)
    outputs = VALUES + RNG.normal(size=N)
    found = metric.relative(outputs[:, None])
    rest = metric.batches != 3
    y, mean = VALUES[rest], VALUES.mean()
    expected = np.sqrt(((y - outputs[rest]) ** 2).mean() / ((y - mean) ** 2).mean())
    assert found.shape == (1 + BATCHES,)
    assert found[4] == pytest.approx(expected, rel=1e-9)
