"""Step 3: the learning rate of a rule, by the range test and short runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from luthier.messages import joined_by_and, tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording

RULE_WORDS = {"sgd": "SGD with momentum", "adam": "Adam"}


@dataclass(frozen=True)
class ShortRun:
    """A short run at a multiple of the picked rate: its median loss, None where it diverged."""

    factor: float
    rate: float
    loss: float | None


@dataclass(frozen=True)
class RateEvidence(Evidence[float]):
    """The rate that the range test picks, what other readings of it suggest, and short runs around the pick."""

    code: ClassVar[str] = "learning-rate"
    about: ClassVar[str] = "rule"
    rule: str
    pick: float
    seeds: int
    confirmed: tuple[ShortRun, ...]
    suggested: Mapping[str, float] = field(default_factory=dict)

    def decide(self) -> float:
        """The rate of the short run with the lowest loss; the smallest where all diverged.

        >>> runs = ShortRun(0.5, 0.05, 0.4), ShortRun(1, 0.1, 0.3), ShortRun(2, 0.2, None)
        >>> RateEvidence("sgd", 0.1, 5, runs).decide()
        0.1
        """
        return self._best.rate

    @property
    def _best(self) -> ShortRun:
        known = [run for run in self.confirmed if run.loss is not None]
        return min(known, key=lambda run: run.loss or 0.0) if known else self.confirmed[0]

    def render(self, choice: float) -> Wording:
        """The rate, and how it was found."""
        template = "a tenth of the rate at the lowest loss of the range test is {pick} (median of {seeds} seeds)"
        reason = tr(template, pick=f"{self.pick:.3g}", seeds=self.seeds)
        factors = [f"{run.factor:g}" for run in self.confirmed]
        tried = joined_by_and(factors).spoken()
        if len(factors) > 3:
            tried = tr("{first} to {last}", first=factors[0], last=factors[-1])
        template = "in short runs at {factors} times that rate, the loss is lowest at {factor} times"
        if self._best.loss is None:
            template = "short runs diverged at {factors} times that rate, so the smallest is used"
        reason += tr("; ") + tr(template, factors=tried, factor=f"{self._best.factor:g}")
        return Wording(
            tr("learning rate for {rule}", rule=tr(RULE_WORDS.get(self.rule, self.rule))),
            f"{choice:.3g}",
            reason,
            tuple(Option(tr(name), {tr("rate"): rate}) for name, rate in self.suggested.items()),
        )
