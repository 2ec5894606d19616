"""Curves of numbers: what `plot()` of a schedule, a range test, a history or a search draws, and the figures' look.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; backgrounds are transparent, and a page's script
recolours text and grid for light and dark. Plotly is imported when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import cycle
from math import log10
from typing import TYPE_CHECKING, NamedTuple

from luthier.messages import tr

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"
PURPLE = "#CC79A7"
RANGE_MARKS = {"minimum / 10": "circle", "steepest": "diamond", "valley": "triangle-up"}


def empty_figure(x: str, y: str) -> go.Figure:
    """A figure with titled axes and nothing in it yet."""
    import plotly.graph_objects as go

    usual = {
        "gridcolor": "rgba(136,136,136,0.25)",
        "zeroline": False,
        "automargin": True,
        "exponentformat": "power",  # 10^-6, not 1µ
        "minexponent": 6,
    }
    layout = {
        "template": "none",
        "height": 360,
        "margin": {"l": 60, "r": 16, "t": 16, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "hovermode": "closest",
        "xaxis": {"title": {"text": x}, **usual},
        "yaxis": {"title": {"text": y}, **usual},
    }
    return go.Figure(layout=layout)  # all at once: `update_layout` and its like take ten times as long


def error_bars(above: Sequence[float], below: Sequence[float], colour: str | None = None) -> dict[str, object]:
    """How far intervals reach above and below each point, as Plotly's `error_x` and `error_y` take them."""
    bars: dict[str, object] = {"type": "data", "symmetric": False, "array": list(above), "arrayminus": list(below)}
    return bars if colour is None else bars | {"color": colour}


def add_interval(
    figure: go.Figure, name: str, middle: float, error: Mapping[str, object], marker: Mapping[str, object], hover: str
) -> None:
    """A middle with its interval to both sides, on the line of its name."""
    figure.add_scatter(
        x=[middle],
        y=[name],
        mode="markers",
        marker=marker,
        error_x=error,
        showlegend=False,
        hovertemplate=f"{hover}<extra></extra>",
    )


class LearningCurve(NamedTuple):
    """A network's losses by step; where nothing was held out, its validation losses are its training losses."""

    steps: Sequence[int]
    training: Sequence[float]
    validation: Sequence[float]


def draw_learning(curves: Mapping[str, LearningCurve]) -> go.Figure:
    """Training losses (dotted) and validation losses of networks against the step.

    >>> figure = draw_learning({"one": LearningCurve([1, 2], [0.9, 0.5], [1.0, 0.7])})
    >>> [line.name for line in figure.data]
    ['one, training', 'one, validation']
    """
    figure = empty_figure("step", "loss")
    for (name, curve), colour in zip(curves.items(), cycle((BLUE, ORANGE, GREEN, PURPLE, GREY))):
        for what, losses, dash in (("training", curve.training, "dot"), ("validation", curve.validation, "solid")):
            if what == "training" or list(losses) != list(curve.training):
                line = {"color": colour, "dash": dash}
                figure.add_scatter(x=list(curve.steps), y=list(losses), name=f"{name}, {what}", line=line, mode="lines")
    return figure.update_yaxes(type="log")


def small_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for a notebook, every cell escaped.

    >>> small_table(["rate"], [[0.1]])
    '<table><thead><tr><th>rate</th></tr></thead><tbody><tr><td>0.1</td></tr></tbody></table>'
    """
    top = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def draw_schedules(curves: dict[str, list[float]]) -> go.Figure:
    """Learning rates by step, a line for each schedule, as `Schedule.curve` gives them before training.

    >>> from luthier.optimise import Schedule
    >>> figure = draw_schedules({"restarts": Schedule("restarts", period=10, multiplier=2.0).curve(70, 0.1)})
    >>> figure.data[0].name, len(figure.data[0].y)
    ('restarts', 70)
    """
    figure = empty_figure("step", "learning rate")
    colours = (BLUE, ORANGE, GREEN, GREY)
    for place, (name, rates) in enumerate(curves.items()):
        line = {"color": colours[place % len(colours)]}
        figure.add_scatter(x=list(range(len(rates))), y=rates, name=name, mode="lines", line=line)
    return figure


class RangeCurves(NamedTuple):
    """A range test: median losses at rates with their band over seeds, and the rates that rules suggest."""

    rates: Sequence[float]
    losses: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    rules: Mapping[str, float]


def draw_range(test: RangeCurves, used: float) -> go.Figure:
    """The range test: median loss with its band over seeds, the rules' suggestions, the rate used."""
    figure = empty_figure(tr("learning rate"), tr("loss, smoothed")).update_xaxes(type="log")
    known = [i for i, loss in enumerate(test.losses) if loss is not None]
    rates = [test.rates[i] for i in known]
    low, high = ([values[i] for i in known] for values in (test.low, test.high))
    figure.add_scatter(
        x=rates + rates[::-1],
        y=high + low[::-1],
        fill="toself",
        mode="none",
        fillcolor="rgba(0,114,178,0.2)",
        name=tr("all seeds"),
    )
    figure.add_scatter(x=rates, y=[test.losses[i] for i in known], name=tr("median"), line={"color": BLUE})
    for name, rate in test.rules.items():
        nearest = min(known, key=lambda i: abs(test.rates[i] / rate - 1))
        figure.add_scatter(
            x=[rate],
            y=[test.losses[nearest]],
            name=tr(name),
            mode="markers",
            marker={"size": 11, "color": GREY, "symbol": RANGE_MARKS.get(name, "circle")},
        )
    figure.add_vline(x=used, line={"color": ORANGE, "dash": "dash"})
    figure.add_annotation(x=log10(used), y=1, yref="paper", xanchor="left", showarrow=False, text=tr("used"))
    return figure
