"""Several targets, one network: trained once under the loss of all, then judged and delivered target by target.

Steps 1 to 4 are walked for all targets together, in a run of their own. Each target then has a run for its rows that
takes the networks with its own head: weights of an ensemble, temperature, answer, threshold, intervals, baselines, the
sealed rows that have it, and the report.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from luthier.data.split import PARTS, Splits
from luthier.errors import InputError
from luthier.messages import Message
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.experiment import SHARING
from luthier.recipe.decisions.question_answers import AnswerEvidence
from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.experiment.target_bags import TargetPart
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.rows.reading import LoadedData
from luthier.recipe.rows.stored_splits import read_splits, write_splits
from luthier.recipe.running.runner import Runner
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Said
from luthier.saved import RunFolder


@dataclass(frozen=True)
class SharedNetworks:
    """What steps 1 to 4 came to for several targets: the adopted setting, the bags that may be delivered, and what is
    known of sharing them, target by target."""

    runner: Runner
    read: LoadedData
    setting: Setting
    bags: Sequence[Bag]
    answers: Sequence[AnswerEvidence] = ()

    def prepare(self, own: LoadedData, folder: RunFolder) -> LoadedData:
        """One target's rows, in the parts that they are in for all targets, and encoded alike."""
        assert self.read.places is not None
        splits = read_splits(self.runner.folder.splits, len(self.read.places))
        assert splits is not None
        if not folder.splits.exists():
            folder.path.mkdir(parents=True, exist_ok=True)
            write_splits(folder.splits, splits_among(splits, self.read, own), own.frame.height)
        encoder, kinds = self.runner.problem.data.encoder, {column.name: column for column in self.read.columns}
        columns = tuple(kinds.get(column.name, column) if column.used else column for column in own.columns)
        return replace(own, encoder=encoder, columns=columns)

    def handed_to(self, runner: Runner, so_far: SoFar) -> Said[tuple[Runner, SoFar]]:
        """The runner of one target's run, and what step 5 takes: the setting and the bags with its head.

        It says whether sharing serves the target, where that was asked; bags that learnt it alone are among the others.
        """
        for answer in self.answers:
            if answer.question == f"{SHARING}{runner.problem.task.target}":
                yield from decided(4, answer)
        part = self._part(runner.problem)
        runner = replace(runner, problem=part.problem, device=self.runner.device, planned=self.runner.plan)
        number = self._number(runner.problem)
        alike = [bag for bag in self.bags if bag.setting.method == self.setting.method]
        bags = part.bags([bag for bag in alike if bag.setting.only in (None, number)])
        for population in {bag.population.name: bag.population for bag in bags}.values():
            runner.keep(population)
            self._copy_curves(runner.folder, population.name)
        return runner, replace(so_far, setting=part.setting(self.setting), bags=bags)

    def _copy_curves(self, folder: RunFolder, name: str) -> None:
        """The curves of networks that may be delivered: of the loss of all targets."""
        folder.history.mkdir(exist_ok=True)
        curves = self.runner.folder.history / f"{name}.parquet"
        if curves.exists():
            shutil.copyfile(curves, folder.history / curves.name)

    def _number(self, own: Problem) -> int:
        assert self.runner.problem.joint is not None
        return [task.target for task in self.runner.problem.joint.tasks].index(own.task.target)

    def _part(self, own: Problem) -> TargetPart:
        """Where the target of a problem lies: rows are in the table's order in both, part by part."""
        shared, method = self.runner.problem, self.setting.method
        assert shared.joint is not None
        number = self._number(own)
        problem = Problem(own.data, shared.joint.transforms[number], own.asked, {method: shared.prepared(method)[0]})
        problem = problem.cross_fitted() if shared.crossed else problem
        rows = torch.nonzero(~shared.judged(method).targets[:, number].isnan()).flatten()
        if len(rows) != sum(map(len, problem.judging.values())):
            template = "the rows with `{target}` are not those that its network was trained with"
            raise InputError(
                Message(template, target=problem.task.target),
                remedy=Message("start a new run with luthier fit"),
            )
        if shared.crossed:
            problem = problem.with_folds(shared.dealt(0)[rows])
        return TargetPart(problem, shared.joint.kind.places[number], rows)


def splits_among(splits: Splits, read: LoadedData, own: LoadedData) -> Splits:
    """The parts of all targets' rows as those of the rows that have one of them."""
    assert read.places is not None
    assert own.places is not None
    rows = np.searchsorted(read.places, own.places)
    parts = np.full(len(read.places), "", dtype=object)
    for name in PARTS:
        parts[getattr(splits, name)] = name
    training, validation, test = (np.flatnonzero(parts[rows] == name) for name in PARTS)
    return Splits(training, validation, test, splits.notes)
