"""A model card: what a run's model is, was judged by, and is not for, in Markdown (after Mitchell and others, 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luthier.errors import InputError
from luthier.recipe import wording_of
from luthier.records import Measure, figure, signed
from luthier.report.contents import Contents, read_contents
from luthier.report.terminal import WORDS, history_of
from luthier.saved.score_schemas import Scores

MOST = 8
SHOWN = (*("first-width", "first-convnet", "first-text-network", "inputs", "backbone", "deliverable", "calibration"),)


def model_card(path: str | Path) -> str:
    """The card of a finished run, as Markdown. InputError where it has not been judged yet."""
    run = read_contents(Path(path))
    if not run.scores:
        raise InputError(f"the run '{path}' has no scores yet", remedy=f"finish it: luthier resume {path}")
    return "\n".join(_lines(run, run.scores)) + "\n"


def _lines(run: Contents, scores: Scores) -> Iterator[str]:
    facts = run.facts
    source, task = facts["source"], facts["task"]
    yield f"# Model card: {_cell(facts['name'])}\n"
    yield f"{_cell(run.headline)}\n"
    if nothing := scores.get("no_better_than_constant"):
        yield f"**{_cell(nothing['sentence'])}.**\n"
    yield "## Model\n"
    what = {
        "regression": "a value",
        "binary": "one of two classes",
        "multiclass": f"one of {len(task['classes'])} classes",
    }
    yield f"- predicts `{_cell(facts['target'])}`, {what[task['kind']]}{_named(task['classes'])}"
    if task.get("positive"):
        yield f"- positive class (of thresholds, costs and F1): {_cell(task['positive'])}"
    versions = facts["versions"]
    made = [_cell(one) for one in (versions["luthier"], versions["torch"], facts["created"])]
    yield "- made by Luthier {} on PyTorch {}, {}".format(*made)
    yield f"- seed {facts['seed']}, {facts.get('elapsed_s', 0.0):.0f} seconds"
    for decision in (one for one in run.records if one["kind"] == "decision"):
        if decision["code"] in SHOWN:
            words = wording_of(decision)
            yield f"- {words.topic}: {_cell(words.chosen)}"
    for one in run.facts.get("licences", ()):
        yield f"- licence of `{_cell(one['of'])}`: {_cell(one['name'])} ({_cell(one['written'])})"
    yield "\n## Training data\n"
    size = f"{source['rows']:,} rows and {source['columns']:,} columns"
    yield f"- `{_cell(source['name'])}` ({_cell(source['origin'])}), {size}"
    yield f"- fingerprint of the data: `{_cell(source['fingerprint'])}`"
    yield "\n## Evaluation\n"
    rows = "open rows, out of fold" if scores.get("estimate") else "sealed test rows"
    yield f"On {scores['headline']['n']:,} {rows} ({history_of(scores).in_words}), with 95 % intervals:\n"
    yield "| measure | value | interval |\n|---|---|---|"
    for one in map(Measure.from_json, scores["metrics"]):
        yield f"| {_cell(one.name_of)} | {figure(one.value)} | {_cell(one.interval)} |"
    yield f"\nOn validation rows, by which it was chosen: {figure(scores['headline']['validation']['value'])}.\n"
    yield "| baseline | score | this model is |\n|---|---|---|"
    for row in scores["baselines"]:
        gain = _cell(signed(Measure.from_json(row["difference"])))
        yield f"| {_cell(row['name'])} | {figure(row['test']['value'])} | {WORDS[row['verdict']]}: {gain} |"
    for name, why in scores.get("failed_baselines", {}).items():
        yield f"| {_cell(name)} | - | could not be fitted: {_cell(why)} |"
    yield from _limits(run, scores)


def _limits(run: Contents, scores: Scores) -> Iterator[str]:
    yield "\n## Limitations\n"
    for row in [one for one in scores.get("subgroups") or [] if one["worse"]][:MOST]:
        where = f"{_cell(row['column'])} is {_cell(row['value'])}"
        yield f"- worse where {where}: {figure(row['score'])} on {row['rows']} rows"
    for finding in run.findings()[:MOST]:
        yield f"- {_cell(finding['sentence'])}"
    if unlike := scores.get("unlike"):
        yield f"- {unlike['share']:.1%} of the sealed test rows are unlike the training rows (see --abstain)"
    yield "- valid for data like the training rows: check new rows with `luthier check`"
    yield f"- next step: {_cell(scores['next_step'])}"


def _named(classes: list[str]) -> str:
    shown = ", ".join(_cell(name) for name in classes[:MOST])
    return f" ({shown}{', ...' if len(classes) > MOST else ''})" if classes else ""


def _cell(text: Any) -> str:
    """Text that stays text in Markdown: names from the data cannot become markup."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in plain)
