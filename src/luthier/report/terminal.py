"""A run in the terminal and in a notebook's cell."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from luthier.assess import JudgedBaseline, SeedScore
from luthier.console import padded
from luthier.messages import Message, in_words, spoken, tr
from luthier.recipe import follows
from luthier.records import signed
from luthier.report.contents import Contents, read_contents
from luthier.request import NO_TEST
from luthier.saved.search_schemas import StudyFacts

STEPS = ("data", "loss", "inputs and architecture", "fit the training set", "fit the validation set", "test")


def summary_lines(path: Path) -> list[str]:
    """The end of a run in a few lines: score, interval, seeds, baselines, what to do next."""
    run = read_contents(Path(path))
    lines = ["", run.headline]
    scores = run.scores
    if scores:
        lines.append(in_a_line("validation", scores.headline.validation.figures))
        lines += [in_a_line("single seeds", message) for message in seeds_in_words(scores.seeds)]
        lines += [_beside(row) for row in scores.baselines]
        lines += [
            f"  {padded(tr(name), 24)} {tr('could not be fitted: {why}', why=spoken(why))}"
            for name, why in scores.failed_baselines.items()
        ]
        lines.append(in_a_line("test rows", spoken(scores.history.in_words)))
    if scores and (nothing := scores.no_better_than_constant):
        lines.append(in_a_line("warning", nothing.sentence))
    lines.append(in_a_line("report", str(run.path / "report.html")))
    return [*lines, in_a_line("next", scores.next_step if scores else _unfinished(run))]


def in_a_line(title: str, text: str) -> str:
    """A line of a summary: its title in the language that is spoken, and what it says."""
    return f"  {padded(tr(title), 14)} {text}"


def _beside(row: JudgedBaseline) -> str:
    verdict = tr("the network is {verdict}: {gain}", verdict=tr(WORDS[row.verdict]), gain=signed(row.difference))
    return f"  {padded(tr(row.name), 24)} {row.test.figures}   {verdict}"


def _unfinished(run: Contents) -> str:
    if run.facts["asked"].get("test") == NO_TEST:
        return tr("luthier resume {path}: finish the remaining steps; nothing is sealed", path=run.path)
    template = "luthier test {path}: finish the remaining steps and evaluate on the sealed test set"
    return tr(template, path=run.path)


def search_lines(found: StudyFacts) -> list[str]:
    """A search's result in a few lines."""
    lines = ["", tr("{trials} trials, {cut} of them stopped early", trials=found["trials"], cut=found["cut"])]
    best, measured, gain = found["best"], found["measured"], found["gain"]
    if best is None:
        return [*lines, tr("  no trial has a finite loss yet")]
    lines.append(in_a_line("best", setting_in_words(best["values"])))
    if measured is None:
        template = "validation loss {value:.4g} (one seed, selected as the best trial)"
        lines.append(in_a_line("value", tr(template, value=best["value"])))
    else:
        template = "validation loss {mean:.4g} ± {spread:.2g}, score {score:.4g}, over {count} fresh seeds"
        said = tr(template, **measured, score=found["score"], count=len(measured["seeds"]))
        lines.append(in_a_line("measured", said))
    if gain is not None:
        template = "{interval} over the default setting, paired: {verdict}"
        interval = f"{gain['mean']:+.4g} [{gain['low']:+.4g}, {gain['high']:+.4g}]"
        verdict = Message("clear") if gain["clear"] else Message("inside the noise")
        lines.append(in_a_line("gain", tr(template, interval=interval, verdict=verdict)))
    serious = [in_words(finding) for finding in found["findings"] if finding["severity"] != "note"]
    return lines + [in_a_line(finding["severity"], finding["sentence"]) for finding in serious]


def setting_in_words(values: Mapping[str, object]) -> str:
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
    facts, template = run.facts, "{name}: {source}, target `{target}`, {status}"
    known = {"name": facts["name"], "source": facts["source"]["name"], "target": facts["target"]}
    lines = [tr(template, **known, status=Message(facts["status"]))]
    for step, title in enumerate(STEPS):
        head = tr("Step {step}: {title}", step=step, title=Message(title)) if step else tr("Before step 1: the data")
        lines += ["", head]
        for record, words in run.wording(step):
            unfounded = "wording" not in record and not follows(record)
            doubt = tr(" (does not follow from its stored evidence)") if unfounded else ""
            lines.append(f"  {words.sentence()}{doubt}")
        lines += [
            "  " + tr("{severity}: {sentence}", severity=Message(r["severity"]), sentence=r["sentence"])
            for r in run.findings()
            if r.get("step") == step
        ]
    count = sum(record["kind"] == "opening" for record in run.records)
    template = "The sealed test set was opened {count} time." if count == 1 else ""
    lines += ["", tr(template or "The sealed test set was opened {count} times.", count=count)]
    return [*lines, *summary_lines(path)]


def seeds_in_words(seeds: list[SeedScore]) -> list[str]:
    """How the single seeds do, in a sentence; none where the score is not defined."""
    values = [row.value for row in seeds if row.value == row.value]
    if len(values) < 2:
        return [f"{one:.4g}" for one in values]
    known = {"mean": sum(values) / len(values), "count": len(values), "low": min(values), "high": max(values)}
    return [tr("{mean:.4g} mean of {count}, {low:.4g} to {high:.4g}", **known)]


def notebook_card(path: Path) -> str:
    """A small card for a notebook's cell: the verdict, the baselines, the next step."""
    run: Contents = read_contents(Path(path))
    rows = "".join(
        f"<tr><td>{escape(tr(row.name))}</td><td style='text-align:right'>{escape(row.test.figures)}</td>"
        f"<td>{escape(tr(WORDS[row.verdict]))}</td></tr>"
        for row in (run.scores.baselines if run.scores else ())
    )
    heads = "".join(f"<th>{tr(head)}</th>" for head in ("baseline", "test", "the network is"))
    table = f"<table><tr>{heads}</tr>{rows}</table>" if rows else ""
    following = f"<p>{escape(tr('Next: {step}', step=run.scores.next_step))}</p>" if run.scores else ""
    return (
        "<div style='border:1px solid #8888;border-radius:6px;padding:.8em 1.2em;max-width:44em'>"
        f"<strong>{escape(run.headline)}</strong>{table}{following}"
        f"<p><small>{escape(str(run.path))}</small></p></div>"
    )
