"""The pictures of a run: augmented training pictures, and the test pictures with the worst predictions."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from luthier.messages import tr
from luthier.saved.score_schemas import Scores


def augmented(scores: Scores) -> Iterator[str]:
    """Originals in the first row, changes of each below."""
    if (sheets := scores.get("sheets")) and (sheet := sheets.get("augmented")):
        yield f"<h3>{tr('Augmented training pictures')}</h3>"
        yield f"<p class=small>{tr('Training pictures in the first row, four augmented copies of each below.')}</p>"
        yield _image(sheet["png"], f"{sheet['columns']} training pictures and four augmented copies of each")


def worst_pictures(scores: Scores) -> Iterator[str]:
    """The test pictures with the worst predictions, in the order of the table below them."""
    if (sheets := scores.get("sheets")) and (sheet := sheets.get("worst")):
        yield _image(sheet["png"], "; ".join(sheet["said"]))
        yield f"<p class=small>{escape(tr('From left to right: {said}', said='; '.join(sheet['said'])))}</p>"
    if (sheets := scores.get("sheets")) and (why := sheets.get("why")):
        yield _image(why["png"], "the same pictures, coloured by their attributions")
        yield f"<p class=small>{tr('Orange supports the prediction, blue opposes it (integrated gradients).')}</p>"


def _image(png: str, alt: str) -> str:
    return f'<img class=sheet alt="{escape(alt)}" src="data:image/png;base64,{png}">'
