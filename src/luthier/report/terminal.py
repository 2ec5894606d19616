"""A run in the terminal and in a notebook's cell."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from luthier.assess import SealHistory
from luthier.recipe import Record, follows
from luthier.records import Measure, signed
from luthier.report.contents import Contents, read_contents
from luthier.request import NO_TEST

STEPS = (
    "data",
    "loss",
    "inputs and architecture",
    "fit the training set",
    "fit the validation set",
    "test",
)


def summary_lines(path: Path) -> list[str]:
    """The end of a run in a few lines: score, interval, seeds, baselines, what to do next."""
    run = read_contents(Path(path))
    lines = ["", run.headline]
    scores = run.scores
    if scores:
        validation = scores["headline"]["validation"]
        lines.append(f"  validation     {number(validation)}")
        if scores["seeds"]:
            lines += [f"  single seeds   {message}" for message in seeds_in_words(scores["seeds"])]
        lines += [
            f"  {row['name']:<24} {number(row['test'])}   the network is {WORDS[row['verdict']]}: "
            f"{signed(Measure.from_json(row['difference']))}"
            for row in scores["baselines"]
        ]
        lines += [
            f"  {name:<24} could not be fitted: {why}" for name, why in scores.get("failed_baselines", {}).items()
        ]
    if scores:
        lines.append(f"  test rows      {history_of(scores).in_words}")
    if scores and scores.get("no_better_than_constant"):
        lines.append(f"  warning        {scores['no_better_than_constant']['sentence']}")
    lines.append(f"  report         {run.path / 'report.html'}")
    if not scores:
        lines.append(
            f"  next           luthier test {run.path}: finish the remaining steps and evaluate on the sealed test set"
            if run.facts["asked"].get("test") != NO_TEST
            else f"  next           luthier resume {run.path}: finish the remaining steps; nothing is sealed"
        )
    if scores:
        lines.append(f"  next           {scores['next_step']}")
    return lines


def history_of(scores: dict[str, Any]) -> SealHistory:
    """What was known of the test rows when they were read; runs of earlier versions counted their own readings."""
    kept = scores.get("seal")
    return (
        SealHistory(scores["headline"]["n"], scores.get("openings", 1)) if kept is None else SealHistory.from_json(kept)
    )


def search_lines(found: dict[str, Any]) -> list[str]:
    """A search's result in a few lines."""
    lines = ["", f"{found['trials']} trials, {found['cut']} of them stopped early"]
    best, measured, gain = found["best"], found["measured"], found["gain"]
    if best is None:
        return [*lines, "  no trial has a finite loss yet"]
    lines.append(f"  best       {setting_in_words(best['values'])}")
    if measured is None:
        lines.append(f"  value      validation loss {best['value']:.4g} (one seed, selected as the best trial)")
    else:
        lines.append(
            f"  measured   validation loss {measured['mean']:.4g} ± {measured['spread']:.2g}, "
            f"score {found['score']:.4g}, over {len(measured['seeds'])} fresh seeds"
        )
    if gain is not None:
        verdict = "clear" if gain["clear"] else "inside the noise"
        interval = f"{gain['mean']:+.4g} [{gain['low']:+.4g}, {gain['high']:+.4g}]"
        lines.append(f"  gain       {interval} over the default setting, paired: {verdict}")
    serious = [finding for finding in found["findings"] if finding["severity"] != "note"]
    return lines + [f"  {finding['severity']:<10} {finding['sentence']}" for finding in serious]


def setting_in_words(values: dict[str, Any]) -> str:
    """A setting on one line."""
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())


WORDS = {
    "better": "better",
    "worse": "worse",
    "within noise": "no different beyond the noise",
    "unknown": "not comparable",
}


def ledger_lines(path: Path) -> list[str]:
    """Every decision of a run with its reason, step by step."""
    run = read_contents(Path(path))
    lines = [
        f"{run.facts['name']}: {run.facts['source']['name']}, target `{run.facts['target']}`, {run.facts['status']}"
    ]
    for step, title in enumerate(STEPS):
        lines += ["", f"Step {step}: {title}" if step else "Before step 1: the data"]
        lines += [f"  {words.sentence()}{_unfounded(record)}" for record, words in run.wording(step)]
        lines += [f"  {r['severity']}: {r['sentence']}" for r in run.findings() if r.get("step") == step]
    openings = [record for record in run.records if record["kind"] == "opening"]
    lines += ["", f"The sealed test set was opened {len(openings)} time{'' if len(openings) == 1 else 's'}."]
    return [*lines, *summary_lines(path)]


def _unfounded(record: Record) -> str:
    """What is to be said where a choice does not follow from the evidence that is stored with it."""
    return "" if "wording" in record or follows(record) else " (does not follow from its stored evidence)"


def number(measure: dict[str, Any]) -> str:
    """A measure with its interval, or why it has none."""
    return Measure.from_json(measure).figures


def seeds_in_words(seeds: list[dict[str, Any]]) -> list[str]:
    """How the single seeds do, in a sentence; none where the score is not defined."""
    values = [row["value"] for row in seeds if row["value"] is not None]
    if len(values) < 2:
        return [f"{one:.4g}" for one in values]
    return [f"{sum(values) / len(values):.4g} mean of {len(values)}, {min(values):.4g} to {max(values):.4g}"]


def notebook_card(path: Path) -> str:
    """A small card for a notebook's cell: the verdict, the baselines, the next step."""
    run: Contents = read_contents(Path(path))
    rows = "".join(
        f"<tr><td>{escape(row['name'])}</td><td style='text-align:right'>{escape(number(row['test']))}</td>"
        f"<td>{escape(row['verdict'])}</td></tr>"
        for row in run.scores.get("baselines", [])
    )
    table = f"<table><tr><th>baseline</th><th>test</th><th>the network is</th></tr>{rows}</table>" if rows else ""
    following = f"<p>Next: {escape(run.scores['next_step'])}</p>" if run.scores else ""
    return (
        "<div style='border:1px solid #8888;border-radius:6px;padding:.8em 1.2em;max-width:44em'>"
        f"<strong>{escape(run.headline)}</strong>{table}{following}"
        f"<p><small>{escape(str(run.path))}</small></p></div>"
    )
