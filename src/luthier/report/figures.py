"""The report's figures: one function gives the numbers, another draws them."""

from __future__ import annotations

from itertools import cycle
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import polars as pl

from luthier.assess import (
    ColumnImportance,
    Confusion,
    Dependence,
    DriftRow,
    PastCheck,
    PredictedPoints,
    Reliability,
    Scores,
    TrialFacts,
)
from luthier.drawing import BLUE, GREEN, GREY, ORANGE, PURPLE, add_interval, empty_figure, error_bars
from luthier.messages import tr
from luthier.recipe.decisions.data_need import MoreRowsEvidence
from luthier.recipe.decisions.remedy import RemedyEvidence, remedy_name
from luthier.records import Measure

RULE_COLOURS = {"adam": BLUE, "sgd": ORANGE}
RULE_NAMES = {"adam": "Adam", "sgd": "SGD with momentum"}
MARKS = {"constant": "circle", "cosine": "diamond", "restarts": "x", "coslog4": "x", "exponential": "square"}
MANY_LABELS, MOST_LABELS = 12, 60  # up to which counts are written into a matrix; and up to which it is drawn whole


class Curves(NamedTuple):
    """Learning curves of the best member: steps, losses, and the step whose weights were kept."""

    steps: list[int]
    training: list[float]
    validation: list[float]
    best_step: int

    @property
    def kept(self) -> float:
        """The validation loss of the weights that were kept."""
        return self.validation[self.steps.index(self.best_step)]


def learning_curves(history: pl.DataFrame, *, complete: bool = False) -> Curves:
    """The curves of the member with the lowest validation loss in a population's history.

    Of `complete` trainings it is the loss at their end, whose weights are kept.
    """
    known = history.filter(pl.col("validation_loss").is_finite())
    ends = known.filter(pl.col("step") == pl.col("step").max()) if complete else known
    best = ends.sort("validation_loss", "step").row(0, named=True)
    rows = known.filter(pl.col("member") == best["member"]).sort("step")
    return Curves(rows["step"].to_list(), rows["train_loss"].to_list(), rows["validation_loss"].to_list(), best["step"])


def draw_curves(curves: Curves) -> go.Figure:
    """Training and validation loss against the step, the kept weights marked."""
    figure = empty_figure(tr("step"), tr("loss"))
    figure.add_scatter(x=curves.steps, y=curves.training, name=tr("training"), line={"color": BLUE})
    figure.add_scatter(x=curves.steps, y=curves.validation, name=tr("validation"), line={"color": ORANGE})
    mark = {"color": ORANGE, "size": 11, "symbol": "circle-open", "line": {"width": 2}}
    figure.add_scatter(x=[curves.best_step], y=[curves.kept], name=tr("weights kept"), mode="markers", marker=mark)
    return figure.update_yaxes(type="log")


def draw_trials(trials: list[TrialFacts]) -> go.Figure:
    """Every member trained: rate against validation loss, coloured by optimiser, shaped by schedule."""
    figure = empty_figure(tr("learning rate"), tr("best validation loss"))
    figure.update_xaxes(type="log").update_yaxes(type="log")
    for rule in dict.fromkeys(trial.rule for trial in trials):
        rows = [trial for trial in trials if trial.rule == rule and trial.validation_loss == trial.validation_loss]
        figure.add_scatter(
            x=[row.learning_rate for row in rows],
            y=[row.validation_loss for row in rows],
            mode="markers",
            name=tr(RULE_NAMES.get(rule, rule)),
            marker={
                "color": RULE_COLOURS.get(rule, GREEN),
                "symbol": [MARKS.get(row.schedule, "circle") for row in rows],
                "size": 8,
                "opacity": 0.75,
            },
            text=[f"{row.population}<br>{row.label}<br>{row.status}" for row in rows],
            hovertemplate="%{text}<br>"
            + tr("rate {rate}, loss {loss}", rate="%{x:.3g}", loss="%{y:.4g}")
            + "<extra></extra>",
        )
    return figure


def draw_confusion(confusion: Confusion) -> go.Figure:
    """Rows are true classes, columns predicted ones; colour is the share of the row.

    Of more than `MOST_LABELS` classes those with the most mistakes are drawn.
    """
    counts, labels = np.asarray(confusion.matrix), [str(label)[:24] for label in confusion.labels]
    totals = counts.sum(1, keepdims=True)
    mistakes = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    drawn = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_LABELS])
    shares = (counts / np.where(totals == 0, 1, totals))[np.ix_(drawn, drawn)].tolist()
    labels = [labels[place] for place in drawn]
    few = len(labels) <= MANY_LABELS
    figure = empty_figure(tr("predicted"), tr("true"))
    figure.add_heatmap(
        z=shares,
        x=labels,
        y=labels,
        zmin=0,
        zmax=1,
        colorscale=[[0, "rgba(0,114,178,0.03)"], [1, "rgba(0,114,178,1)"]],
        hovertemplate=tr("true {true}, predicted {predicted}", true="%{y}", predicted="%{x}")
        + ": %{z:.1%}<extra></extra>",
        showscale=False,
    )
    if few:
        _write_counts(figure, confusion.matrix, labels, shares, dark=True)
        _write_counts(figure, confusion.matrix, labels, shares, dark=False)
    figure.update_xaxes(type="category").update_yaxes(type="category", autorange="reversed")
    return figure.update_layout(height=420 if few else 620)


def _write_counts(
    figure: go.Figure, matrix: list[list[float]], labels: list[str], shares: list[list[float]], *, dark: bool
) -> None:
    """Counts on dark cells in white; those on pale cells take the colour of the page's text."""
    cells = [
        (labels[true], labels[predicted], count)
        for true, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if count and (shares[true][predicted] > 0.5) == dark
    ]
    figure.add_scatter(
        x=[predicted for _, predicted, _ in cells],
        y=[true for true, _, _ in cells],
        text=[f"{count:.4g}" if count % 1 else f"{count:.0f}" for _, _, count in cells],
        mode="text",
        textfont={"color": "white"} if dark else None,
        hoverinfo="skip",
        showlegend=False,
    )


def draw_predicted(points: PredictedPoints) -> go.Figure:
    """Predicted against true values of the test part, with the line of perfect predictions."""
    figure = empty_figure(tr("true"), tr("predicted"))
    ends = [min(points.true + points.predicted), max(points.true + points.predicted)]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dot"}, name=tr("perfect"))
    marker = {"color": BLUE, "size": 5, "opacity": 0.4}
    figure.add_scatter(x=points.true, y=points.predicted, mode="markers", marker=marker, name=tr("test rows"))
    return figure


def draw_calibration(calibration: Reliability) -> go.Figure:
    """Accuracy within bins of confidence; the size of a mark is the number of rows."""
    figure = empty_figure(tr("confidence"), tr("accuracy"))
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, name=tr("perfect"))
    bins = calibration.bins
    most = max(row.count for row in bins)
    figure.add_scatter(
        x=[row.confidence for row in bins],
        y=[row.accuracy for row in bins],
        mode="markers",
        name=tr("test rows"),
        marker={"color": BLUE, "size": [6 + 22 * (row.count / most) ** 0.5 for row in bins]},
        text=[tr("{count} rows", count=row.count) for row in bins],
        hovertemplate=tr("confidence {x}, accuracy {y}", x="%{x:.2f}", y="%{y:.2f}") + ", %{text}<extra></extra>",
    )
    return figure.update_xaxes(range=[-0.03, 1.04]).update_yaxes(range=[-0.06, 1.08])


def draw_baselines(scores: Scores) -> go.Figure:
    """The network beside the baselines on the test part, with intervals."""
    rows: list[tuple[str, Measure, str]] = [(tr("the network"), scores.headline, BLUE)]
    rows += [(tr(row.name), row.test, GREY) for row in scores.baselines]
    rows = [row for row in rows if row[1].value == row[1].value]
    figure = empty_figure(tr(scores.metric), "")
    for name, measure, colour in reversed(rows):
        value, low, high = measure.value, measure.low, measure.high
        bars = error_bars([0 if high is None else high - value], [0 if low is None else value - low], colour)
        add_interval(figure, name, value, bars, {"size": 11, "color": colour}, "%{y}: %{x:.4g}")
    return figure.update_layout(height=90 + 45 * len(rows))


def draw_drift(rows: list[DriftRow], most: int = 20) -> go.Figure:
    """Distance of each column from the training rows, the threshold beside it; the farthest columns."""
    shown = sorted(rows, key=lambda row: row.value / row.threshold)[-most:]
    names = [f"{row.column[:28]} · {row.statistic.split(',')[0]}" for row in shown]
    figure = empty_figure(tr("distance from training"), "")
    colours = [ORANGE if row.drifted else BLUE for row in shown]
    figure.add_bar(
        x=[row.value for row in shown], y=names, orientation="h", marker={"color": colours}, showlegend=False
    )
    mark = {"symbol": "line-ns-open", "size": 16, "color": GREY}
    figure.add_scatter(x=[row.threshold for row in shown], y=names, mode="markers", marker=mark, name=tr("threshold"))
    return figure.update_layout(height=120 + 26 * len(shown))


def draw_checks(checks: list[PastCheck], name: str, test: Measure | None) -> go.Figure:
    """The score of each check with its interval, coloured by its verdict, beside the interval of the test score."""
    figure = empty_figure(tr("check"), name)
    known = [(one, one.score) for one in checks if one.score is not None]
    scored = [(one, score) for one, score in known if score.name == name and score.low is not None]
    for level, colour in (("fine", BLUE), ("watch", ORANGE), ("act", PURPLE)):
        some = [(one, score) for one, score in scored if one.level == level]
        values, lows, highs = ([getattr(score, part) for _, score in some] for part in ("value", "low", "high"))
        moments = [one.at[:19] for one, _ in some]
        error = error_bars(np.subtract(highs, values).tolist(), np.subtract(values, lows).tolist())
        figure.add_scatter(x=moments, y=values, error_y=error, mode="markers", name=tr(level), marker={"color": colour})
    if test is not None and test.low is not None:
        figure.add_hrect(y0=test.low, y1=test.high, fillcolor=GREY, opacity=0.15, line_width=0)
    return figure


class RungRow(NamedTuple):
    """A remedy of a ladder: the best of what it tried, and what that gained."""

    remedy: str
    option: str
    before: float
    after: float
    gain: float
    half_width: float
    verdict: str


def rung_row(remedy: RemedyEvidence, choice: int | None) -> RungRow | None:
    """A remedy as a row; None for the first, which had nothing to be compared with."""
    tried = [one for one in remedy.variants if one.gain is not None and one.gain.half_width is not None]
    if remedy.before is None or not tried:
        return None
    best = min(tried, key=lambda one: one.loss)
    assert best.gain is not None
    gain, half = best.gain.gain or 0.0, best.gain.half_width or 0.0
    verdict = "kept" if choice is not None else "worse" if best.gain.clear else "inside the noise"
    return RungRow(remedy_name(remedy.rung), best.label, remedy.before.loss, best.loss, gain, half, verdict)


def draw_ladder(rows: list[RungRow]) -> go.Figure:
    """The gain of each remedy with its interval, first to last; what stayed is filled."""
    figure = empty_figure(tr("gain in validation loss"), "")
    for row in reversed(rows):
        colour = GREEN if row.verdict == "kept" else GREY
        marker = {"size": 11, "color": colour, "symbol": "circle" if row.verdict == "kept" else "circle-open"}
        bars = {"type": "data", "array": [row.half_width], "color": colour}
        add_interval(figure, row.remedy, row.gain, bars, marker, f"{row.option}: %{{x:.4g}}")
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot"})
    return figure.update_layout(height=90 + 36 * len(rows))


def draw_more_rows(found: MoreRowsEvidence) -> go.Figure:
    """Losses of every seed over the number of training rows, the power law through them, twice as many rows."""
    rows, law = found.rows, found.law
    figure = empty_figure(tr("training rows"), tr("validation loss")).update_xaxes(type="log")
    for size, values in zip(rows, found.losses, strict=True):
        figure.add_scatter(x=[size] * len(values), y=values, mode="markers", marker={"color": BLUE}, showlegend=False)
    last = rows[-1] * found.factor
    sizes = [rows[0] * (last / rows[0]) ** (i / 40) for i in range(41)]
    curve = [law.floor + law.scale * n**-law.exponent for n in sizes]
    figure.add_scatter(x=sizes, y=curve, mode="lines", name=tr("power law"), line={"color": ORANGE})
    mark = {"color": ORANGE, "size": 11, "symbol": "circle-open", "line": {"width": 2}}
    return figure.add_scatter(x=[last], y=[curve[-1]], mode="markers", marker=mark, name=tr("with twice as many rows"))


def draw_importance(rows: list[ColumnImportance]) -> go.Figure:
    """How much the metric drops without each column, with the spread over shuffles."""
    figure = empty_figure(tr("drop when shuffled"), "")
    shown = rows[::-1]
    figure.add_bar(
        x=[row.drop for row in shown],
        y=[row.column[:28] for row in shown],
        orientation="h",
        marker={"color": BLUE},
        error_x={"type": "data", "array": [row.spread for row in shown], "color": GREY},
        showlegend=False,
    )
    return figure.update_layout(height=90 + 26 * len(rows))


def draw_dependence(found: Dependence, *, shares: bool) -> go.Figure:
    """The mean answer by the values that a column is set to: a value with its band, or a probability for each class.

    Probabilities (`shares`) have no band: rows of a class are told at 0 or 1 whatever one column says.
    """
    names = list(dict.fromkeys(row.of for row in found.rows))
    answer = names[0] if len(names) == 1 else ""
    if shares:
        answer = tr("probability of {name}", name=answer) if answer else tr("probability")
    figure = empty_figure(found.column[:40], answer[:30])
    for name, colour in zip(names, cycle((BLUE, ORANGE, GREEN, PURPLE, GREY)), strict=False):
        rows = [row for row in found.rows if row.of == name]
        x, mean = [row.value for row in rows], [row.mean for row in rows]
        if found.kind != "number":
            spread = error_bars([row.high - row.mean for row in rows], [row.mean - row.low for row in rows], GREY)
            points = {"x": [str(one) for one in x], "y": mean, "name": str(name)}
            figure.add_scatter(**points, mode="markers", marker={"color": colour}, error_y=None if shares else spread)
            continue
        if not shares:
            ends = [row.high for row in rows] + [row.low for row in reversed(rows)]
            figure.add_scatter(
                x=x + x[::-1],
                y=ends,
                fill="toself",
                mode="none",
                fillcolor="rgba(66,133,244,0.15)",
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(x=x, y=mean, name=str(name), mode="lines", line={"color": colour})
    return figure.update_layout(height=280, showlegend=len(names) > 1)
