"""Step 5: whether a regression's intervals have one width, or each row its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Wording


@dataclass(frozen=True)
class IntervalEvidence(Evidence[bool]):
    """The interval score, on the scale of the model, of one width for all rows and of widths that a network gives."""

    code: ClassVar[str] = "interval-width"
    one: float
    by_row: float
    rows: int
    out_of_fold: bool

    def decide(self) -> bool:
        """Whether each row has its own width: the lower score, of intervals that hold as many rows.

        >>> IntervalEvidence(one=3.0, by_row=2.5, rows=1000, out_of_fold=True).decide()
        True
        """
        return self.by_row < self.one

    def render(self, choice: bool) -> Wording:
        """The choice, and both scores."""
        where = tr("the out-of-fold predictions") if self.out_of_fold else tr("the validation rows")
        template = (
            "the interval score, width and misses together, is {by_row} with a width for each row and {one} with one "
            "for all, on {rows}; lower is better"
        )
        reason = tr(template, by_row=f"{self.by_row:.4g}", one=f"{self.one:.4g}", rows=where)
        return Wording(tr("interval width"), tr("by row") if choice else tr("one for all rows"), reason)
