"""Between steps 2 and 3: three quick checks that the machinery works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence, digits
from luthier.records import Wording


def _checked(topic: str, passed: bool, reason: str) -> Wording:
    return Wording(topic, tr("passed") if passed else tr("failed"), reason)


@dataclass(frozen=True)
class StartEvidence(Evidence[bool]):
    """The mean loss of fresh networks beside that of a constant prediction."""

    code: ClassVar[str] = "initial-loss"
    loss: float
    spread: float | None
    seeds: int
    expected: float
    tolerance: float

    def decide(self) -> bool:
        """Whether both lie close."""
        return abs(self.loss - self.expected) <= self.tolerance * self.expected

    def render(self, choice: bool) -> Wording:
        """Both losses."""
        values = {"loss": f"{self.loss:.3f}", "constant": f"{self.expected:.3f}"}
        reason = tr("the initial loss is {loss}; a constant prediction has {constant}", **values)
        return _checked(tr("check: initial loss"), choice, reason)


@dataclass(frozen=True)
class OverfitEvidence(Evidence[bool]):
    """The loss on one batch of rows at the start and after so many steps; None where it was not finite. `cut` where the
    check had no more time."""

    code: ClassVar[str] = "overfit-batch"
    loss: float | None
    start: float
    rows: int
    steps: int
    threshold: float
    cut: bool = False

    def decide(self) -> bool:
        """Whether the batch is overfitted, or was about to be when its time was over."""
        return self.loss is not None and self.loss <= (self.threshold if not self.cut else self.start)

    def render(self, choice: bool) -> Wording:
        """Both losses."""
        values = {"rows": self.rows, "loss": digits(self.loss), "steps": self.steps, "start": digits(self.start)}
        template = "loss {loss} on {rows} rows after {steps} steps, from {start}"
        if self.cut:
            template = "loss {loss} on {rows} rows after {steps} steps, from {start}; more had no time"
        return _checked(tr("check: overfitting one batch"), choice, tr(template, **values))


@dataclass(frozen=True)
class GradientsEvidence(Evidence[bool]):
    """The largest relative error of backpropagation against finite differences, over so many weights."""

    code: ClassVar[str] = "gradients"
    worst: float
    weights: int
    rows: int
    threshold: float

    def decide(self) -> bool:
        """Whether the error is rounding."""
        return self.worst <= self.threshold

    def render(self, choice: bool) -> Wording:
        """The error."""
        values = {"weights": self.weights, "error": f"{self.worst:.1e}"}
        reason = tr("the largest relative error over {weights} weights is {error}", **values)
        return _checked(tr("check: gradients"), choice, reason)
