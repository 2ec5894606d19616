"""What several targets of one network are to the recipe: one loss, and the same loss of answers that are averaged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from luthier.data import Task
from luthier.errors import InputError
from luthier.recipe.experiment.fold_bags import choosing_folds
from luthier.recipe.preparing.joint_targets import JointTargets
from luthier.saved import activate
from luthier.statistics.bags import greedy_weights
from luthier.statistics.row_losses import row_losses, target_losses

RNG = np.random.default_rng(0)
N, NAN = 200, float("nan")
TASKS = (
    Task("regression", "a"),
    Task("binary", "b", ("no", "yes")),
    Task("count", "c"),
    Task("ordered", "d", ("low", "medium", "high", "top")),
    Task("multiclass", "e", ("p", "q", "r")),
    Task("share", "f"),
)


def targets() -> torch.Tensor:
    columns = [
        RNG.normal(50, 9, N),
        RNG.integers(0, 2, N),
        RNG.poisson(2.0, N),
        RNG.integers(0, 4, N),
        RNG.integers(0, 3, N),
        RNG.random(N),
    ]
    result = torch.from_numpy(np.stack([np.asarray(column, dtype=float) for column in columns], 1))
    result[torch.from_numpy(RNG.random(result.shape) < 0.3)] = NAN
    return result


Y = targets()
WEIGHTS = torch.from_numpy(RNG.random(N)) + 0.1


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_of_answers_is_the_loss_of_outputs(weights: torch.Tensor | None) -> None:
    """The mean over rows of what answers cost is what networks minimise, to rounding in float64."""
    joint = JointTargets.fit(TASKS, Y, weights)
    assert joint.outputs == 1 + 1 + 1 + 3 + 3 + 1
    known = joint.standardised(Y)
    Z = torch.from_numpy(RNG.normal(size=(2, N, joint.outputs)))
    of_answers = row_losses(activate(Z, joint.kind), known, joint.kind, weights).mean(-1)
    torch.testing.assert_close(of_answers, joint.loss.mean(Z, known, weights), rtol=1e-9, atol=1e-9)
    each = target_losses(activate(Z[0], joint.kind), known, joint.kind, weights)
    assert not each[known.isnan()].any()
    torch.testing.assert_close(each.sum(1).mean(), of_answers[0], rtol=1e-9, atol=1e-9)


def test_best_constants_cost_one() -> None:
    joint = JointTargets.fit(TASKS, Y, None)
    assert joint.loss.constant is not None
    best = joint.loss.constant(joint.standardised(Y), None, joint.outputs).expand(N, -1)
    rows = row_losses(activate(best, joint.kind), joint.standardised(Y), joint.kind)
    assert float(rows.mean()) == pytest.approx(1.0, abs=1e-9)


def test_an_ensemble_of_all_targets_takes_the_better_network() -> None:
    joint = JointTargets.fit(TASKS[:2], Y[:, :2], None)
    known = joint.standardised(Y[:, :2])
    good = torch.stack([known[:, 0].nan_to_num(), 4 * known[:, 1].nan_to_num() - 2], 1)
    outputs = activate(torch.stack([torch.zeros_like(good), good]), joint.kind)
    assert greedy_weights(outputs, known, joint.kind).tolist() == [0.0, 1.0]


def test_rows_that_lie_in_one_fold_are_dealt_anew() -> None:
    """As those of a target that is known in one group alone."""
    for dealt in ([3, 3, 3, 3], [0, 0, 0, 0]):
        problem: Any = SimpleNamespace(dealt=lambda number, dealt=dealt: torch.tensor(dealt))
        assert choosing_folds(problem).tolist() == [0, 1, 0, 1]
    several: Any = SimpleNamespace(dealt=lambda number: torch.tensor([4, 2, 4]))
    assert choosing_folds(several).tolist() == [4, 2, 4]


def test_targets_that_cannot_share_networks_are_said() -> None:
    few = Y[:, :2].clone()
    few[5:, 1] = NAN
    with pytest.raises(InputError, match="too few open rows have the target `b`"):
        JointTargets.fit(TASKS[:2], few, None)
    with pytest.raises(InputError, match="`a` and `z` are copies"):
        JointTargets.fit((TASKS[0], Task("regression", "z")), Y[:, [0, 0]], None)
