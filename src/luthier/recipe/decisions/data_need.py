"""Step 4: would more training rows help?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Option, Wording

CLEARLY = 0.01  # of the loss that there is now


@dataclass(frozen=True)
class LossLaw:
    """loss = floor + scale * rows ** -exponent."""

    floor: float
    scale: float
    exponent: Annotated[float, Field(ge=-10, le=10)]


@dataclass(frozen=True)
class MoreRowsEvidence(Evidence[bool]):
    """The losses of several seeds over numbers of training rows, the power law through them, and by how much `factor`
    times as many rows would lower the loss, with a 95 % interval."""

    code: ClassVar[str] = "more-rows"
    rows: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    losses: tuple[tuple[float | None, ...], ...]
    law: LossLaw
    now: float
    factor: Annotated[float, Field(gt=0, le=1e6)]
    gain: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.losses):
            raise ValueError("Input should be losses for each number of rows")

    def decide(self) -> bool:
        """Whether the whole interval lies above a hundredth of the loss."""
        return self.low > CLEARLY * self.now

    def render(self, choice: bool) -> Wording:
        """The answer, and what twice as many rows would bring."""
        known = [[x for x in values if x is not None] for values in self.losses]
        return Wording(
            tr("would more rows help?"),
            tr("yes") if choice else tr("not clearly"),
            tr(
                "a power law fitted to the losses predicts that {factor} times as many rows lower the loss by {gain} "
                "[{low}, {high}], from {now} towards a floor of {floor}",
                factor=f"{self.factor:g}",
                gain=f"{self.gain:+.4f}",
                low=f"{self.low:+.4f}",
                high=f"{self.high:+.4f}",
                now=f"{self.now:.4f}",
                floor=f"{self.law.floor:.4f}",
            ),
            tuple(
                Option(
                    tr("{count} rows", count=size),
                    {tr("loss"): sum(values) / len(values) if values else None, tr("seeds"): len(values)},
                )
                for size, values in zip(self.rows, known, strict=True)
            ),
        )
