"""What the report draws of a designed experiment: the effects of its factors, and the answers to the questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from luthier.drawing import BLUE, GREEN, GREY, ORANGE, add_interval, empty_figure, error_bars
from luthier.recipe.decisions.experiment import ExperimentEvidence, factor_name
from luthier.recipe.decisions.question_answers import AnswerEvidence

ANSWER_COLOURS = {"helps": GREEN, "hurts": ORANGE, "no-difference": BLUE, "unknown": GREY}
EDGE = 100.0  # percent of the loss, where intervals that are longer are cut and an arrow stands


class IntervalRow(NamedTuple):
    """A line of a figure: its name, middle and ends in percent of the loss, its colour and what it says."""

    name: str
    middle: float
    low: float
    high: float
    colour: str
    said: str = ""


def effect_rows(evidence: ExperimentEvidence) -> list[IntervalRow]:
    """Effects from low to high with two standard errors, the largest first."""
    ordered = sorted(evidence.effects, key=lambda one: -abs(one.size))
    return [
        IntervalRow(
            factor_name(one.name),
            100 * one.size,
            100 * (one.size - 2 * one.error),
            100 * (one.size + 2 * one.error),
            BLUE if abs(one.size) > 2 * one.error else GREY,
        )
        for one in ordered
    ]


def answer_rows(answers: Sequence[tuple[AnswerEvidence, str, str]]) -> list[IntervalRow]:
    """The gain of each thing with its interval, in the order of the questions: evidence, choice, and words."""
    result = []
    for evidence, choice, said in answers:
        if evidence.low is not None and evidence.high is not None and abs(100 * evidence.size) <= EDGE:
            name, size, low, high = factor_name(evidence.question), evidence.size, evidence.low, evidence.high
            result.append(IntervalRow(name, 100 * size, 100 * low, 100 * high, ANSWER_COLOURS[choice], said))
    return result


def draw_intervals(rows: Sequence[IntervalRow], title: str, margin: float | None = None) -> go.Figure:
    """Middles with their intervals, one line each, the first on top; a band within the margin.

    Of an interval that goes beyond the figure's edge an arrow stands there.
    """
    figure = empty_figure(title, "")
    if margin is not None:
        figure.add_vrect(x0=-100 * margin, x1=100 * margin, fillcolor=GREY, opacity=0.12, line_width=0)
    for row in reversed(rows):
        low, high = max(row.low, -EDGE), min(row.high, EDGE)
        beyond = {-EDGE: "triangle-left"} if row.low < -EDGE else {}
        beyond |= {EDGE: "triangle-right"} if row.high > EDGE else {}
        bars = error_bars([high - row.middle], [row.middle - low], row.colour)
        marker = {"size": 10, "color": row.colour}
        add_interval(figure, row.name, row.middle, bars, marker, f"{row.said or row.name}: %{{x:.3g}} %")
        if beyond:
            figure.add_scatter(
                x=list(beyond),
                y=[row.name] * len(beyond),
                mode="markers",
                marker={"size": 9, "color": row.colour, "symbol": list(beyond.values())},
                showlegend=False,
                hovertemplate=f"{row.low:.3g} % ... {row.high:.3g} %<extra></extra>",
            )
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot"})
    return figure.update_layout(height=100 + 30 * len(rows))
