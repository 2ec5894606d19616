"""Several targets that share their networks: what is learnt of each, and the one loss of all.

N rows, T targets, C outputs; NaN marks a target that a row lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from luthier.data import Task
from luthier.data.target_transform import TargetTransform
from luthier.errors import InputError
from luthier.kinds import JointKind
from luthier.messages import Message
from luthier.objective import USUAL_LOSSES, Loss, TargetHead, best_constant, constant_loss, several

FEWEST = 20  # open rows that have a target


@dataclass(frozen=True)
class JointTargets:
    """The targets of a network with a head for each, fitted on the open rows.

    The `loss` is the mean over targets of each one's deviance relative to its best constant's; `kind` says the same of
    the answers that networks are averaged by.
    """

    tasks: tuple[Task, ...]
    transforms: tuple[TargetTransform, ...]
    loss: Loss
    kind: JointKind

    @classmethod
    def fit(cls, tasks: Sequence[Task], targets: Tensor, weights: Tensor | None) -> JointTargets:
        """Of targets [N, T] on the modelled scale. InputError for one that almost no row has, or that is a copy."""
        transforms = []
        for t, task in enumerate(tasks):
            known = ~targets[:, t].isnan()
            if int(known.sum()) < FEWEST:
                raise InputError(
                    Message("too few open rows have the target `{target}`", target=task.target),
                    expected=Message("at least {count}", count=FEWEST),
                    received=str(int(known.sum())),
                    remedy=Message("leave it out, or fit each target by itself with --separate"),
                )
            own, seen = None if weights is None else weights[known], TargetTransform()
            if not task.is_classes:
                seen = TargetTransform.fit(targets[known, t], own, log=task.log_scale, kind=task.traits)
            transforms.append(seen)
        _require_different(tasks, targets)
        known_targets = _standardised(targets, transforms, tasks)
        losses = [USUAL_LOSSES[task.kind] for task in tasks]
        heads = [TargetHead(loss, task.outputs) for loss, task in zip(losses, tasks, strict=True)]
        factors = [_factor(head, known_targets[:, t], weights) / len(tasks) for t, head in enumerate(heads)]
        kind = JointKind(tuple(task.kind for task in tasks), tuple(task.outputs for task in tasks), tuple(factors))
        return cls(tuple(tasks), tuple(transforms), several(heads, known_targets, weights), kind)

    @property
    def outputs(self) -> int:
        """C: outputs of all heads."""
        return sum(self.kind.widths)

    def standardised(self, targets: Tensor) -> Tensor:
        """Targets [N, T] on the modelled scale as networks learn them: class numbers, or standardised values."""
        return _standardised(targets, self.transforms, self.tasks)


def _standardised(targets: Tensor, transforms: Sequence[TargetTransform], tasks: Sequence[Task]) -> Tensor:
    columns = [
        column if task.is_classes else transform.standardise(column)
        for column, task, transform in zip(targets.double().unbind(1), tasks, transforms, strict=True)
    ]
    return torch.stack(columns, 1)


def _factor(head: TargetHead, column: Tensor, weights: Tensor | None) -> float:
    """1 / the best constant's deviance, times all rows (or weights) over those that have the target."""
    known = ~column.isnan()
    y, its = column[known], None if weights is None else weights[known]
    constant = best_constant(head.loss, y, its, head.outputs)
    share = float(known.double().mean()) if weights is None or its is None else float(its.sum() / weights.sum())
    return 1 / (constant_loss(head.loss, constant, y, its, above_floor=True) * share)


def _require_different(tasks: Sequence[Task], targets: Tensor) -> None:
    """InputError for two targets that say the same of every row that has both."""
    for t in range(len(tasks)):
        for other in range(t):
            both = ~(targets[:, t].isnan() | targets[:, other].isnan())
            if int(both.sum()) >= FEWEST and bool((targets[both, t] == targets[both, other]).all()):
                raise InputError(
                    Message("`{one}` and `{other}` are copies", one=tasks[other].target, other=tasks[t].target),
                    expected=Message("targets that differ in some row that has both"),
                    received=Message("the same in all {count} rows that have both", count=int(both.sum())),
                    remedy=Message("leave one of them out"),
                )
