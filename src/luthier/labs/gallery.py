"""All labs, by name; what they found on the terminal and as one page."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape

import luthier.labs
from luthier.citations import cited_in_words
from luthier.errors import ConfigError, nearest
from luthier.labs.lab import Lab, LabOutcome
from luthier.labs.pages.assemble import pages_of
from luthier.messages import LANGUAGES, Message, as_message, language, spoken, tr
from luthier.report.html import plot, table, whole_page


@cache
def all_labs() -> dict[str, Lab]:
    """Every lab of this package, by name, in the order of their files."""
    result: dict[str, Lab] = {}
    for module in sorted(one.name for one in pkgutil.iter_modules(luthier.labs.__path__)):
        labs: Sequence[Lab] = getattr(importlib.import_module(f"luthier.labs.{module}"), "LABS", ())
        result |= {lab.name: lab for lab in labs}
    return result


def by_document() -> dict[str, list[Lab]]:
    """Labs by the first title that they meet, in the order of the documents' rows."""
    result: dict[str, list[Lab]] = {}
    for lab in sorted(all_labs().values(), key=lambda lab: lab.rows[0][:2]):
        result.setdefault(lab.source.split(";")[0].split(",")[0], []).append(lab)
    return result


def lab_named(name: str) -> Lab:
    """A lab by its name. ConfigError that names the nearest one."""
    known = all_labs()
    if name not in known:
        raise ConfigError(
            [
                Message(
                    "there is no lab '{name}'; {hint}",
                    name=name,
                    hint=nearest(name, known) or Message("luthier lab list names them"),
                )
            ]
        )
    return known[name]


def lines(outcome: LabOutcome) -> Iterator[str]:
    """What a lab found, for the terminal."""
    lab, bench = outcome.lab, outcome.bench
    yield tr(
        "{name}: {claim} ({source})",
        name=lab.name,
        claim=Message(lab.claim),
        source=_source(lab),
    )
    for one in bench.comparisons:
        beside = tr(", expected {value}", value=one.expected) if one.printed else ""
        why = f"; {spoken(one.why)}" if one.why else ""
        yield f"  [{tr(one.verdict)}] {spoken(one.what)}: {spoken(one.measured)}{beside}{why}"
    yield from (tr("  note: {sentence}", sentence=as_message(note)) for note in bench.notes)
    yield from (tr("  play with it: luthier lab page {page}", page=page.name) for page in pages_of(lab.name))
    yield f"  {outcome.seconds:.1f} s"


def _source(lab: Lab) -> str:
    return cited_in_words(", ".join(lab.rows))


def gallery(outcomes: Sequence[LabOutcome], pages_at: str = "") -> str:
    """A page with every outcome: claims, measured beside printed, figures; links to the pages in folder `pages_at`."""
    return whole_page(tr("Luthier's labs"), "\n".join(_body(outcomes, pages_at)))


def pages_beside(outcomes: Sequence[LabOutcome]) -> tuple[str, ...]:
    """Names of the pages that play what was measured."""
    return tuple(dict.fromkeys(page.name for outcome in outcomes for page in pages_of(outcome.lab.name)))


def _body(outcomes: Sequence[LabOutcome], pages_at: str) -> Iterator[str]:
    total = [one for outcome in outcomes for one in outcome.bench.comparisons]
    counts = {name: sum(one.verdict == name for one in total) for name in dict.fromkeys(one.verdict for one in total)}
    verdicts = ", ".join(f"{count} {tr(name)}" for name, count in counts.items())
    summary = tr("Experiments: {labs}; figures: {figures}; {verdicts}.",
                 labs=len(outcomes), figures=len(total), verdicts=verdicts)  # fmt: skip
    yield f"<header><h1>{tr('Labs')}</h1><p>{escape(summary)}</p></header>"
    for outcome in outcomes:
        lab, bench = outcome.lab, outcome.bench
        yield f'<section id="{lab.name}"><h2>{escape(spoken(lab.title))}</h2><p>{escape(spoken(lab.claim))} '
        yield f"<small>{escape(cited_in_words(', '.join(lab.rows)))}; {outcome.seconds:.1f} s</small></p>"
        if pages_at:
            links = (
                f'<a href="{escape(pages_at)}/{page.name}.html">{page.title[LANGUAGES.index(language())]}</a>'
                for page in pages_of(lab.name)
            )
            yield from (f"<p>▶ {tr('Play with it:')} {link}</p>" for link in links)
        rows = [
            (spoken(one.what), spoken(one.expected) or "–", spoken(one.measured), tr(one.verdict), spoken(one.why))
            for one in bench.comparisons
        ]
        kept = 5 if any(row[4] for row in rows) else 4  # without a column of nothing
        head = (tr("what"), tr("expected"), tr("measured"), tr("verdict"), tr("why"))
        yield from table(head[:kept], [row[:kept] for row in rows])
        yield from (f"<p>{escape(spoken(note))}</p>" for note in bench.notes)
        for place, (title, figure) in enumerate(bench.figures):
            yield f"<h3>{escape(spoken(title))}</h3>"
            yield from plot(f"{lab.name}-{place}", figure, title)
        yield "</section>"
