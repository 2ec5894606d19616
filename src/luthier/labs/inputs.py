"""What goes in and what is between: normalised inputs, activations, layers without one, and many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from luthier.classic.ng import softmax
from luthier.data.preprocess import Preprocess
from luthier.drawing import BLUE, ORANGE, empty_figure
from luthier.engine import Member, Settings, train
from luthier.labs.depth import digits_part
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import ACTIVATIONS, DenseSpec
from luthier.objective import LOSSES
from luthier.rows import Inputs, Rows

BATCH = 32


def _epochs_to(target: float, members: Sequence[Member], part: Rows, epochs: int) -> np.ndarray:
    """The epoch [M] in which the training loss first came to `target`; one more than all where it did not."""
    epoch = -(-len(part) // BATCH)
    table = train(members, part, None, Settings("softmax", "sgd", BATCH, epochs * epoch, epoch)).history.to_frame()
    loss = table.sort("member", "step")["train_loss"].to_numpy().reshape(len(members), -1)
    return np.array([int(np.argmax(row <= target)) + 1 if (row <= target).any() else epochs + 1 for row in loss])


def normalised(bench: Bench) -> None:
    """Badly scaled columns, as they are and normalised by the training rows."""
    training, validation = digits_part()
    scales = 10 ** torch.linspace(-2, 2, 64)[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    raw = training.numbers * scales + 3 * scales
    fitted = Preprocess.fit(raw)
    ready = fitted(raw).float()
    deviations = ((raw - raw.mean(0)) / raw.std(0).clamp_min(1e-12)).abs()
    alive = (raw.std(0) > 0) & (deviations.amax(0) < 10)  # what lies further out is held there
    bench.number("means of the training columns: largest", 0.0, float(ready[:, alive].mean(0).abs().max()), 1e-4)
    bench.number(
        "their variances: farthest from 1", 0.0, float((ready[:, alive].var(0, correction=0) - 1).abs().max()), 1e-3
    )
    bench.holds(
        "a mean for each column over the rows, not for each row",
        fitted.mean.shape == (64,) and bool(torch.allclose(fitted.mean.to(raw), raw.mean(0), rtol=1e-4)),
        Message("{shape} means of {shape_2} numbers", shape=tuple(fitted.mean.shape), shape_2=tuple(raw.shape)),
    )
    flat = Preprocess.fit(torch.full((10, 1), 7.0))(torch.full((3, 1), 7.0))
    bench.number("a column that is always the same becomes 0", 0.0, float(flat.abs().max()), 0.0)
    other = (validation.numbers * scales + 3 * scales) * 5
    Preprocess.fit(raw)(other)
    bench.holds(
        "other rows are normalised with the training rows' statistics",
        bool(torch.equal(Preprocess.fit(raw).mean, fitted.mean)) and bool(fitted(other).mean().abs() > 0.1),
        Message("mean of rows five times as large: {value:.2f}", value=float(fitted(other).mean())),
    )
    spec = DenseSpec(inputs=64, hidden=(30,), outputs=10)
    rates = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    epochs = {}
    for name, rows in (("as they are", raw), ("normalised", ready)):
        members = [Member(spec, seed, rate) for rate in rates for seed in bench.seeds(5, 3)]
        result = _epochs_to(0.2, members, training.with_inputs(numbers=rows), 20)
        epochs[name] = result.reshape(len(rates), -1).mean(1).min()
    bench.holds(
        "networks on normalised columns train faster, each at its best rate",
        bool(epochs["normalised"] < epochs["as they are"] / 2),
        Message(
            "{epochs:.1f} epochs against {epochs_2:.1f} (21: never)",
            epochs=epochs["normalised"],
            epochs_2=epochs["as they are"],
        ),
    )


def activations(bench: Bench) -> None:
    """Every activation's slope, and one made so that it never goes flat."""
    z = torch.linspace(-4, 4, 801, dtype=torch.float64)
    h, worst = 1e-6, 0.0
    figure = empty_figure("z", "slope")
    for name, function in ACTIVATIONS.items():
        slope = function.derivative(z, function.f(z))
        away = z.abs() > 1e-3  # a ReLU has no slope at 0
        differences = (function.f(z + h) - function.f(z - h)) / (2 * h)
        worst = max(worst, float((slope - differences)[away].abs().max()))
        figure.add_scatter(x=z.tolist(), y=slope.tolist(), name=name)
    bench.draw("Slopes of every activation", figure)
    bench.number("slopes against differences, all activations: largest gap", 0.0, worst, 1e-6)
    saturated = torch.tensor([6.0], dtype=torch.float64)
    slopes = {name: float(one.derivative(saturated, one.f(saturated))) for name, one in ACTIVATIONS.items()}
    bench.holds(
        "at 6 a sigmoid is flat and the leaky ReLU is not",
        slopes["sigmoid"] < 0.01 < slopes["leaky relu"],
        ", ".join(f"{name} {slope:.2g}" for name, slope in slopes.items()),
    )
    part = Rows(Inputs(numbers=torch.ones(1, 1)), torch.zeros(1))
    ends = {}
    for name in ("sigmoid", "leaky relu"):
        spec = DenseSpec(inputs=1, hidden=(1,), outputs=1, activation=name)
        shapes = spec.shapes()
        state = {key: torch.full(shape, 6.0 if place < 2 else 1.0) for place, (key, shape) in enumerate(shapes.items())}
        settings = Settings("mse", "sgd", 1, 60, 60)
        frozen = Member(spec, 0, 0.01, momentum=0.0, frozen_until=(0, 10_000))
        after = train([frozen], part, None, settings, initial=[state]).state_dict()
        first = next(iter(shapes))
        ends[name] = float((after[first] - state[first]).abs().max())
    bench.holds(
        "from a bad start a neuron that does not saturate learns, a sigmoid hardly",
        ends["leaky relu"] > 50 * ends["sigmoid"],
        ", ".join(f"{name} moved by {value:.2g}" for name, value in ends.items()),
    )


def deep_lines(bench: Bench) -> None:
    """Layers without an activation are one matrix."""
    spec = DenseSpec(inputs=5, hidden=(7, 6, 4), outputs=3, activation="identity", initialiser="large")
    state = {name: value.double() for name, value in spec.fresh_parameters(0).items()}
    X = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    part = Rows(Inputs(numbers=X), torch.randint(3, (9,)))
    tiny = Settings("softmax", "sgd", 9, 1, 1, dtype=torch.float64)
    result = train([Member(spec, 0, 1e-300, momentum=0.0)], part, None, tiny, initial=[state])
    weights = [value for value in state.values() if value.ndim == 2]
    biases = [value for value in state.values() if value.ndim == 1]
    product, shift = torch.eye(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64)
    for W, b in zip(weights, biases, strict=True):
        product, shift = W @ product, W @ shift + b
    gap = float((result.logits(X)[0].double() - (X @ product.T + shift)).abs().max() / product.abs().max())
    bench.number("four linear layers are one matrix: largest gap", 0.0, gap, 1e-6)
    training, _ = digits_part()
    rows = training.with_inputs(numbers=training.numbers.double())
    gaps = {}
    for name in ("identity", "tanh"):
        deep = DenseSpec(inputs=64, hidden=(12, 9), outputs=10, activation=name)
        steps = 200
        after = train(
            [Member(deep, 0, 0.05)], rows, None, Settings("softmax", "sgd", BATCH, steps, steps, dtype=torch.float64)
        )
        outputs = after.logits(rows.numbers)[0].double()
        design = torch.cat([rows.numbers, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
        solved = torch.linalg.lstsq(design, outputs, driver="gelsd").solution
        gaps[name] = float((design @ solved - outputs).norm() / outputs.norm())
    bench.holds(
        "after training they still are, and tanh layers are not",
        gaps["identity"] < 1e-4 < gaps["tanh"],
        Message(
            "share not explained by a linear map: {gaps:.1e}, with tanh {gaps_2:.2f}",
            gaps=gaps["identity"],
            gaps_2=gaps["tanh"],
        ),
    )


def many_classes(bench: Bench) -> None:
    """From two classes to C: the last layer and the loss."""
    two = DenseSpec(inputs=2, hidden=(16, 16), outputs=1)
    four = DenseSpec(inputs=2, hidden=(16, 16), outputs=4)
    first, second = two.to_json(), four.to_json()
    differing = [name for name in first if first[name] != second[name]]
    bench.holds("only the number of outputs differs, and the loss", differing == ["outputs"], f"{differing}")
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(4, (800,), generator=generator)
    X = torch.randn(800, 2, generator=generator) * 0.6 + 2 * torch.stack([(y % 2) * 2.0 - 1, (y // 2) * 2.0 - 1], 1)
    part = Rows(Inputs(numbers=X), y)
    steps = 10 * 25
    result = train(
        [Member(four, s, 1e-2) for s in bench.seeds(5, 3)], part, None, Settings("softmax", "adam", 32, steps, 25)
    )
    shares = torch.from_numpy(softmax(np.moveaxis(result.logits(X).numpy(), -1, 0))).movedim(0, -1)
    bench.number("four probabilities of a row add up to 1", 1.0, float(shares.sum(-1).mean()), 1e-5)
    right = (shares.argmax(-1) == y).double().mean(1).numpy()
    bench.holds("four classes (other, cat, dog, chick) are learnt", bool((right > 0.97).all()), f"{right.round(3)}")
    table = result.history.to_frame().sort("member", "step")
    losses = table["train_loss"].to_numpy().reshape(len(right), -1)
    bench.holds(
        "the loss falls",
        bool((losses[:, -1] < losses[:, 0] / 3).all()),
        Message("{losses:.2f} to {losses_2:.3f}", losses=losses[:, 0].mean(), losses_2=losses[:, -1].mean()),
    )
    score = torch.tensor([[5.0, 2.0, -1.0, 3.0]], dtype=torch.float64)
    bench.number(
        "loss of the lecture's scores for class 0",
        0.1719,
        float(LOSSES["softmax"].rows(score[None], torch.tensor([0]))),
        5e-5,
    )
    figure = empty_figure("epoch", "training loss")
    figure.add_scatter(x=list(range(1, 11)), y=losses.mean(0), name="four classes", line={"color": BLUE})
    binary = Rows(Inputs(numbers=X), (y > 1).float())
    other = train(
        [Member(two, s, 1e-2) for s in bench.seeds(5, 3)], binary, None, Settings("binary", "adam", 32, steps, 25)
    )
    curve = other.history.to_frame().sort("member", "step")["train_loss"].to_numpy().reshape(len(right), -1).mean(0)
    figure.add_scatter(x=list(range(1, 11)), y=curve, name="two classes", line={"color": ORANGE})
    sides = ((other.logits(X)[..., 0] > 0) == (y > 1)).double().mean(1).numpy()
    bench.holds("two classes are learnt by one output", bool((sides > 0.97).all()), f"{sides.round(3)}")
    bench.draw("The same network by its last layer and loss", figure)


LABS = (
    Lab(
        "normalised-inputs",
        "Normalised inputs",
        "Columns with mean 0 and variance 1 train faster; the statistics are those of the training rows",
        ("S0-09", "S4-28", "S4-29", "S4-30"),
        normalised,
        seconds=3,
    ),
    Lab(
        "activations",
        "Activations",
        "Any differentiable activation works; one that never saturates learns from a bad start",
        ("S1-21", "S2-08"),
        activations,
    ),
    Lab(
        "deep-lines",
        "Deep and linear",
        "Layers without an activation are one matrix, before training and after it",
        ("S1-25",),
        deep_lines,
    ),
    Lab(
        "many-classes",
        "From two classes to many",
        "Only the last layer and the loss change",
        ("S0-25", "S0-30", "S0-33"),
        many_classes,
        seconds=2,
    ),
)
