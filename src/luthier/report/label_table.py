"""How each label does by itself, in the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from luthier.assess import LabelScore
from luthier.messages import tr
from luthier.report.html import table

SHOWN = 50


def label_table(rows: Sequence[LabelScore]) -> Iterator[str]:
    """A heading and a table of labels, the most frequent first; nothing where the target has none."""
    if not rows:
        return
    yield f"<h3>{tr('Labels')}</h3>"
    if len(rows) > SHOWN:
        said = tr("{count} of {labels} labels are shown: the most frequent.", count=SHOWN, labels=len(rows))
        yield f"<p class=small>{said}</p>"
    names = tr("label"), tr("test rows"), tr("threshold"), tr("precision"), tr("recall"), tr("f1")
    yield from table(
        names,
        [
            (
                row.label,
                f"{row.rows:,}",
                f"{row.threshold:.3g}",
                *("" if one is None else f"{one:.3f}" for one in (row.precision, row.recall, row.f1)),
            )
            for row in rows[:SHOWN]
        ],
    )
