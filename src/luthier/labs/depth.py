"""Depth with and without skips, and what depth does to the first layer's values."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import DenseSpec
from luthier.rows import Inputs, Rows

UNITS, EPOCHS, BATCH = 32, 12, 32


def digits_part() -> tuple[Rows, Rows]:
    """The 8 x 8 digits that scikit-learn brings, standardised: training and validation rows."""
    result = load_digits()
    X = torch.tensor(result.data, dtype=torch.float32)
    X = (X - X[:1300].mean(0)) / X[:1300].std(0).clamp_min(0.5)
    y = torch.tensor(result.target)
    return Rows(Inputs(numbers=X[:1300]), y[:1300]), Rows(Inputs(numbers=X[1300:]), y[1300:])


def skips(bench: Bench) -> None:
    """Training loss by depth, all depths over the same seeds; layers are normalised, or sums of many would explode."""
    training, validation = digits_part()
    depths = (1, 4, 16, 32) if bench.quick else (1, 2, 4, 8, 16, 32, 48)
    steps = EPOCHS * -(-len(training) // BATCH)
    settings = Settings("softmax", "adam", BATCH, steps, steps // EPOCHS)
    result: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for depth in depths:
        for residual, rows in result.items():
            spec = DenseSpec(inputs=64, hidden=(UNITS,) * depth, outputs=10, residual=residual, layer_norm=True)
            members = [Member(spec, seed, 1e-3) for seed in bench.seeds(5, 3)]
            table = train(members, training, validation, settings).history.to_frame().sort("member", "step")
            rows.append(table.group_by("member", maintain_order=True).last()["train_loss"].to_numpy())
    plain, skipped = (np.array([row.mean() for row in result[residual]]) for residual in (False, True))
    message = ", ".join(f"{d}: {a:.3f} and {b:.3f}" for d, a, b in zip(depths, plain, skipped, strict=True))
    bench.holds(
        "without skips a very deep network fits the training set worse than a shallow one",
        plain[-1] > 2 * plain.min(),
        Message("training loss by layers, without and with skips: {message}", message=message),
    )
    bench.holds(
        "with skips it does not",
        skipped[-1] < plain[-1] / 2,
        Message("{plain:.3f} to {skipped:.3f}", plain=plain[-1], skipped=skipped[-1]),
    )
    figure = empty_figure("hidden layers", "training loss").update_xaxes(type="log").update_yaxes(type="log")
    for losses, name, colour in ((plain, "without skips", ORANGE), (skipped, "with skips", BLUE)):
        figure.add_scatter(x=list(depths), y=losses, name=name, mode="lines+markers", line={"color": colour})
    bench.draw("Skip connections keep the benefit of depth", figure)


LABS = (
    Lab(
        "skips",
        "Depth, with and without skips",
        "A very deep network trains only with skip connections",
        ("S4-07",),
        skips,
        seconds=8,
    ),
)
