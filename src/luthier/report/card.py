"""A model card: what a run's model is, was judged by, and is not for, in Markdown (after Mitchell and others, 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.assess import Scores
from luthier.errors import InputError
from luthier.kinds import KINDS
from luthier.messages import Message, spoken, tr
from luthier.recipe import wording_of
from luthier.records import figure, signed
from luthier.report.contents import Contents, read_contents
from luthier.report.terminal import WORDS

MOST = 8
SHOWN = (*("first-width", "first-convnet", "first-text-network", "inputs", "backbone", "deliverable", "calibration"),)


def model_card(path: str | Path) -> str:
    """The card of a finished run, as Markdown. InputError where it has not been judged yet."""
    run = read_contents(Path(path))
    if not run.scores:
        raise InputError(
            Message("the run '{path}' has no scores yet", path=path),
            remedy=Message("finish it: luthier resume {path}", path=path),
        )
    return "\n".join(_lines(run, run.scores)) + "\n"


def _lines(run: Contents, scores: Scores) -> Iterator[str]:
    facts = run.facts
    source, task = facts["source"], facts["task"]
    yield tr("# Model card: {name}", name=_cell(facts["name"])) + "\n"
    yield f"{_cell(run.headline)}\n"
    if nothing := scores.no_better_than_constant:
        yield f"**{_cell(nothing.sentence)}.**\n"
    yield tr("## Model") + "\n"
    what = {
        "regression": Message("a value"),
        "binary": Message("one of two classes"),
        "labels": Message("any number of {count} labels", count=len(task["classes"])),
        "multiclass": Message("one of {count} classes", count=len(task["classes"])),
    }
    known = {"target": _cell(facts["target"]), "classes": _named(task["classes"])}
    yield tr("- predicts `{target}`, {what}{classes}", what=what[KINDS[task["kind"]].family], **known)
    if task.get("positive"):
        yield tr("- positive class (of thresholds, costs and F1): {name}", name=_cell(task["positive"]))
    versions = facts["versions"]
    made = {"luthier": versions["luthier"], "torch": versions["torch"], "when": facts["created"]}
    template = "- made by Luthier {luthier} on PyTorch {torch}, {when}"
    yield tr(template, **{name: _cell(one) for name, one in made.items()})
    yield tr("- seed {seed}, {seconds:.0f} seconds", seed=facts["seed"], seconds=facts.get("elapsed_s", 0.0))
    for decision in (one for one in run.records if one["kind"] == "decision"):
        if decision["code"] in SHOWN:
            words = wording_of(decision)
            yield tr("- {topic}: {chosen}", topic=words.topic, chosen=_cell(words.chosen))
    for licence in run.facts.get("licences", ()):
        known = {"of": _cell(licence["of"]), "name": _cell(licence["name"]), "written": _cell(licence["written"])}
        yield tr("- licence of `{of}`: {name} ({written})", **known)
    yield "\n" + tr("## Training data") + "\n"
    known = {name: _cell(source[name]) for name in ("name", "fingerprint")} | {
        "origin": _cell(spoken(source["origin"]))
    }
    template = "- `{name}` ({origin}), {rows:,} rows and {columns:,} columns"
    yield tr(template, **known, rows=source["rows"], columns=source["columns"])
    yield tr("- fingerprint of the data: `{fingerprint}`", **known)
    yield "\n" + tr("## Evaluation") + "\n"
    template = "On {count:,} sealed test rows ({history}), with 95 % intervals:"
    if scores.estimate:
        template = "On {count:,} open rows, out of fold ({history}), with 95 % intervals:"
    yield tr(template, count=scores.headline.n, history=scores.history.in_words) + "\n"
    yield tr("| measure | value | interval |") + "\n|---|---|---|"
    for one in scores.metrics:
        yield f"| {_cell(one.title.spoken())} | {figure(one.value)} | {_cell(one.interval)} |"
    value = figure(scores.headline.validation.value)
    yield "\n" + tr("On validation rows, by which it was chosen: {value}.", value=value) + "\n"
    yield tr("| baseline | score | this model is |") + "\n|---|---|---|"
    for row in scores.baselines:
        gain = _cell(signed(row.difference))
        verdict = tr("{verdict}: {gain}", verdict=Message(WORDS[row.verdict]), gain=gain)
        yield f"| {_cell(spoken(row.name))} | {figure(row.test.value)} | {verdict} |"
    for name, why in scores.failed_baselines.items():
        yield f"| {_cell(spoken(name))} | - | {tr('could not be fitted: {why}', why=_cell(spoken(why)))} |"
    yield from _limits(run, scores)


def _limits(run: Contents, scores: Scores) -> Iterator[str]:
    yield "\n" + tr("## Limitations") + "\n"
    for row in [one for one in scores.subgroups if one.worse][:MOST]:
        known = {"column": _cell(row.column), "value": _cell(row.value), "score": figure(row.score)}
        yield tr("- worse where {column} is {value}: {score} on {rows} rows", **known, rows=row.rows)
    for finding in run.findings()[:MOST]:
        yield f"- {_cell(finding['sentence'])}"
    if unlike := scores.unlike:
        template = "- {share:.1%} of the sealed test rows are unlike the training rows (see --abstain)"
        yield tr(template, share=unlike.share)
    yield tr("- valid for data like the training rows: check new rows with `luthier check`")
    yield tr("- next step: {step}", step=_cell(scores.next_step))


def _named(classes: list[str]) -> str:
    shown = ", ".join(_cell(name) for name in classes[:MOST])
    return f" ({shown}{', ...' if len(classes) > MOST else ''})" if classes else ""


def _cell(text: Any) -> str:
    """Text that stays text in Markdown: names from the data cannot become markup."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in plain)
