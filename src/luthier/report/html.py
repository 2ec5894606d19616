"""The pieces of a page: its frame, tables, figures as data for the page's script."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from luthier import storage
from luthier.messages import language, tr
from luthier.records import JsonObject

_STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
_SCRIPT = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")
SHORT = 20  # characters of a word that stays on its line
_CONFIG = {"displayModeBar": False, "responsive": True}


_MARKUP = {escape(tag): tag for tag in ("<br>", "<extra></extra>")}  # what figures here are written with


def harmless(figure: go.Figure) -> JsonObject:
    """A figure as plain values in which names from the data are text: Plotly takes `<a href=...>` in any of them.

    >>> harmless(go.Figure(layout={"title": {"text": "<a href='x'>y</a><br>z"}}))["layout"]["title"]["text"]
    "&lt;a href='x'&gt;y&lt;/a&gt;<br>z"
    """
    result: JsonObject = _escaped(json.loads(figure.to_json()))
    return result


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _escaped(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if not isinstance(value, str) or not any(c in value for c in "<>&"):
        return value
    text = escape(value, quote=False)
    for written, tag in _MARKUP.items():
        text = text.replace(written, tag)
    return text


def whole_page(title: str, body: str, *, plots: bool = True) -> str:
    """A page that opens offline: style and script inside, and the figures' library where it has `plots`."""
    library = _library() if plots else ""
    return (
        f'<!doctype html>\n<html lang="{language()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n{library}</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


@cache
def _library() -> str:
    """Plotly, packed to two fifths of its size; the page's script unpacks it. No `<` in it can end the script early."""
    packed = gzip.compress(get_plotlyjs().encode(), 6, mtime=0)
    digits = base64.b85encode(packed, pad=True).decode().replace("<", ",")
    return f'<script id=plotly type="text/plain" data-size="{len(packed)}">{digits}</script>\n'


def named_values(values: Mapping[str, object]) -> str:
    """Names in the reader's language, each with its value, on one line.

    >>> named_values({"threads": 2, "device": "cpu"})
    'threads 2, device cpu'
    """
    return tr(", ").join(f"{tr(name)} {value}" for name, value in values.items())


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a `kind` that the page's style knows."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def serious(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The findings that are more than notes, each with what to try; nothing where there are none."""
    stop, worse = tr("."), [one for one in findings if one["severity"] != "note"]
    if worse:
        yield "<ul class=findings>"
        for one in worse:
            yield f"<li>{escape(one['sentence'])}{stop} <em>{tr('Try:')}</em> {escape(one['remedy'])}{stop}</li>"
        yield "</ul>"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """A table that scrolls where the page is narrow."""
    yield "<div class=scroll><table>"
    if any(head):
        yield "<thead><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + "</tr></thead>"
    yield "<tbody>"
    yield from ("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    yield "</tbody></table></div>"


def _cell(text: str) -> str:
    """A cell; figures and single short words are not broken over lines."""
    whole = bool(text) and (not set(text) - set("0123456789.+-±–[] ,e%") or (" " not in text and len(text) <= SHORT))
    return f"<td{' class=whole' if whole else ''}>{escape(text)}</td>"


def plot(name: str, figure: go.Figure, alt: str = "", *, least_width: int = 0) -> Iterator[str]:
    """A figure as data for the page's script; no `<` in it can end the script early.

    `alt` says in words what it shows, for readers who do not see it. One that would be unreadable in fewer than
    `least_width` pixels scrolls where the page is narrow.
    """
    content = storage.json_text(harmless(figure)).replace("<", "\\u003c")
    yield "<div class=scroll>" if least_width else ""
    style = f' style="min-width: {least_width}px"' if least_width else ""
    label = f' role="img" aria-label="{escape(alt)}"' if alt else ""
    yield f'<figure id="figure-{escape(name)}"{label}{style} data-config="{escape(storage.json_text(_CONFIG))}">'
    yield f'<script type="application/json">{content}</script></figure>'
    yield "</div>" if least_width else ""
