"""By what settings are compared that learn by different losses: the deciding metric of their answers out of fold.

Outputs are first brought to where the answer that the metric asks for lies, by a way that was fitted on other folds;
then the metric of each row is its loss. Where all settings learn by one loss that is the yardstick; of classes it is
their negative log probability, and of a mean behind a link the kind's own loss, whatever taught it. N rows, C outputs.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from luthier.data.target_transform import TargetTransform
from luthier.objective import metric_named
from luthier.objective.metrics import RowLosses
from luthier.recipe.preparing.problem import Problem
from luthier.rows import Rows
from luthier.statistics.row_losses import Yardstick
from luthier.task import answer_for, answer_from

LARGEST_LOG = 700.0
FOLDS = 5  # of rows that are not in folds otherwise


def yardstick_of(problem: Problem) -> Yardstick:
    """The loss of a row by comparable outputs: the kind's own, or the metric that decides."""
    known = metric_named(problem.metric).loss
    if not problem.is_judged_by_answers or known is None:
        return problem.kind
    return partial(_of_answers, known, problem.target)


def _of_answers(metric: RowLosses, transform: TargetTransform, outputs: Tensor, targets: Tensor) -> Tensor:
    """The metric of each row [..., N], whose answers are outputs [..., N, 1] on the scale that networks predict."""
    known = (transform.modelled(some.double()) for some in (targets, outputs[..., 0]))
    y, answers = (some.clamp(max=LARGEST_LOG).exp() if transform.log else some for some in known)
    return metric(y, answers)


def comparable(problem: Problem, outputs: Tensor, rows: Rows, folds: Tensor | None = None) -> Tensor:
    """Outputs [N, C] of these rows, each moved to the answer that the rows of the other folds [N] call for."""
    if not problem.is_judged_by_answers:
        return outputs
    transform, result = problem.target, outputs.clone()
    numbers = np.arange(len(outputs)) % FOLDS if folds is None else folds.numpy()
    modelled = transform.modelled(rows.targets.double().numpy())
    values, weights = outputs[:, 0].numpy(), rows.weights_array
    for fold in np.unique(numbers):
        rest, own = numbers != fold, numbers == fold
        some = None if weights is None else weights[rest]
        way_back = answer_from(transform, values[rest], modelled[rest], answer_for(problem.metric), some)
        answers = way_back.answer(values[own])
        ends = np.log(np.maximum(answers, 1e-300)) if transform.log else answers
        result[torch.from_numpy(own), 0] = torch.from_numpy(np.asarray(transform.standardise(ends)))
    return result
