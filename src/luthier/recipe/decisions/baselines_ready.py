"""Step 1: the bar to clear, simple models on the validation rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording, figure


@dataclass(frozen=True)
class BaselineScore:
    """A baseline's score on the validation rows, with its 95 % interval; None where it is not defined."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BaselinesEvidence(Evidence[tuple[str, ...]]):
    """The scores that were ready in time, which were not, and which do not count weights; `few` says that slow ones
    learnt from a part of the pictures."""

    code: ClassVar[str] = "baselines"
    metric: str
    scores: tuple[BaselineScore, ...]
    missing: tuple[str, ...] = ()
    unweighed: tuple[str, ...] = ()
    few: bool = False

    def decide(self) -> tuple[str, ...]:
        """All that were ready."""
        return tuple(one.name for one in self.scores)

    def render(self, choice: tuple[str, ...]) -> Wording:
        """Their scores."""
        reasons = [tr("a network should beat them; {metric} on the validation rows", metric=tr(self.metric))]
        if self.few:
            reasons.append(tr("slow ones learnt from 3,000 to 20,000 of the pictures"))
        if self.missing:
            reasons.append(tr("{names} not ready in time", names=tr(", ").join(map(tr, self.missing))))
        reasons += [tr("the weights do not count for {name}", name=name) for name in self.unweighed]
        return Wording(
            tr("baselines"),
            tr(", ").join(f"{tr(one.name)} {figure(one.value)}" for one in self.scores if one.name in choice)
            or tr("none"),
            tr("; ").join(reasons),
            tuple(
                Option(tr(one.name), {tr(self.metric): one.value, tr("low"): one.low, tr("high"): one.high}, True)
                for one in self.scores
            ),
        )
