"""Step 6 of the report: the last check against new rows, and how all checks went."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from luthier.messages import tr
from luthier.report.contents import Contents
from luthier.report.figures import draw_checks, draw_drift
from luthier.report.html import paragraph, plot, table

MOST_CHECKS = 30  # in the table; the figure shows all


def real_world(run: Contents) -> Iterator[str]:
    """The section of step 6: the last check, and all of them where there are several."""
    if not run.drift:
        return
    drift = run.drift
    yield f"<section><h2>{tr('Step 6: the real world')}</h2>"
    said = tr("{rows} rows of {source}: {verdict}", rows=drift.rows, source=drift.source, verdict=drift.verdict)
    yield paragraph(said + tr("."))
    if apart := drift.told_apart:
        template = (
            "A tree classifier separates new from training rows with an AUC of {auc:.3f} [{low:.3f}, {high:.3f}]; "
            "0.5 means not at all."
        )
        yield paragraph(tr(template, auc=apart.auc, low=apart.low, high=apart.high))
    if found := drift.finding:
        yield f"<p class=warning>{escape(found.sentence)}. <em>{tr('Try:')}</em> {escape(found.remedy)}.</p>"
    if score := drift.score:
        yield paragraph(tr("{metric} on these rows: {score}.", metric=tr(score.name), score=score.figures))
    yield from plot("drift", draw_drift(drift.columns), tr("Distance of each column from the training rows"))
    yield from _checks(run)
    yield "</section>"


def _checks(run: Contents) -> Iterator[str]:
    """All checks of this run: a figure of their scores, and a table of the newest."""
    if len(run.checks) < 2:
        return
    test = run.scores.headline if run.scores else None
    yield f"<h3>{tr('All checks')}</h3>"
    if test is not None and any(one.score for one in run.checks):
        figure = draw_checks(run.checks, test.name, test)
        yield from plot("checks", figure, tr("Score of each check with its interval; grey: the test score"))
    rows = [
        (one.at[:16].replace("T", " "), one.source, f"{one.rows:,}", one.until, one.level, _drifted(one.drifted))
        for one in run.checks[: -MOST_CHECKS - 1 : -1]
    ]
    heads = (tr("checked"), tr("rows of"), tr("rows"), tr("newest row"), tr("verdict"), tr("columns that have drifted"))
    yield from table(heads, rows)


def _drifted(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" (+{len(names) - 6})" if len(names) > 6 else "")
