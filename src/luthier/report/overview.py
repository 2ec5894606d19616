"""The runs of several targets on one page: a line for each, with the way to its report."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from luthier import storage
from luthier.assess import Scores
from luthier.messages import tr
from luthier.objective import metric_named
from luthier.report.contents import read_contents
from luthier.report.html import whole_page
from luthier.saved import open_run


def write_overview(run: Path) -> Path:
    """Write `report.html` into the folder of several targets and return its path."""
    folder = open_run(run)
    storage.write_text(folder.report, whole_page(f"{folder.path.name} · Luthier", "\n".join(_body(run)), plots=False))
    return folder.report


def _body(run: Path) -> Iterator[str]:
    facts = open_run(run).several_facts()
    source = escape(Path(facts["source"]).name)
    title = tr("{count} targets", count=len(facts["folders"]))
    yield f"<header><p class=eyebrow>{source}</p><h1>{title}</h1></header>"
    if "networks" in facts:
        text = tr("All targets share their networks. Each has an ensemble of their heads and its own report.")
        way = f'<a href="./{quote(facts["networks"])}/report.html">{tr("How the networks were trained")}</a>'
        yield f"<p>{escape(text)} {way}</p>"
    names = (tr("target"), tr("score"), tr("on unseen rows"), tr("best baseline"), tr("next"))
    yield "<section><div class=scroll><table><thead><tr>" + "".join(f"<th>{name}</th>" for name in names)
    yield "</tr></thead><tbody>"
    for target, place in facts["folders"].items():
        path = run / place
        if not (path / "run.json").exists():
            yield f"<tr><td>{escape(target)}</td><td colspan=4>{tr('not started')}</td></tr>"
            continue
        result = read_contents(path)
        link = f'<a href="./{quote(place)}/report.html">{escape(target)}</a>'
        scores = result.scores
        if not scores:
            yield f"<tr><td>{link}</td><td colspan=4>{tr('no test score yet')}</td></tr>"
            continue
        best = _best_baseline(scores)
        cells = (tr(scores.metric), scores.headline.figures, best, scores.next_step)
        yield f"<tr><td>{link}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div></section>"


def _best_baseline(scores: Scores) -> str:
    """The baseline with the best score on unseen rows, and that score; empty where there is none."""
    known = [row for row in scores.baselines if row.test.value == row.test.value]
    if not known:
        return ""
    sign = -1 if metric_named(scores.metric).larger_is_better else 1
    best = min(known, key=lambda row: sign * row.test.value)
    return f"{best.name}, {best.test.figures}"
