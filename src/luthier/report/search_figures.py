"""The figures of a search: one function gives the numbers, another draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go
import polars as pl

from luthier.drawing import BLUE, GREEN, GREY, ORANGE, empty_figure, error_bars
from luthier.messages import tr
from luthier.saved.search_schemas import BoxFacts, ShareFacts
from luthier.search import Choice, Space

MOST_CURVES = 150
MOST_LINES = 400  # of the parallel coordinates
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Progress(NamedTuple):
    """Values by trial, and the best so far."""

    numbers: list[int]
    values: list[float]
    best: list[float]


def progress(trials: pl.DataFrame) -> Progress:
    """Whole trials in the order of asking, and the lowest value up to each."""
    known = trials.filter((pl.col("status") == "complete") & pl.col("value").is_finite())
    values = known["value"].to_list()
    best = known["value"].cum_min().to_list()
    return Progress(known["number"].to_list(), values, best)


def draw_progress(numbers: Progress) -> go.Figure:
    """Each trial's value, and the best so far as a line."""
    figure = empty_figure(tr("trial"), tr("validation loss"))
    marker = {"color": BLUE, "size": 6, "opacity": 0.5}
    figure.add_scatter(x=numbers.numbers, y=numbers.values, mode="markers", marker=marker, name=tr("trials"))
    line = {"color": ORANGE, "shape": "hv"}
    figure.add_scatter(x=numbers.numbers, y=numbers.best, mode="lines", line=line, name=tr("best so far"))
    return figure.update_yaxes(type="log")


def shares_of(trials: pl.DataFrame, space: Space, name: str) -> list[float | None]:
    """Where each trial's value of a dimension lies in its range, from 0 to 1; None where it does not count."""
    dimension = space.dimensions[name]
    known = set(dimension.options) if isinstance(dimension, Choice) else None
    return [
        None if value is None or (known is not None and value not in known) else dimension.share(value)
        for value in trials[name].to_list()
    ]


def ticks_of(space: Space, name: str) -> tuple[list[float], list[str]]:
    """Places and texts of a dimension's axis."""
    dimension = space.dimensions[name]
    if isinstance(dimension, Choice):
        return [dimension.share(option) for option in dimension.options], [str(option) for option in dimension.options]
    values = [dimension.at(share) for share in TICKS]
    return list(TICKS), [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]


def draw_slice(trials: pl.DataFrame, space: Space, name: str) -> go.Figure:
    """Values of the trials along one hyper-parameter, on its own scale."""
    figure = empty_figure(name, tr("validation loss"))
    indices = shares_of(trials, space, name)
    for status, colour, title in (("pruned", GREY, tr("cut early")), ("complete", BLUE, tr("whole"))):
        rows = [
            (place, value)
            for place, value, state in zip(indices, trials["value"].to_list(), trials["status"].to_list(), strict=True)
            if place is not None and state == status and value is not None and math.isfinite(value)
        ]
        if rows:
            x, y = zip(*rows, strict=True)
            marker = {"color": colour, "size": 6, "opacity": 0.55}
            figure.add_scatter(x=list(x), y=list(y), mode="markers", marker=marker, name=title)
    at, texts = ticks_of(space, name)
    figure.update_xaxes(range=[-0.04, 1.04], tickvals=at, ticktext=texts)
    return figure.update_yaxes(type="log").update_layout(height=280)


def draw_parallel(trials: pl.DataFrame, space: Space) -> go.Figure:
    """Whole trials as lines through all hyper-parameters, coloured by the rank of their value."""
    known = trials.filter((pl.col("status") == "complete") & pl.col("value").is_finite()).sort("value")
    shown = known.head(MOST_LINES)
    count = shown.height
    axes = []
    for name in space.dimensions:
        indices = shares_of(shown, space, name)
        at, texts = ticks_of(space, name)
        filled = [space.dimensions[name].share(space.dimensions[name].middle()) if p is None else p for p in indices]
        axes.append(
            {"label": name.replace("_", " "), "values": filled, "range": [0, 1], "tickvals": at, "ticktext": texts}
        )
    losses = shown["value"].log10().to_list()
    axes.append({"label": tr("log10 loss"), "values": losses})
    colours = [[0.0, BLUE], [0.5, "#CCCCCC"], [1.0, ORANGE]]
    line = {"color": list(range(count)), "colorscale": colours, "cmin": 0, "cmax": max(1, count - 1)}
    figure = go.Figure(go.Parcoords(line=line, dimensions=axes))
    figure.update_layout(
        template="none",
        height=380,
        margin={"l": 70, "r": 40, "t": 56, "b": 24},
        paper_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12},
    )
    return figure


class Nested(NamedTuple):
    """Boxes in the plane of two dimensions, in shares of their ranges, outermost first."""

    x: str
    y: str
    boxes: list[tuple[float, float, float, float]]


def nested_boxes(boxes: Sequence[BoxFacts], space: Space) -> Nested | None:
    """The boxes of a coarse-to-fine search along its first two numbers; None where there are none."""
    if not boxes:
        return None
    stage = boxes[-1]["stage"]
    result = [entry["box"] for entry in boxes if entry["stage"] == stage]
    names = [name for name in result[0] if not isinstance(space.dimensions[name], Choice)][:2]
    if not names:
        return None
    x, y = names[0], names[-1]
    edges = [(*box[x], *(box[y] if y != x else (0.0, 1.0))) for box in result]
    return Nested(x, y, list(dict.fromkeys(edges)))


def draw_boxes(nested: Nested, trials: pl.DataFrame, space: Space) -> go.Figure:
    """Nested boxes with the trials that were drawn in them."""
    figure = empty_figure(nested.x, nested.y if nested.y != nested.x else "")
    xs, ys = shares_of(trials, space, nested.x), shares_of(trials, space, nested.y)
    marker = {"color": GREY, "size": 5, "opacity": 0.6}
    figure.add_scatter(x=xs, y=ys, mode="markers", marker=marker, name=tr("trials"))
    for place, (x0, x1, y0, y1) in enumerate(nested.boxes):
        line = {"color": (BLUE, GREEN, ORANGE)[place % 3], "width": 2}
        name = tr("generation {number}", number=place + 1)
        figure.add_scatter(x=[x0, x1, x1, x0, x0], y=[y0, y0, y1, y1, y0], mode="lines", line=line, name=name)
    for name, update in ((nested.x, figure.update_xaxes), (nested.y, figure.update_yaxes)):
        at, texts = ticks_of(space, name)
        update(range=[-0.04, 1.04], tickvals=at, ticktext=texts)
    return figure


def draw_rungs(trials: pl.DataFrame) -> go.Figure:
    """Validation losses along the training: trials that were cut end at their rung."""
    figure = empty_figure(tr("step"), tr("validation loss")).update_yaxes(type="log")
    shown = trials.filter(pl.col("curve_steps").list.len() > 0).head(MOST_CURVES)
    for status, colour, title in (("pruned", GREY, tr("cut at a rung")), ("complete", BLUE, tr("trained to the end"))):
        xs: list[float | None] = []
        ys: list[float | None] = []
        for row in shown.filter(pl.col("status") == status).iter_rows(named=True):
            xs += [*row["curve_steps"], None]
            ys += [*(loss if loss is not None and math.isfinite(loss) else None for loss in row["curve_losses"]), None]
        if xs:
            line = {"color": colour, "width": 1.2}
            look = {"mode": "lines+markers", "marker": {"size": 3}, "line": line, "opacity": 0.6}
            figure.add_scatter(x=xs, y=ys, **look, name=title, connectgaps=False)
    return figure


def draw_sensitivity(table: Sequence[ShareFacts]) -> go.Figure:
    """Shares of the variance with their intervals, largest on top."""
    rows = list(reversed(table))
    figure = empty_figure(tr("share of the variance"), "")
    figure.add_bar(
        x=[row["share"] for row in rows],
        y=[tr("{name} (tier {tier})", name=row["name"], tier=row["tier"]) for row in rows],
        orientation="h",
        marker={"color": BLUE},
        error_x=error_bars(
            [max(0.0, row["high"] - row["share"]) for row in rows],
            [max(0.0, row["share"] - row["low"]) for row in rows],
            GREY,
        ),
        showlegend=False,
    )
    return figure.update_xaxes(range=[0, 1]).update_layout(height=110 + 30 * len(rows))
