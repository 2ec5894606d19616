"""Pages that train or push rows through a network: first weights, and overfitting on points in a plane."""

from __future__ import annotations

from functools import lru_cache
from io import StringIO

import numpy as np
import plotly.graph_objects as go
import polars as pl
import torch
from sklearn import datasets

from luthier.drawing import BLUE, GREY, ORANGE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.messages import Message
from luthier.nets import ACTIVATIONS, DenseSpec
from luthier.rows import Inputs, Rows
from luthier.studio.widgets import Page, SelectBox, Shown, Slider, Table, Values, soft

ROWS, HELD_OUT, GRID = 300, 300, 45
MOST_ROWS = 2000  # of a table of one's own
SHOWN_LAYERS = 5
SETS = ("moons", "circles", "clouds", "own CSV")


def first_weights(values: Values) -> Shown:
    """Histograms of activations, layer by layer."""
    units, depth, name = int(values["units"]), int(values["layers"]), values["activation"]
    spread = {"given standard deviation": values["deviation"], "Xavier": units**-0.5, "He": (2 / units) ** 0.5}[
        values["scheme"]
    ]
    generator = torch.Generator().manual_seed(int(values["seed"]))
    x, deviations, layers = torch.randn(ROWS, units, generator=generator), [], []
    for _ in range(depth):
        x = ACTIVATIONS[name].f(x @ (spread * torch.randn(units, units, generator=generator)))
        deviations.append(float(x.std()))
        layers.append(x)
    figure = empty_figure("layer", "activations")
    for k in np.unique(np.linspace(0, depth - 1, min(SHOWN_LAYERS, depth)).round().astype(int)):
        sample = layers[k].flatten()[:: max(1, layers[k].numel() // 2000)]
        figure.add_violin(
            y=sample.clamp(-1e6, 1e6).numpy(),
            name=Message("layer {number}", number=k + 1).spoken(),
            line={"color": BLUE},
            showlegend=False,
        )
    curve = empty_figure("layer", "deviation").update_yaxes(type="log")
    curve.add_scatter(
        x=list(range(1, depth + 1)), y=np.clip(deviations, 1e-12, 1e12), line={"color": ORANGE}, showlegend=False
    )
    flat = (
        float((layers[-1].abs() > 0.99).float().mean())
        if name in ("tanh", "sigmoid")
        else float((layers[-1] == 0).float().mean())
    )
    message = Message("saturated in the last" if name in ("tanh", "sigmoid") else "silent in the last")
    numbers = (
        ("standard deviation of the weights", f"{spread:.4f}"),
        ("first layer", f"{deviations[0]:.3g}"),
        ("last layer", f"{deviations[-1]:.3g}"),
        (message, f"{flat:.0%}"),
    )
    return Shown(
        (("Activations of some layers", soft(figure, 300)), ("Their standard deviation by layer", soft(curve, 260))),
        numbers,
    )


@lru_cache(8)
def points(kind: str, noise: float, seed: int, content: str) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 2], standardised, and their classes. ValueError, in words, for a table that cannot be used."""
    count = ROWS + HELD_OUT
    if kind == "own CSV":
        X, y = _own(content)
    elif kind == "moons":
        X, y = datasets.make_moons(count, noise=noise, random_state=seed)
    elif kind == "circles":
        X, y = datasets.make_circles(count, noise=noise, factor=0.5, random_state=seed)
    else:
        X, y = datasets.make_blobs(
            count, centers=[[-1, -1], [1, 1], [1, -1], [-1, 1]], cluster_std=noise + 0.2, random_state=seed
        )
        y = y // 2
    return (X - X.mean(0)) / np.maximum(X.std(0), 1e-9), y


def _own(content: str) -> tuple[np.ndarray, np.ndarray]:
    if not content:
        raise ValueError(Message("choose a CSV file: two columns of numbers, then a column of two classes"))
    try:
        frame = pl.read_csv(StringIO(content), infer_schema_length=None, n_rows=MOST_ROWS).drop_nulls()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(Message("this is not a CSV file: {error}", error=str(error))) from None
    if frame.width < 3 or not all(kind.is_numeric() for kind in frame.dtypes[:2]):
        raise ValueError(
            Message("two columns of numbers and one of classes are needed, not {found}", found=dict(frame.schema))
        )
    labels = frame.to_series(2).cast(pl.String)
    kinds = labels.unique().sort()
    if len(kinds) != 2 or frame.height < 20:
        raise ValueError(
            Message(
                "two classes and 20 rows are needed, not {classes} and {rows}", classes=len(kinds), rows=frame.height
            )
        )
    order = np.random.default_rng(0).permutation(frame.height)
    X = frame.select(pl.nth(0, 1).cast(pl.Float64)).to_numpy()
    return X[order], (labels == kinds[1]).cast(pl.Int64).to_numpy()[order]


def overfitting(values: Values) -> Shown:
    """A network trained now on few points in a plane, and what it makes of the plane."""
    try:
        X, y = points(values["set"], values["noise"], int(values["seed"]), values["table"])
    except ValueError as error:
        return Shown((), problem=error.args[0])
    rows = min(int(values["rows"]), len(X) * 2 // 3)
    inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    training, held_out = (Rows(Inputs(numbers=inputs[cut]), targets[cut]) for cut in (slice(rows), slice(rows, None)))
    spec = DenseSpec(inputs=2, hidden=(int(values["units"]),) * 2, outputs=1)
    p, steps = values["dropout"], int(values["steps"])
    member = Member(spec, int(values["seed"]), 0.01, l1=values["l1"], l2=values["l2"], dropout=(p, p))
    settings = Settings("binary", "adam", min(32, rows), steps, steps)
    outcome = train([member], training, None, settings)
    reach = float(np.abs(X).max()) * 1.1
    axis = np.linspace(-reach, reach, GRID)
    plane = torch.tensor(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2), dtype=torch.float32)
    shares = torch.sigmoid(outcome.logits(plane)[0, :, 0]).reshape(GRID, GRID)
    figure = empty_figure("x", "y")
    figure.add_trace(
        go.Contour(
            x=axis,
            y=axis,
            z=shares.numpy(),
            zmin=0,
            zmax=1,
            opacity=0.5,
            showscale=False,
            hoverinfo="skip",
            colorscale=[[0, BLUE], [0.5, "rgba(200,200,200,0.2)"], [1, ORANGE]],
        )
    )
    for label, colour in ((0, BLUE), (1, ORANGE)):
        those = X[:rows][y[:rows] == label]
        figure.add_scatter(
            x=those[:, 0],
            y=those[:, 1],
            mode="markers",
            name=Message("class {label}", label=label).spoken(),
            marker={"color": colour, "size": 7, "line": {"color": GREY, "width": 1}},
        )
    parts = (("training", training), ("new points", held_out))
    numbers: list[tuple[str, str]] = []
    for name, part in parts:
        logits = outcome.logits(part.numbers)[0, :, 0]
        right = float(((logits > 0).float() == part.targets).float().mean())
        loss = float(torch.nn.functional.binary_cross_entropy_with_logits(logits, part.targets))
        numbers += [
            (Message("right, {rows}", rows=Message(name)), f"{right:.1%}"),
            (Message("loss, {rows}", rows=Message(name)), f"{loss:.3f}"),
        ]
    weights = torch.cat([v.flatten() for v in outcome.state_dict().values() if v.ndim == 2])
    numbers += [
        ("norm of the weights", f"{float(weights.norm()):.1f}"),
        ("weights close to 0", f"{float((weights.abs() < 1e-2).float().mean()):.0%}"),
    ]
    return Shown((("Predictions over the plane", soft(figure, 440)),), tuple(numbers))


PAGES = (
    Page(
        "weights",
        "First weights",
        "Too small weights make activations vanish with depth, too large ones saturate or explode",
        (
            SelectBox("activation", "activation", ("tanh", "relu", "sigmoid", "gelu"), "tanh"),
            SelectBox(
                "scheme", "first weights", ("given standard deviation", "Xavier", "He"), "given standard deviation"
            ),
            Slider("deviation", "deviation", -3, 0.5, 0.1, -2, log=True),
            Slider("layers", "layers", 1, 20, 1, 10),
            Slider("units", "units", 50, 400, 50, 200),
            Slider("seed", "seed", 0, 20, 1, 0),
        ),
        first_weights,
    ),
    Page(
        "overfitting",
        "Overfitting",
        "A network memorises few points; penalties, dropout and more points smooth the boundary",
        (
            SelectBox("set", "points", SETS, "moons"),
            Slider("rows", "training points", 10, 300, 10, 30),
            Slider("noise", "noise", 0, 0.6, 0.05, 0.3),
            Slider("units", "hidden units", 2, 64, 2, 32),
            Slider("l1", "L1, lambda", 0, 1, 0.02, 0),
            Slider("l2", "L2, lambda", 0, 1, 0.02, 0),
            Slider("dropout", "dropout", 0, 0.8, 0.05, 0),
            Slider("steps", "steps", 20, 400, 20, 300),
            Slider("seed", "seed", 0, 20, 1, 0),
            Table("table", "a CSV file of your own"),
        ),
        overfitting,
    ),
)
