"""Training signals changed by chance: recordings of one kind, for hearing those of another. B signals, T steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import pi

import numpy as np
import torch
from torch import Tensor, nn

from luthier.drawing import BLUE, empty_figure
from luthier.engine import Member, ModuleSpec, Settings, train
from luthier.labs.lab import Bench, Lab
from luthier.messages import Message
from luthier.nets import AugmentSignals
from luthier.optimise import Schedule
from luthier.rows import Inputs, Rows
from luthier.seeds import torch_generator
from luthier.statistics.paired import of_mean

LENGTH, TRAINED, HEARD, BATCH = 128, 48, 400, 16
TONES = ((4, 4), (4, 8), (8, 4), (8, 8))  # periods of the first half and of the second, by class
CHANGES = {"speed": 0.3, "shift": 0.1, "loudness": 0.5, "noise": 0.8}


class Listener(nn.Sequential):
    """Signals [B, 1, T] in, changes in training, two layers of filters, their means, an output for each word."""

    def __init__(self, chosen: Mapping[str, float]) -> None:
        super().__init__(
            AugmentSignals(dict(chosen)),
            *(nn.Conv1d(1, 12, 17, stride=4), nn.ReLU(), nn.Conv1d(12, 12, 5, stride=2), nn.ReLU()),
            *(nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(48, len(TONES))),
        )


def words(rows: int, seed: int, *, speed: float, noise: float) -> Rows:
    """Words of two tones each, said up to a share `speed` faster or slower, in noise of this deviation."""
    generator = torch_generator(seed, "words", f"{speed} {noise}")
    targets = torch.arange(rows) % len(TONES)
    pace, phase, louder = (torch.rand(rows, 1, generator=generator) * 2 - 1 for _ in range(3))
    periods = torch.tensor(TONES, dtype=torch.float32)[targets].repeat_interleave(LENGTH // 2, 1)
    signals = torch.sin(2 * pi * (periods / LENGTH * (1 + speed * pace)).cumsum(1) + pi * phase) * (1 + 0.3 * louder)
    heard = signals + noise * torch.randn(rows, LENGTH, generator=generator)
    return Rows(Inputs(numbers=heard.unsqueeze(1)), targets)


def accuracy(chosen: Mapping[str, float], seeds: Sequence[int], epochs: int, test: Rows) -> np.ndarray:
    """Accuracy in % of a network for each seed, trained on few words from a quiet room, said at one speed."""
    steps = epochs * TRAINED // BATCH
    settings = Settings("softmax", "adam", BATCH, steps, steps, metrics=("accuracy",))
    result = []
    for seed in seeds:
        torch.manual_seed(seed)
        member = Member(ModuleSpec(Listener(chosen)), seed, 5e-3, schedule=Schedule("cosine", period=steps))
        table = train([member], words(TRAINED, seed, speed=0.02, noise=0.1), test, settings).history.to_frame()
        result.append(100 * table["accuracy"][-1])
    return np.array(result)


def smoothed(part: Rows, width: int) -> Rows:
    """The signals cleaned: each step the mean of those around it."""
    cleaned: Tensor = nn.functional.avg_pool1d(part.numbers, width, 1, width // 2, count_include_pad=False)
    return part.with_inputs(numbers=cleaned)


def changes(bench: Bench) -> None:
    """All changes, and all but one; and cleaning in their place."""
    seeds, epochs = bench.seeds(8, 8), 50 if bench.quick else 120
    test = words(HEARD, 1000, speed=0.3, noise=0.8)
    left_out = ("speed", "noise") if bench.quick else tuple(CHANGES)
    sets = {f"all but {one}": {name: s for name, s in CHANGES.items() if name != one} for one in left_out}
    sets = {"none": {}, "all": CHANGES, **sets}
    result = {name: accuracy(chosen, seeds, epochs, test) for name, chosen in sets.items()}
    message = ", ".join(f"{name} {values.mean():.1f} %" for name, values in result.items())
    bench.holds("changed signals help where the words are said otherwise", *_above(result, "all", "none"))
    bench.holds("faster and slower ones are part of it", *_above(result, "all", "all but speed"))
    bench.holds("so is noise behind them", *_above(result, "all", "all but noise"))
    cleaned = accuracy({}, seeds, epochs, smoothed(test, 5))
    bench.note(
        Message(
            "without changes, and what is heard cleaned of noise: {cleaned:.1f} %; {message}",
            cleaned=cleaned.mean(),
            message=message,
        )
    )
    figure = empty_figure("changes in training", "accuracy, %")
    figure.add_bar(x=list(result), y=[float(values.mean()) for values in result.values()], marker={"color": BLUE})
    bench.draw("Words of two tones, by what training signals were changed in", figure)


def _above(found: Mapping[str, np.ndarray], one: str, other: str) -> tuple[bool, str]:
    """Whether one lies above another over seeds, with the gain."""
    gain = found[one] - found[other]
    half = of_mean(gain).half_width()
    return bool(
        gain.mean() > half
    ), f"{one} {found[one].mean():.1f} %, gain over {other} {gain.mean():.1f} ± {half:.1f}"


LABS = (
    Lab(
        "signals",
        "Changed signals",
        "Training words said faster, slower and in noise are understood where others speak",
        ("S1-113",),
        changes,
        seconds=12,
    ),
)
