"""The pictures of a run: augmented training pictures, and the test pictures with the worst predictions."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from luthier.assess import Scores
from luthier.messages import tr


def augmented(scores: Scores) -> Iterator[str]:
    """Originals in the first row, changes of each below."""
    if (sheet := scores.sheets.augmented) is not None:
        yield f"<h3>{tr('Augmented training pictures')}</h3>"
        yield f"<p class=small>{tr('Training pictures in the first row, four augmented copies of each below.')}</p>"
        yield _image(sheet.png, f"{sheet.columns} training pictures and four augmented copies of each")


def worst_pictures(scores: Scores) -> Iterator[str]:
    """The test pictures with the worst predictions, in the order of the table below them."""
    if (sheet := scores.sheets.worst) is not None:
        yield _image(sheet.png, "; ".join(sheet.said))
        yield f"<p class=small>{escape(tr('From left to right: {said}', said='; '.join(sheet.said)))}</p>"
    if (why := scores.sheets.why) is not None:
        yield _image(why.png, "the same pictures, coloured by their attributions")
        yield f"<p class=small>{tr('Orange supports the prediction, blue opposes it (integrated gradients).')}</p>"


def _image(png: str, alt: str) -> str:
    return f'<img class=sheet alt="{escape(alt)}" src="data:image/png;base64,{png}">'
