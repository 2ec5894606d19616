"""Below the headline: which columns matter, for whom it is worse, whether sets hold, the worst rows."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.assess import Scores
from luthier.messages import tr
from luthier.records import figure, signed
from luthier.report import figures
from luthier.report.html import paragraph, plot, table
from luthier.report.picture_figures import worst_pictures

SHOWN = 20


def error_analysis(scores: Scores) -> Iterator[str]:
    """The sections that a judged run has; older runs have none of them."""
    yield from _forgotten(scores)
    yield from _sets(scores)
    yield from _importance(scores)
    yield from _dependence(scores)
    yield from _subgroups(scores)
    yield from _worst(scores)


def _forgotten(scores: Scores) -> Iterator[str]:
    if change := scores.forgotten:
        told = tr("The model has not forgotten the earlier rows beyond the noise")
        if change.high is not None and change.high < 0:
            told = tr("The model has partly forgotten the earlier rows")
        template = "on the {rows} validation rows of the earlier run, {metric} changed by {size} (more is better)"
        where = tr(template, rows=change.n, metric=scores.metric, size=signed(change))
        yield paragraph(tr("{said}: {more}.", said=told, more=where))


def _sets(scores: Scores) -> Iterator[str]:
    if cost := scores.cost:
        called = tr(" (as '{name}')", name=cost.positive) if cost.positive else ""
        said = tr(
            "From a probability of {threshold:.3g} on a row counts as positive{called}: a test row then costs "
            "{cost:.4g}, at one half {half:.4g} ({positives} false positives, {negatives} false negatives).",
            **vars(cost),
            called=called,
            half=cost.at_one_half,
            positives=cost.false_positives,
            negatives=cost.false_negatives,
        )
        yield paragraph(said)
    if result := scores.sets:
        said = tr(
            "Conformal prediction sets ({nominal:.0%}) contain the true class in {coverage:.1%} of the test rows; they "
            "have {size:.2f} classes on average, and {sure:.0%} of them have one.",
            **vars(result),
            size=result.mean_size,
        )
        yield paragraph(said)
    if unlike := scores.unlike:
        template = "{share:.1%} of the test rows ({rows}) are unlike the training rows."
        yield paragraph(tr(template, share=unlike.share, rows=unlike.rows))


def _importance(scores: Scores) -> Iterator[str]:
    rows = scores.importance
    if rows:
        yield f"<h3>{tr('Permutation importance')}</h3>"
        said = tr(
            "How much worse the {metric} is on the validation rows when the column is shuffled, with the spread over "
            "two to five shuffles. Correlated columns share their importance.",
            metric=tr(scores.metric),
        )
        yield paragraph(said, "small")
        drawn = figures.draw_importance(rows[:SHOWN])
        yield from plot("importance", drawn, tr("Permutation importance of each column"))


def _dependence(scores: Scores) -> Iterator[str]:
    rows = scores.dependence
    if rows:
        yield f"<h3>{tr('Partial dependence')}</h3>"
        said = tr(
            "Mean prediction over the validation rows when every row has that value, for the most important columns; "
            "of many classes those that change most. Shaded: the 10th to 90th percentile of the rows' predictions "
            "(regression). With correlated columns some of these rows are unrealistic."
        )
        yield f"<p class=small>{said}</p><div class=grid>"
        for place, row in enumerate(rows):
            drawn = figures.draw_dependence(row, shares=bool(scores.confusion or scores.labels))
            said = tr("Prediction by the values of {column}", column=row.column)
            yield from plot(f"dependence-{place}", drawn, said)
        yield "</div>"


def _subgroups(scores: Scores) -> Iterator[str]:
    rows = scores.subgroups
    if not rows:
        return
    worse = [row for row in rows if row.worse]
    yield f"<h3>{tr('Is it worse for some rows?')}</h3>"
    message = ", ".join(f"{row.column} = {row.value}" for row in worse)
    told = tr("Clearly worse for {groups}.", groups=message) if worse else tr("No group is worse beyond the noise.")
    yield paragraph(told)
    yield f"<details><summary>{tr('all groups')}</summary>"
    yield from table(
        (tr("column"), tr("value"), tr("test rows"), tr(scores.metric), tr("p-value"), ""),
        [(r.column, r.value, str(r.rows), figure(r.score), figure(r.chance), tr("worse") * r.worse) for r in rows],
    )
    yield "</details>"


def _worst(scores: Scores) -> Iterator[str]:
    rows = scores.worst
    if not rows:
        return
    labels = None if scores.confusion is None else scores.confusion.labels
    yield f"<h3>{tr('The worst test rows')}</h3><p class=small>{tr('Rows are numbered from 0, as in the table.')}</p>"
    yield from worst_pictures(scores)
    title = "true class" if labels else "true labels" if scores.labels else "true value"
    names = [tr("row"), tr(title), tr("predicted")]
    cells: list[list[str]] = []
    for r in rows:
        if scores.labels:
            given = ("; ".join(one) or tr("none") for one in (r.true_labels, r.predicted_labels))
            cells.append([str(r.row), *given])
        elif labels:
            classes = labels[int(r.true)], labels[int(r.predicted)]
            cells.append([str(r.row), *classes, f"{r.probability:.0%}"])
        else:
            cells.append([str(r.row), f"{r.true:.5g}", f"{r.predicted:.5g}"])
    names += [tr("with probability")] if labels else []
    if attributed := scores.why:
        names.append(tr("largest attributions"))
        for cell, why in zip(cells, attributed, strict=True):
            cell.append(", ".join(f"{name} {share:+.3g}" for name, share in why))
    yield from table(tuple(names), [tuple(cell) for cell in cells])
    if attributed:
        yield paragraph(tr("Attributions in value or log-odds, relative to a typical row."), "small")
