"""One search as one HTML file that opens offline: what is best and by how much, then how it was found."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage
from luthier.messages import Message, in_words, tr
from luthier.report import search_figures as figures
from luthier.report.html import named_values, plot, serious, table, whole_page
from luthier.report.terminal import setting_in_words
from luthier.saved import RunFolder, open_run, read_study
from luthier.saved.schemas import SearchFacts
from luthier.saved.search_schemas import ChoiceOptions, NumberRange, StudyFacts
from luthier.search import AFTERWARDS, Space, space_from, stage_in_words
from luthier.untrusted import fitting_together


def write_search_report(run: Path) -> Path:
    """Write `report.html` into a search's folder and return its path."""
    path = RunFolder(Path(run)).report
    storage.write_text(path, build_search_report(Path(run)))
    return path


def read_search(run: Path) -> StudyFacts:
    """What a search found. InputError where it was stopped before it could say."""
    return read_study(run)[0]


def build_search_report(run: Path) -> str:
    """The whole page as text."""
    facts = open_run(run).search_facts()
    stored, trials = read_study(run)
    result: StudyFacts = in_words(stored)
    with fitting_together(run):
        space = space_from({**result["space"]["dimensions"], **result["space"]["fixed"]})
        lines = [
            *_verdict(facts, result),
            *_refits(result),
            *_sensitivity(result),
            *_trials(result, trials, space),
            *_facts(facts, result, trials),
        ]
    return whole_page(f"{facts['name']} · Luthier", "\n".join(lines))


def _verdict(facts: SearchFacts, found: StudyFacts) -> Iterator[str]:
    arrow = f" → {escape(facts['target'])}" if facts.get("target") else ""
    yield f"<header><p class=eyebrow>{_said('Search: {source}', source=facts['source']['name'])}{arrow}</p>"
    best, measured, gain = found["best"], found["measured"], found["gain"]
    if best is None:
        yield f"<h1>{_said('No trial has a finite loss yet.')}</h1></header>"
        return
    if measured is None:
        template = "The best of {trials} trials has a validation loss of {value:.4g}, with one seed."
        yield f"<h1>{_said(template, trials=found['trials'], value=best['value'])}</h1>"
    else:
        template = "Validation loss {mean:.4g} ± {spread:.2g} over {count} fresh seeds."
        yield f"<h1>{_said(template, **measured, count=len(measured['seeds']))}</h1>"
    setting = escape(setting_in_words(best["values"]))
    yield f"<p class=next><strong>{_said('Best setting:')}</strong> {setting}{_said('.')}</p>"
    if gain is not None:
        template = (
            "Loss of the default setting minus that of the best: {mean:+.4g} [{low:+.4g}, {high:+.4g}] (paired over "
            "{pairs} seeds, 95 %): {verdict}."
        )
        clear = gain["clear"] and gain["mean"] > 0
        verdict = Message("a clear gain") if clear else Message("inside the noise")
        yield f"<p>{_said(template, **gain, verdict=verdict)}</p>"
    if not found["complete"]:
        stopped = _said("The search was stopped before its end; this is the best trial so far.")
        yield f"<p class=warning>{stopped}</p>"
    yield "</header>"
    yield from serious(found["findings"])


def _refits(found: StudyFacts) -> Iterator[str]:
    if not found["refits"]:
        return
    template = (
        "The lowest loss of a search is optimistic, as it was selected. So the best trials were retrained with common "
        "seeds, and the best by its mean was measured on fresh seeds."
    )
    yield f"<section><h2>{_said('Refits of the best trials')}</h2><p>{_said(template)}</p>"
    rows = [
        (
            tr("trial {number}", number=number),
            f"{sum(values) / len(values):.4g}",
            tr("{low:.4g} to {high:.4g}", low=min(values), high=max(values)),
        )
        for number, values in found["refits"].items()
    ]
    yield from table((tr("setting of"), tr("mean validation loss"), tr("seeds")), rows)
    yield "</section>"


def _sensitivity(found: StudyFacts) -> Iterator[str]:
    tables = {stage: rows for stage, rows in found["tables"].items() if rows}
    if not tables:
        return
    template = "Share of the variance of the trials' ranks that each explains alone (fANOVA), with 95 % intervals."
    yield f"<section><h2>{_said('Importance of the hyper-parameters')}</h2><p>{_said(template)}</p>"
    for stage, rows in tables.items():
        yield f"<h3>{escape(stage_in_words(stage).spoken())}</h3>"
        yield from plot(f"sensitivity-{stage.replace(' ', '-')}", figures.draw_sensitivity(rows))
    yield "</section>"


def _trials(found: StudyFacts, trials: pl.DataFrame, space: Space) -> Iterator[str]:
    searched = trials.filter(~pl.col("stage").is_in(AFTERWARDS))
    if not searched.filter(pl.col("value").is_finite()).height:
        return
    yield f"<section><h2>{_said('All {count} trials', count=searched.height)}</h2>"
    yield from plot("progress", figures.draw_progress(figures.progress(searched)))
    if len(space.dimensions) > 1:
        yield f"<h3>{_said('Parallel coordinates')}</h3><p class=small>{_said('Blue: best; orange: worst.')}</p>"
        wide = 80 * (len(space.dimensions) + 1)
        yield from plot("parallel", figures.draw_parallel(searched, space), least_width=wide)
    if searched.filter(pl.col("reason").str.starts_with("rank")).height:
        yield f"<h3>{_said('Rungs')}</h3>"
        yield from plot("rungs", figures.draw_rungs(searched))
    nested = figures.nested_boxes(found["boxes"], space)
    if nested is not None:
        yield f"<h3>{_said('From coarse to fine')}</h3>"
        yield from plot("boxes", figures.draw_boxes(nested, searched, space))
    scale = _said("Each on its search scale.")
    yield f"<h3>{_said('Along each hyper-parameter')}</h3><p class=small>{scale}</p>"
    for name in space.dimensions:
        yield from plot(f"slice-{name}", figures.draw_slice(searched, space, name))
    notes = [*found["notes"], *(f["sentence"] for f in found["findings"] if f["severity"] == "note")]
    if notes:
        yield f"<h3>{_said('Notes')}</h3><ul>"
        yield from (f"<li>{escape(note)}</li>" for note in notes)
        yield "</ul>"
    yield "</section>"


def _facts(facts: SearchFacts, found: StudyFacts, trials: pl.DataFrame) -> Iterator[str]:
    effort = found["effort"]
    counts = trials.group_by("status").len().sort("status")
    states = ", ".join(f"{row['len']} {tr(row['status'])}" for row in counts.iter_rows(named=True))
    halving = tr(", {name} halving", name=effort["halving"]) if effort["halving"] else ""
    template = "{searched} searched, {trained} trained in total: {states}"
    rows: list[tuple[str, ...]] = [
        (tr("trials"), tr(template, searched=found["trials"], trained=trials.height, states=states)),
        (tr("sampler"), effort["sampler"] + halving),
        (tr("order"), tr("tier by tier") if effort["tiers"] else tr("all at once")),
        (tr("epochs of a trial"), str(effort["epochs"])),
        (tr("seed"), str(effort["seed"])),
        (tr("versions"), named_values(facts["versions"])),
        (tr("machine"), named_values(facts["machine"])),
    ]
    yield f"<section><h2>{_said('The search')}</h2>"
    yield from table(("", ""), rows)
    dimensions = [(name, *(_range(d)), str(d["default"])) for name, d in found["space"]["dimensions"].items()]
    yield from table((tr("hyper-parameter"), tr("searched"), tr("scale"), tr("default")), dimensions)
    yield "</section>"


def _said(template: str, **values: Any) -> str:
    """A sentence in the language that is spoken, as HTML."""
    return escape(tr(template, **values))


def _range(dimension: NumberRange | ChoiceOptions) -> tuple[str, str]:
    if "options" in dimension:
        return ", ".join(map(str, dimension["options"])), tr("choice")
    whole = tr(", whole numbers") if dimension["integer"] else ""
    edges = tr("{low:g} to {high:g}", low=dimension["low"], high=dimension["high"])
    return edges, f"{dimension['scale']}{whole}"
