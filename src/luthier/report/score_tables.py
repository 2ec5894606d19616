"""What a judged run has a table of: how each label does by itself, and each quantile of the test values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from luthier.assess import LabelScore, QuantileScore
from luthier.messages import tr
from luthier.report.html import paragraph, table

SHOWN = 50


def label_table(rows: Sequence[LabelScore]) -> Iterator[str]:
    """A heading and a table of labels, the most frequent first; nothing where the target has none."""
    if not rows:
        return
    yield f"<h3>{tr('Labels')}</h3>"
    if len(rows) > SHOWN:
        template = "{count} of {labels} labels are shown: the most frequent."
        yield paragraph(tr(template, count=SHOWN, labels=len(rows)), "small")
    names = tr("label"), tr("test rows"), tr("threshold"), tr("precision"), tr("recall"), tr("f1")
    cells = [
        (row.label, f"{row.rows:,}", f"{row.threshold:.3g}", *map(_share, (row.precision, row.recall, row.f1)))
        for row in rows[:SHOWN]
    ]
    yield from table(names, cells)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def quantile_table(rows: Sequence[QuantileScore]) -> Iterator[str]:
    """A heading and a table of how many values lie below each quantile, and of its loss beside that of boosted trees;
    nothing where no quantiles were asked for."""
    if rows:
        yield f"<h3>{tr('Quantiles of the test values')}</h3>"
        names = tr("quantile"), tr("values below"), tr("pinball loss"), tr("gradient-boosted trees")
        cells = [
            (f"{row.level:g}", f"{row.below:.1%}", f"{row.loss:.4g}", "" if row.trees is None else f"{row.trees:.4g}")
            for row in rows
        ]
        yield from table(names, cells)
