"""How each label does by itself, in the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthier.messages import tr
from luthier.report.html import table

SHOWN = 50


def label_table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
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
                str(row["label"]),
                f"{row['rows']:,}",
                f"{row['threshold']:.3g}",
                *("" if row[name] is None else f"{row[name]:.3f}" for name in ("precision", "recall", "f1")),
            )
            for row in rows[:SHOWN]
        ],
    )


def named_labels(labels: Sequence[Mapping[str, Any]], places: Sequence[int]) -> str:
    """The labels of a row by name, as text."""
    names = {row["place"]: str(row["label"]) for row in labels}
    return "; ".join(names[place] for place in places) or tr("none")
