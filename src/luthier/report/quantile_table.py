"""The quantiles of test values in the report: how many lie below, and the loss beside that of boosted trees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from luthier.assess import QuantileScore
from luthier.messages import tr
from luthier.report.html import table


def quantile_table(rows: Sequence[QuantileScore]) -> Iterator[str]:
    """A heading and a table; nothing where no quantiles were asked for."""
    if rows:
        yield f"<h3>{tr('Quantiles of the test values')}</h3>"
        names = tr("quantile"), tr("values below"), tr("pinball loss"), tr("gradient-boosted trees")
        yield from table(
            names,
            [
                (
                    f"{row.level:g}",
                    f"{row.below:.1%}",
                    f"{row.loss:.4g}",
                    "" if row.trees is None else f"{row.trees:.4g}",
                )
                for row in rows
            ],
        )
