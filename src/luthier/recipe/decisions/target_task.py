"""Before step 1: what is predicted, and which of two classes is the positive one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from luthier.data.typed_columns.task import PositiveFacts, positive_of
from luthier.kinds import TargetFacts, task_of
from luthier.messages import Message, as_message, joined, spoken, tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Wording


@dataclass(frozen=True)
class TaskEvidence(Evidence[str]):
    """The facts of a target; `read` says how its cells were read, `log_scale` whether the logarithm is modelled."""

    code: ClassVar[str] = "task"
    facts: TargetFacts
    log_scale: bool = False
    read: str = ""

    def decide(self) -> str:
        """Regression, binary or multiclass."""
        return task_of(self.facts)[0]

    def render(self, choice: str) -> Wording:
        """The task and its reason."""
        reason = joined([as_message(task_of(self.facts)[1]), self.read]).spoken()
        if self.log_scale:
            reason += tr("; ") + tr("it is positive and skewed, so the model predicts its logarithm")
        return Wording(tr("task"), tr(choice), reason, override="--task")


@dataclass(frozen=True)
class PositiveEvidence(Evidence[str]):
    """The facts of two classes; `kept` is the earlier run whose positive class stays."""

    code: ClassVar[str] = "positive-class"
    facts: PositiveFacts
    kept: str = ""

    def decide(self) -> str:
        """The class that thresholds, costs and F1 are about."""
        return positive_of(self.facts)[0]

    def render(self, choice: str) -> Wording:
        """The class, and how to name the other."""
        reason = tr("as in '{run}'", run=self.kept) if self.kept else spoken(positive_of(self.facts)[1])
        other = next(name for name in self.facts.classes if name != choice)
        return Wording(
            tr("positive class"), choice, reason, override=Message("--positive {name}", name=shlex.quote(other))
        )
