"""The pictures of a run: augmented training pictures, and the test pictures with the worst predictions."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from luthier.messages import tr


def augmented(scores: dict[str, Any]) -> Iterator[str]:
    """Originals in the first row, changes of each below."""
    sheet = (scores.get("sheets") or {}).get("augmented")
    if sheet:
        yield f"<h3>{tr('Augmented training pictures')}</h3>"
        yield f"<p class=small>{tr('Training pictures in the first row, four augmented copies of each below.')}</p>"
        yield _image(sheet["png"], f"{sheet['columns']} training pictures and four augmented copies of each")


def worst_pictures(scores: dict[str, Any]) -> Iterator[str]:
    """The test pictures with the worst predictions, in the order of the table below them."""
    sheet = (scores.get("sheets") or {}).get("worst")
    if sheet:
        yield _image(sheet["png"], "; ".join(sheet["said"]))
        yield f"<p class=small>{escape(tr('From left to right: {said}', said='; '.join(sheet['said'])))}</p>"
    why = (scores.get("sheets") or {}).get("why")
    if why:
        yield _image(why["png"], "the same pictures, coloured by their attributions")
        yield f"<p class=small>{tr('Orange supports the prediction, blue opposes it (integrated gradients).')}</p>"


def _image(png: str, alt: str) -> str:
    return f'<img class=sheet alt="{escape(alt)}" src="data:image/png;base64,{png}">'
