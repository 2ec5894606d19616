"""The runs of several targets on one page: a line for each, with the way to its report."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import quote

from luthier import storage
from luthier.report.contents import read_contents
from luthier.report.html import whole_page
from luthier.report.terminal import number
from luthier.saved import open_run


def write_overview(run: Path) -> Path:
    """Write `report.html` into the folder of several targets and return its path."""
    folder = open_run(run)
    storage.write_text(folder.report, whole_page(f"{folder.path.name} · Luthier", "\n".join(_body(run)), plots=False))
    return folder.report


def _body(run: Path) -> Iterator[str]:
    facts = open_run(run).facts()
    source = escape(Path(facts["source"]).name)
    yield f"<header><p class=eyebrow>{source}</p><h1>{len(facts['folders'])} targets</h1></header>"
    yield "<section><div class=scroll><table><thead><tr><th>target</th><th>score</th><th>on unseen rows</th>"
    yield "<th>next</th></tr></thead><tbody>"
    for target, place in facts["folders"].items():
        path = run / place
        if not (path / "run.json").exists():
            yield f"<tr><td>{escape(target)}</td><td colspan=3>not started</td></tr>"
            continue
        result = read_contents(path)
        link = f'<a href="./{quote(place)}/report.html">{escape(target)}</a>'
        if not result.scores:
            yield f"<tr><td>{link}</td><td colspan=3>no test score yet</td></tr>"
            continue
        cells = (result.scores["metric"], number(result.scores["headline"]), result.scores["next_step"])
        yield f"<tr><td>{link}</td>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table></div></section>"
