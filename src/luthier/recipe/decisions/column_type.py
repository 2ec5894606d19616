"""Before step 1: what a column is, from its values, or as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from luthier.data import Column, Facts, column_of
from luthier.data.typed_columns.columns import USED
from luthier.messages import spoken, tr
from luthier.recipe.decisions.decision import Evidence
from luthier.records import Wording


@dataclass(frozen=True)
class ColumnEvidence(Evidence[str]):
    """The facts of a column; where its type was `asked` for in place of inferred, `said` says by whom."""

    code: ClassVar[str] = "column"
    about: ClassVar[str] = "name"
    name: str
    facts: Facts | None = None
    asked: str = ""
    said: str = ""

    def decide(self) -> str:
        """The column's type."""
        return self.asked if self.facts is None else column_of(self.facts).kind

    def render(self, choice: str) -> Wording:
        """The type, and the option for the likeliest other one."""
        if self.facts is None:
            column = Column(self.name, self.asked, self.asked in USED, self.said)  # type: ignore[arg-type]
        else:
            column = column_of(self.facts)
        chosen = tr(choice) if choice in USED else tr("{type}, dropped", type=tr(choice))
        return Wording(tr("column `{name}`", name=self.name), chosen, spoken(column.reason), override=column.override)
