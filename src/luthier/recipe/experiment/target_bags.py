"""One target's part of what several targets' networks came to: its head of each network, on the rows that have it.

N rows that judge, n of them with the target; K folds, F rows of the largest fold, C outputs of the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from luthier.engine import Member
from luthier.nets import one_head, state_of_head
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.runner import TrainedPopulation
from luthier.saved import activate
from luthier.statistics.row_losses import row_losses


@dataclass(frozen=True)
class TargetPart:
    """Where a target lies: its outputs' `place`, and which of the rows that judge [n] its own `problem` has."""

    problem: Problem
    place: slice
    rows: Tensor

    def setting(self, setting: Setting) -> Setting:
        """The setting with a network of this head alone."""
        return replace(setting, member=self._member(setting.member), only=None)

    def bags(self, bags: Sequence[Bag]) -> list[Bag]:
        """The bags whose networks were kept, as the target's own."""
        kept = [bag for bag in bags if bag.is_kept]
        populations = {id(bag.population): self._population(bag.population, bag.folds) for bag in kept}
        return [self._bag(bag, populations[id(bag.population)]) for bag in kept]

    def _member(self, member: Member) -> Member:
        return replace(member, spec=one_head(member.dense, self.place))

    def _bag(self, bag: Bag, population: TrainedPopulation) -> Bag:
        own = replace(bag, setting=self.setting(bag.setting), population=population, folds=bag.folds[self.rows])
        learnt = float(np.mean(own.own_rows(self.problem)))
        return replace(own, loss=float(np.mean(own.row_losses(self.problem))), own_loss=learnt)

    def _population(self, trained: TrainedPopulation, folds: Tensor) -> TrainedPopulation:
        """The same networks, with their outputs for the rows that have the target."""
        known = trained.known or tuple(range(len(trained.members)))
        largest = max(1, int(folds[self.rows].bincount().max()))
        logits = trained.logits.new_full((len(known), largest, self.place.stop - self.place.start), torch.nan)
        losses = np.full(len(trained.members), np.nan)
        has_target = torch.zeros(len(folds), dtype=torch.bool)
        has_target[self.rows] = True
        for row, member in enumerate(known):
            fold = trained.members[member].fold or 0
            inside = has_target[folds == fold]
            some = trained.logits[row, : len(inside), self.place][inside]
            logits[row, : len(some)] = some
            losses[member] = self._loss(some, trained, folds[self.rows] == fold)
        return replace(
            trained,
            members=tuple(map(self._member, trained.members)),
            logits=logits,
            known=known,
            validation_loss=losses,
            weights={
                member: state_of_head(trained.members[member].dense, state, self.place)
                for member, state in trained.weights.items()
            },
        )

    def _loss(self, outputs: Tensor, trained: TrainedPopulation, own: Tensor) -> float:
        """The mean loss of a network's outputs [n, C] for the rows of its fold."""
        whole, kind = self.problem.judged(trained.method), self.problem.task.kind
        weights = None if whole.weights is None else whole.weights[own]
        rows = row_losses(activate(outputs.unsqueeze(0), kind), whole.targets[own], kind, weights)
        return float(rows.mean())
