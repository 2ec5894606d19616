"""Four questions about a judged run, each answered from its numbers."""

from __future__ import annotations

from typing import Any

from luthier.assess import Scores
from luthier.messages import Message, joined, tr
from luthier.records import figure
from luthier.report.contents import Contents


def answers(run: Contents, scores: Scores) -> list[tuple[str, str]]:
    """Question and answer, in the order in which a reader asks them."""
    return [
        (tr("Is it good?"), _good(scores)),
        (tr("Is it better than a simple method?"), _better(scores)),
        (tr("Can I trust the number?"), _trusted(run, scores)),
        (tr("What next?"), scores.next_step[0].upper() + scores.next_step[1:] + tr(".")),
    ]


def _good(scores: Scores) -> str:
    trivial = next((row for row in scores.baselines if row.name in ("mean", "majority class")), None)
    head = scores.headline
    metric = head.title.spoken()
    known: Any = {"metric": metric, "value": head.figures, "rows": head.n}
    if scores.estimate:
        message = tr("{metric} {value} on {rows} open rows, out of fold", **known)
    else:
        message = tr("{metric} {value} on {rows} unseen test rows", **known)
    if scores.absent:
        message = tr("{said}, none of which is {classes}", said=message, classes=", ".join(map(repr, scores.absent)))
    if trivial is None:
        return message + tr(".")
    value = figure(trivial.test.value)
    words = {
        "better": tr("clearly better than the trivial baseline ({value})", value=value),
        "worse": tr("worse than the trivial baseline ({value})", value=value),
        "within noise": tr("no better than the trivial baseline ({value})", value=value),
        "unknown": tr("not comparable with the trivial baseline ({value})", value=value),
    }
    return tr("{said}: {more}.", said=message, more=words[trivial.verdict])


def _listed(names: list[str]) -> str:
    return joined([Message(name) for name in names], "{first}, {rest}").spoken()


def _better(scores: Scores) -> str:
    rows = [row for row in scores.baselines if row.name not in ("mean", "majority class")]
    if not rows:
        return tr("No baseline finished in time for a comparison.")
    worse = [row.name for row in rows if row.verdict == "worse"]
    same = [row.name for row in rows if row.verdict == "within noise"]
    if worse:
        return tr("No: {names} did better on the same rows; use it instead.", names=_listed(worse))
    if all(row.verdict == "unknown" for row in rows):
        return tr("These rows cannot say: {why}.", why=rows[0].difference.note)
    if same:
        return tr("Not beyond the noise: {names} did as well on these rows.", names=_listed(same))
    return tr("Yes: better than {names}, beyond the noise.", names=_listed([row.name for row in rows]))


def _trusted(run: Contents, scores: Scores) -> str:
    gap = scores.difference_to_validation
    history = scores.history
    if scores.estimate or history.sentence:
        return tr("Less than usual: {history}.", history=history.in_words)
    head = scores.headline
    if head.low is None or head.high is None:
        return tr("It was read once; {why}.", why=head.note or tr("no interval"))
    message = tr("The test set was read once; the 95 % interval is {width} wide.", width=f"{head.high - head.low:.3g}")
    if gap.low is None or gap.high is None:
        return message
    serious = sum(finding["severity"] != "note" for finding in run.findings())
    template = "It agrees with the validation score, and there are no warnings."
    if gap.low > 0 or gap.high < 0:
        template = "But the validation score differs by {gap}: check how the rows were collected."
    elif serious:
        template = "It agrees with the validation score; see the warnings above ({count})."
    return message + " " + tr(template, gap=f"{gap.value:+.3g}", count=serious)
