"""A first look at the digits, and how short a program can be that recognises them."""

from __future__ import annotations

import io
import tokenize
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch

from luthier.classic import network
from luthier.drawing import empty_figure
from luthier.engine import Settings, train
from luthier.labs.lab import Bench, Lab
from luthier.labs.mnist import BATCH, MISSING, digits, members, some
from luthier.messages import Message

ROW = (5, 0, 4, 1, 9, 2)  # how the training set begins, and the row of digits that the book opens with


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no comments, no docstrings, no empty lines."""
    held: set[int] = set()
    source = path.read_text()
    last = tokenize.NEWLINE
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        docstring = token.type == tokenize.STRING and last in (tokenize.NEWLINE, tokenize.INDENT, tokenize.NL)
        if token.type not in skipped and not docstring:
            held.update(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            last = token.type
    return len(held)


def mosaic(rows: np.ndarray, across: int) -> go.Figure:
    """Pictures [N, pixels] side by side."""
    side = int(rows.shape[1] ** 0.5)
    tiles = rows.reshape(-1, across, side, side).swapaxes(1, 2).reshape(-1, across * side)
    figure = empty_figure("", "")
    figure.add_heatmap(z=tiles[::-1], colorscale="Greys", showscale=False, hoverinfo="skip")
    figure.update_layout(height=80 + 46 * len(rows) // across, margin={"l": 10, "r": 10, "t": 10, "b": 10})
    return figure.update_xaxes(visible=False).update_yaxes(visible=False, scaleanchor="x")


def look(bench: Bench) -> None:
    """A hundred training digits, the row 504192 predicted by a network trained without it, the program's length."""
    data = digits()
    pictures, labels = data.training.numbers.numpy(), data.training.targets.numpy()
    bench.draw("A hundred training digits", mosaic(pictures[:100], 10))
    part = data.training.rows(torch.arange(100, min(10_000, len(labels)) if bench.quick else len(labels)))
    steps = 3 * -(-len(part) // BATCH)
    seeds = bench.seeds(5, 3)
    result = train(
        members(seeds, pictures.shape[1], 30, 0.5), part, None, Settings("binary", "sgd", BATCH, steps, steps)
    )
    shown = some(data.training, 6)
    told = result.logits(shown.numbers).argmax(-1)
    right = (told == shown.targets).double().mean(1).numpy()
    if data.is_mnist:
        bench.holds(
            "the training set begins with 5 0 4 1 9 2", tuple(labels[:6].tolist()) == ROW, f"{labels[:6].tolist()}"
        )
    else:
        bench.note(MISSING)
    bench.draw("The first row", mosaic(pictures[:6], 6))
    bench.holds(
        "networks trained without that row predict most of it",
        right.mean() >= 0.8,
        "; ".join("".join(map(str, row)) for row in told.tolist()),
    )
    count = lines_of_code(Path(network.__file__))
    bench.holds(
        "the program is about as short as the book claims",
        count <= 100,
        Message("{count} lines of code", count=count),
        printed="74",
    )


LABS = (
    Lab(
        "first-look",
        "A first look",
        "A short program learns to recognise digits from examples, without hand-written rules",
        ("S1-01", "S1-02"),
        look,
        seconds=2,
        needs_mnist=True,
    ),
)
