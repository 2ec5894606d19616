"""Training pictures changed by chance: which changes help, and from where on they harm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from luthier.drawing import BLUE, empty_figure
from luthier.engine import Member, ModuleSpec, Settings, train
from luthier.labs.first_look import mosaic
from luthier.labs.lab import DOCUMENT, Bench, Lab
from luthier.labs.mnist import MISSING, digits, some
from luthier.messages import Message
from luthier.nets import Augment
from luthier.optimise import Schedule
from luthier.rows import Rows
from luthier.statistics.paired import of_mean

AFFINE = (("rotation", 10.0), ("shift", 0.04), ("skew", 10.0))
ELASTIC = (("elastic", 1.0), *AFFINE)
BATCH = 64


class AugmentedDense(nn.Sequential):
    """Pictures in, one hidden layer of ReLU units, augmentation in training."""

    def __init__(self, side: int, units: int, chosen: Sequence[tuple[str, float]]) -> None:
        super().__init__(
            Augment(tuple(chosen)), nn.Flatten(), nn.Linear(side * side, units), nn.ReLU(), nn.Linear(units, 10)
        )


def as_pictures(part: Rows) -> Rows:
    """Rows of pixels as pictures [N, 1, S, S]."""
    side = round(part.numbers.shape[1] ** 0.5)
    return part.with_inputs(numbers=part.numbers.view(-1, 1, side, side))


def fives(training: Rows, seed: int = 0) -> np.ndarray:
    """A five in two rows of tiles [8, pixels]: as it is, then rotated by up to 15 degrees, or elastically changed."""
    five = training.numbers[training.targets == 5][:1]
    torch.manual_seed(seed)
    changed = [
        Augment(((name, strength),)).train()(five.repeat(3, 1, 1, 1))
        for name, strength in (("rotation", 15.0), ("elastic", 1.5))
    ]
    pixels: np.ndarray = torch.cat([five, changed[0], five, changed[1]]).flatten(1).numpy()
    return pixels


def accuracy(
    chosen: Sequence[tuple[str, float]], seeds: Sequence[int], training: Rows, test: Rows, *, units: int, epochs: int
) -> np.ndarray:
    """Accuracy in % of a network for each seed, at the end of training."""
    side, result = training.numbers.shape[2], []
    steps = epochs * -(-len(training) // BATCH)
    settings = Settings("softmax", "adam", BATCH, steps, steps, metrics=("accuracy",))
    for seed in seeds:
        torch.manual_seed(seed)
        spec = ModuleSpec(AugmentedDense(side, units, chosen))
        member = Member(spec, seed, 1e-3, schedule=Schedule("cosine", period=steps))
        table = train([member], training, test, settings).history.to_frame()
        result.append(100 * table["accuracy"][-1])
    return np.array(result)


def expansion(bench: Bench) -> None:
    """One wide hidden layer without changes, with affine ones, and with elastic ones."""
    data, seeds = digits(), bench.seeds(2, 2)
    rows, units, epochs = (2000, 300, 40) if bench.quick else (50_000, 800, 12)
    training, test = as_pictures(some(data.training, rows)), as_pictures(data.test)
    if bench.quick:
        bench.note(
            Message(
                "quick: {count} pictures, {units} units, {epochs} epochs",
                count=len(training),
                units=units,
                epochs=epochs,
            )
        )
    title = "A five, then rotated by up to 15 degrees (above) or elastically changed (below)"
    bench.draw(title, mosaic(fives(training), 4))
    result = {
        name: accuracy(chosen, seeds, training, test, units=units, epochs=epochs)
        for name, chosen in (("none", ()), ("affine", AFFINE), ("elastic", ELASTIC))
    }
    message = ", ".join(
        f"{name} {values.mean():.2f} ± {of_mean(values).half_width():.2f} %" for name, values in result.items()
    )
    bench.holds("changed pictures help", result["affine"].mean() > result["none"].mean(), message)
    bench.holds(
        "elastic changes help too",
        result["elastic"].mean() > result["none"].mean(),
        message,
        printed="98.4, 98.9, 99.3 %",
    )
    if not bench.quick:
        bench.holds(
            "and more than affine ones",
            result["elastic"].mean() > result["affine"].mean(),
            message,
            why="in 12 epochs affine changes are learnt and elastic ones, which are harder, not yet",
        )
    if data.is_mnist and not bench.quick:
        why = "ReLU and Adam over 50,000 pictures and 12 epochs, in place of all 60,000 and many more epochs"
        for name, printed in (("none", 98.4), ("affine", 98.9), ("elastic", 99.3)):
            bench.number(
                Message("accuracy, {name}", name=name),
                printed,
                result[name],
                0.2,
                of=DOCUMENT,
                unit=" %",
                why=why,
                between=(97.5, 99.5),
            )
    elif not data.is_mnist:
        bench.note(MISSING)


def too_far(bench: Bench) -> None:
    """Rotation by growing angles."""
    data, seeds = digits(), bench.seeds(3, 2)
    rows, units, epochs = (2000, 60, 10) if bench.quick else (10_000, 100, 20)
    training, test = as_pictures(some(data.training, rows)), as_pictures(some(data.test, 5000))
    angles = (0, 15, 60, 180) if bench.quick else (0, 7, 15, 30, 60, 90, 180)
    means = {
        angle: accuracy(
            (("rotation", float(angle)),) if angle else (), seeds, training, test, units=units, epochs=epochs
        )
        for angle in angles
    }
    best = max(means, key=lambda angle: float(means[angle].mean()))
    message = ", ".join(f"{angle}° {values.mean():.1f} %" for angle, values in means.items())
    bench.holds(
        "digits rotated too far become other digits: accuracy falls beyond some angle",
        means[180].mean() < means[best].mean() - 1 and best <= 30,
        Message("best at {best}°; {message}", best=best, message=message),
    )
    figure = empty_figure("largest angle, degrees", "accuracy, %")
    figure.add_scatter(x=list(means), y=[float(v.mean()) for v in means.values()], line={"color": BLUE})
    bench.draw("How far a training picture may be rotated", figure)


LABS = (
    Lab(
        "expansion",
        "Artificial expansion",
        "Rotated, shifted, skewed and elastically distorted training pictures help",
        ("S1-111", "S1-112"),
        expansion,
        seconds=40,
        needs_mnist=True,
    ),
    Lab(
        "turned-too-far",
        "Rotated too far",
        "Beyond some angle, rotation changes which digit it is and harms",
        ("S1-114",),
        too_far,
        seconds=20,
        needs_mnist=True,
    ),
)
