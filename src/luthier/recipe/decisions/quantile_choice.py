"""Step 5: whether the quantiles of a row's value come from a network, or from one law for all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.messages import tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Wording


@dataclass(frozen=True)
class QuantileEvidence(Evidence[bool]):
    """The mean pinball loss, on the scale of the model, of one law for all rows and of a network's quantiles; None
    where no network was trained."""

    code: ClassVar[str] = "quantiles"
    levels: tuple[float, ...]
    one: float
    by_row: float | None
    out_of_fold: bool

    def decide(self) -> bool:
        """Whether each row has quantiles of its own: the lower loss.

        >>> QuantileEvidence((0.1, 0.9), one=0.3, by_row=0.2, out_of_fold=True).decide()
        True
        """
        return self.by_row is not None and self.by_row < self.one

    def render(self, choice: bool) -> Wording:
        """The choice, and both losses."""
        where = tr("the out-of-fold predictions") if self.out_of_fold else tr("the validation rows")
        if self.by_row is None:
            reason = tr("there are too few rows, or too many columns, for a network of residuals")
        else:
            template = (
                "the mean pinball loss is {by_row} with quantiles of each row and {one} with one law for all, on "
                "{rows}; lower is better"
            )
            reason = tr(template, by_row=f"{self.by_row:.4g}", one=f"{self.one:.4g}", rows=where)
        topic = tr("quantiles {levels}", levels=", ".join(f"{level:g}" for level in self.levels))
        return Wording(topic, tr("by row") if choice else tr("one law for all rows"), reason, override="--quantiles")
