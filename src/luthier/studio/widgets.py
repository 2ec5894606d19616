"""A page of the studio: its controls, and a function from their values to what is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from luthier.report.html import harmless
from luthier.studio.spoken_pages import in_words

Values = Mapping[str, Any]
SOFT, GRID = "#8a9097", "rgba(128, 128, 128, 0.25)"  # readable on light and dark paper


@dataclass(frozen=True)
class Slider:
    """A number. On a `log` scale the slider moves by powers of ten, and the function gets the number itself."""

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    log: bool = False

    def given(self, position: float) -> float:
        """What the function gets for a position of the slider.

        >>> Slider("rate", "rate", -4, 0, 0.5, -2, log=True).given(-2)
        0.01
        """
        return float(10.0**position if self.log else position)


@dataclass(frozen=True)
class SelectBox:
    """One of several names."""

    name: str
    label: str
    options: tuple[str, ...]
    value: str

    def given(self, chosen: str) -> str:
        """The name itself; the first one for a name that is not among them."""
        return chosen if chosen in self.options else self.options[0]


@dataclass(frozen=True)
class Table:
    """A CSV file of one's own: the rows as text, or nothing."""

    name: str
    label: str
    value: str = ""

    def given(self, content: str | None) -> str:
        """The file's text."""
        return content or ""


@dataclass(frozen=True)
class Shown:
    """What a page shows: figures with what they say in words, and numbers with their names."""

    figures: tuple[tuple[str, go.Figure], ...]
    numbers: tuple[tuple[str, str], ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Page:
    """A lab to play with. `play` names the slider that a Run button moves from its lowest value to its highest."""

    name: str
    title: str
    claim: str
    controls: tuple[Slider | SelectBox | Table, ...]
    compute: Callable[[Values], Shown]
    play: str = ""

    def start(self) -> dict[str, object]:
        """The values that the page opens with."""
        return {control.name: control.given(control.value) for control in self.controls}  # type: ignore[arg-type]


def soft(figure: go.Figure, height: int = 340) -> go.Figure:
    """The figure in colours that serve on light and dark paper."""
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": SOFT},
        height=height,
        margin={"l": 55, "r": 15, "t": 25, "b": 45},
        legend={"orientation": "h", "y": 1.12},
        uirevision="kept",
    )
    figure.update_xaxes(gridcolor=GRID, zerolinecolor=GRID).update_yaxes(gridcolor=GRID, zerolinecolor=GRID)
    return go.Figure(harmless(in_words(figure)))
