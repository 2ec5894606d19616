"""The gates of steps 3 and 4: is the training set fitted, is the gap to the validation set closed?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence, digits
from luthier.records import Wording


def yes_or_no(choice: bool) -> str:
    """The answer to a question."""
    return tr("yes") if choice else tr("no")


@dataclass(frozen=True)
class FittedEvidence(Evidence[bool]):
    """The lowest training loss and the lowest validation loss of all networks of step 3."""

    code: ClassVar[str] = "training-fitted"
    training: float | None
    validation: float | None

    def decide(self) -> bool:
        """Whether some network beats, on rows it has seen, the best loss on new ones."""
        return self.training is not None and self.validation is not None and self.training <= self.validation

    def render(self, choice: bool) -> Wording:
        """The answer, and both losses."""
        values = {"training": digits(self.training), "validation": digits(self.validation)}
        reason = tr("the lowest training loss is {training}, the lowest validation loss {validation}", **values)
        return Wording(tr("gate: is the training set fitted?"), yes_or_no(choice), reason)


@dataclass(frozen=True)
class GapEvidence(Evidence[bool]):
    """Training and validation loss, the standard error of the latter over rows, and how many of them are allowed."""

    code: ClassVar[str] = "gap-closed"
    training: float | None
    validation: float
    noise: float | None
    allowed: float

    @property
    def gap(self) -> float | None:
        """Validation minus training loss; None where the latter is not finite."""
        return None if self.training is None else self.validation - self.training

    def decide(self) -> bool:
        """Whether both losses differ by noise alone.

        >>> GapEvidence(0.2, 0.3, 0.01, 2.0).decide(), GapEvidence(0.29, 0.3, 0.01, 2.0).decide()
        (False, True)
        """
        return self.gap is not None and self.noise is not None and self.gap <= self.allowed * self.noise

    def render(self, choice: bool) -> Wording:
        """The answer, and the gap."""
        values = {"gap": digits(self.gap), "noise": digits(self.noise)}
        reason = tr("validation minus training loss is {gap}, with a standard error of {noise} over rows", **values)
        return Wording(tr("gate: is the gap to the validation set closed?"), yes_or_no(choice), reason)
