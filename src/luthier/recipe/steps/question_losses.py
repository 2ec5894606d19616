"""What the settings of questions cost, by partition, and what that says; of several targets together and of each.

S partitions, N rows that judge, T targets that share their networks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.recipe.experiment.fold_bags import Bag
from luthier.recipe.experiment.questions import Question
from luthier.recipe.preparing.problem import Problem
from luthier.statistics.confirming import Answer, Asked, answers, still_open

ADOPTED = "adopted"


@dataclass(frozen=True, eq=False)
class QuestionLosses:
    """The losses of the adopted setting and of each question's other one; `units` [N] are what new data would bring.

    A setting that learns one target alone is judged by that target's loss, beside the adopted setting's.
    """

    problem: Problem
    asked: Sequence[Question]
    units: np.ndarray
    rows: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))  # [N] of each partition
    means: dict[str, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))  # of each target's loss [T]
    of_targets: list[np.ndarray] = field(default_factory=list)  # the adopted setting's [N, T]

    def take(self, bag: Bag) -> None:
        """Count a bag that was trained on the next partition."""
        label, only, joint = bag.setting.label, bag.setting.only, self.problem.joint
        if joint is None:
            self.rows[label].append(bag.row_losses(self.problem) if np.isfinite(bag.loss) else self._unknown(()))
            return
        each = bag.target_rows(self.problem) if np.isfinite(bag.loss) else self._unknown((len(joint.tasks),))
        self.rows[label].append(each.sum(1) if only is None else each[:, only])
        if only is None:
            self.means[label].append(each.mean(0))
        if label == ADOPTED:
            self.of_targets.append(each)

    def answers(self) -> dict[str, Answer]:
        """What is known of each question that was asked."""
        found = (answers(beside, asked, self.units, luck=luck) for beside, asked, luck in self._groups())
        return {name: one for known in found for name, one in known.items()}

    def still_open(self) -> list[str]:
        """The questions that more partitions may answer."""
        found = (still_open(beside, asked, self.units, luck=luck) for beside, asked, luck in self._groups())
        return [name for known in found for name in known]

    def partitions(self, name: str) -> int:
        """On how many a question was asked."""
        return len(self.rows[name])

    def _unknown(self, each: tuple[int, ...]) -> np.ndarray:
        return np.full((len(self.units), *each), np.nan)

    def _groups(self) -> Iterator[tuple[np.ndarray, dict[str, Asked], Sequence[np.ndarray]]]:
        """References [S, N], each with its questions, by what they are judged by: the loss of all, then those of a
        target alone, with other differences [S] of the same loss, which are luck."""
        known = [one for one in self.asked if self.rows[one.name]]
        whole = {one.name: Asked(np.array(self.rows[one.name]), one.used) for one in known if one.other.only is None}
        yield np.array(self.rows[ADOPTED]), whole, ()
        for one in known:
            if one.other.only is not None:
                own = {one.name: Asked(np.array(self.rows[one.name]), one.used)}
                yield np.stack(self.of_targets)[..., one.other.only], own, self._luck(one.other.only)

    def _luck(self, target: int) -> list[np.ndarray]:
        """By how much each other question changed a target's loss, by partition: what the luck of trainings does."""
        reference = np.array(self.means[ADOPTED])[:, target]
        others = (np.array(means)[:, target] for label, means in self.means.items() if label != ADOPTED)
        return [means - reference[: len(means)] for means in others]
