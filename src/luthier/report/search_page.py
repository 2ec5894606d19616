"""One search as one HTML file that opens offline: what is best and by how much, then how it was found."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from luthier import storage
from luthier.report import search_figures as figures
from luthier.report.html import plot, table, whole_page
from luthier.report.terminal import setting_in_words
from luthier.saved import RunFolder, open_run, read_study
from luthier.search import AFTERWARDS, Space, space_from
from luthier.untrusted import fitting_together


def write_search_report(run: Path) -> Path:
    """Write `report.html` into a search's folder and return its path."""
    path = RunFolder(Path(run)).report
    storage.write_text(path, build_search_report(Path(run)))
    return path


def read_search(run: Path) -> dict[str, Any]:
    """What a search found. InputError where it was stopped before it could say."""
    return read_study(run)[0]


def build_search_report(run: Path) -> str:
    """The whole page as text."""
    facts = open_run(run).facts()
    result, trials = read_study(run)
    with fitting_together(run):
        space = space_from({**result["space"]["dimensions"], **result["space"]["fixed"]})
        body = "\n".join(
            [
                *_verdict(facts, result),
                *_refits(result),
                *_sensitivity(result),
                *_trials(result, trials, space),
                *_facts(facts, result, trials),
            ]
        )
    return whole_page(f"{facts['name']} · Luthier", body)


def _verdict(facts: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    arrow = f" → {escape(facts['target'])}" if facts.get("target") else ""
    yield f"<header><p class=eyebrow>Search: {escape(facts['source']['name'])}{arrow}</p>"
    best, measured, gain = found["best"], found["measured"], found["gain"]
    if best is None:
        yield "<h1>No trial has a finite loss yet.</h1></header>"
        return
    if measured is None:
        value = f"{best['value']:.4g}"
        yield f"<h1>The best of {found['trials']} trials has a validation loss of {value}, with one seed.</h1>"
    else:
        count = len(measured["seeds"])
        yield f"<h1>Validation loss {measured['mean']:.4g} ± {measured['spread']:.2g} over {count} fresh seeds.</h1>"
    yield f"<p class=next><strong>Best setting:</strong> {escape(setting_in_words(best['values']))}.</p>"
    if gain is not None:
        verdict = "a clear gain" if gain["clear"] and gain["mean"] > 0 else "inside the noise"
        yield (
            f"<p>Loss of the default setting minus that of the best: {gain['mean']:+.4g} "
            f"[{gain['low']:+.4g}, {gain['high']:+.4g}] (paired over {gain['pairs']} seeds, 95 %): {verdict}.</p>"
        )
    if not found["complete"]:
        yield "<p class=warning>The search was stopped before its end; this is the best trial so far.</p>"
    yield "</header>"
    serious = [finding for finding in found["findings"] if finding["severity"] != "note"]
    if serious:
        yield "<ul class=findings>"
        yield from (f"<li>{escape(f['sentence'])}. <em>Try:</em> {escape(f['remedy'])}.</li>" for f in serious)
        yield "</ul>"


def _refits(found: dict[str, Any]) -> Iterator[str]:
    if not found["refits"]:
        return
    yield "<section><h2>Refits of the best trials</h2>"
    yield "<p>The lowest loss of a search is optimistic, as it was selected. So the best trials were retrained with"
    yield "common seeds, and the best by its mean was measured on fresh seeds.</p>"
    rows = [
        (f"trial {number}", f"{sum(values) / len(values):.4g}", f"{min(values):.4g} to {max(values):.4g}")
        for number, values in found["refits"].items()
    ]
    yield from table(("setting of", "mean validation loss", "seeds"), rows)
    yield "</section>"


def _sensitivity(found: dict[str, Any]) -> Iterator[str]:
    tables = {stage: rows for stage, rows in found["tables"].items() if rows}
    if not tables:
        return
    yield "<section><h2>Importance of the hyper-parameters</h2>"
    yield "<p>Share of the variance of the trials' ranks that each explains alone (fANOVA), with 95 % intervals.</p>"
    for stage, rows in tables.items():
        yield f"<h3>{escape(stage)}</h3>"
        yield from plot(f"sensitivity-{stage.replace(' ', '-')}", figures.draw_sensitivity(rows))
    yield "</section>"


def _trials(found: dict[str, Any], trials: pl.DataFrame, space: Space) -> Iterator[str]:
    searched = trials.filter(~pl.col("stage").is_in(AFTERWARDS))
    if not searched.filter(pl.col("value").is_finite()).height:
        return
    yield f"<section><h2>All {searched.height} trials</h2>"
    yield from plot("progress", figures.draw_progress(figures.progress(searched)))
    if len(space.dimensions) > 1:
        yield "<h3>Parallel coordinates</h3><p class=small>Blue: best; orange: worst.</p>"
        wide = 80 * (len(space.dimensions) + 1)
        yield from plot("parallel", figures.draw_parallel(searched, space), least_width=wide)
    if searched.filter(pl.col("reason").str.starts_with("rank")).height:
        yield "<h3>Rungs</h3>"
        yield from plot("rungs", figures.draw_rungs(searched))
    nested = figures.nested_boxes(found["boxes"], space)
    if nested is not None:
        yield "<h3>From coarse to fine</h3>"
        yield from plot("boxes", figures.draw_boxes(nested, searched, space))
    yield "<h3>Along each hyper-parameter</h3><p class=small>Each on its search scale.</p>"
    for name in space.dimensions:
        yield from plot(f"slice-{name}", figures.draw_slice(searched, space, name))
    notes = [*found["notes"], *(f["sentence"] for f in found["findings"] if f["severity"] == "note")]
    if notes:
        yield "<h3>Notes</h3><ul>"
        yield from (f"<li>{escape(note)}</li>" for note in notes)
        yield "</ul>"
    yield "</section>"


def _facts(facts: dict[str, Any], found: dict[str, Any], trials: pl.DataFrame) -> Iterator[str]:
    effort = found["effort"]
    counts = trials.group_by("status").len().sort("status")
    states = ", ".join(f"{row['len']} {row['status']}" for row in counts.iter_rows(named=True))
    rows: list[tuple[str, ...]] = [
        ("trials", f"{found['trials']} searched, {trials.height} trained in total: {states}"),
        ("sampler", effort["sampler"] + (f", {effort['halving']} halving" if effort["halving"] else "")),
        ("order", "tier by tier" if effort["tiers"] else "all at once"),
        ("epochs of a trial", str(effort["epochs"])),
        ("seed", str(effort["seed"])),
        ("versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in facts["machine"].items())),
    ]
    yield "<section><h2>The search</h2>"
    yield from table(("", ""), rows)
    dimensions = [(name, *(_range(d)), str(d["default"])) for name, d in found["space"]["dimensions"].items()]
    yield from table(("hyper-parameter", "searched", "scale", "default"), dimensions)
    yield "</section>"


def _range(dimension: dict[str, Any]) -> tuple[str, str]:
    if "options" in dimension:
        return ", ".join(map(str, dimension["options"])), "choice"
    whole = ", whole numbers" if dimension["integer"] else ""
    return f"{dimension['low']:g} to {dimension['high']:g}", f"{dimension['scale']}{whole}"
