"""What is computed once for all rows and parts: vectors of texts, and what a frozen backbone sees in pictures. Neither
looks at targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import torch

from luthier.data import Encoder, FrozenEncoder, texts_of
from luthier.engine.members.sharing import several_processes
from luthier.engine.placing import allowed
from luthier.errors import InputError
from luthier.messages import Message
from luthier.nets.backbone import AUTO
from luthier.nets.efficientnet import LITE, packaged_weights
from luthier.nets.picture_features import PictureFeatures, features_of
from luthier.recipe.planning.budget import Budget
from luthier.recipe.rows.reading import LoadedData
from luthier.request import RunRequest

MOST = 0.4  # of a budget of time
LEAST_SIDE = 64  # pixels that small pictures are enlarged to: backbones halve them five times
AT_ONCE = 256  # pictures


def reading_device(asked: RunRequest) -> torch.device:
    """Where it is computed, before anything is timed."""
    steps = not asked.budget or Budget.parse(asked.budget).seconds is None
    return allowed(asked.device, fixed=steps or several_processes())[0]


def keep_vectors(encoder: Encoder, frame: pl.DataFrame, asked: RunRequest) -> None:
    """Work out the vectors of all texts. InputError where they would take too much of the time."""
    if not encoder.vectors:
        return
    texts, device = texts_of(frame, encoder.columns), reading_device(asked)
    if _seconds_of(asked):
        needed = sum(vectors.seconds(texts, device) for vectors in encoder.vectors)
        template = "vectors of {height:,} texts by '{text_model}' take about {needed:.0f} s here"
        what = Message(template, height=frame.height, text_model=asked.text_model, needed=needed)
        _require_time(needed, asked, what, "a longer --budget, or --text-model static")
    for vectors in encoder.vectors:
        vectors.keep(texts, device)


def frozen_features(read: LoadedData, asked: RunRequest, training: pl.DataFrame) -> PictureFeatures:
    """What the backbone that was asked for sees in a table's pictures, all of them seen, fitted on the training rows'.

    InputError where that would take too much of the time.
    """
    store = read.beside
    assert store is not None
    device, name = reading_device(asked), LITE if asked.backbone == AUTO else asked.backbone
    side = max(LEAST_SIDE, *store.shape[1:])
    features = features_of(name, store.shape, side, weights_of(name, asked.backbone_weights), lambda sentence: None)
    known = [name for row, name in enumerate(store.references) if row not in store.problems]
    if _seconds_of(asked):
        needed = sum(features.seconds(store.take(some), device) for some in _blocks(known))
        what = Message("what '{name}' sees in {count:,} pictures takes about {needed:.0f} s here", name=name,
                       count=len(known), needed=needed)  # fmt: skip
        _require_time(needed, asked, what, "a longer --budget, a smaller --size, or no --backbone")
    features.seen(torch.zeros(1, *store.shape, dtype=torch.uint8), device, keep=True)  # in the place of missing ones
    for some in _blocks(known):
        features.seen(store.take(some), device, keep=True)
    begun = FrozenEncoder.unfitted(read.columns, store)
    return features.fit(np.concatenate([features.seen(pixels) for pixels in begun.pictures(training)]))


def said_of(encoder: Encoder, asked: RunRequest) -> Iterator[str]:
    """Sentences about what was computed once, and how to override it."""
    device = reading_device(asked)
    for vectors in encoder.vectors:
        yield vectors.sentence(device)
    if isinstance(encoder, FrozenEncoder) and isinstance(encoder.features, PictureFeatures):
        spec = encoder.features.spec
        file = Path(weights_of(spec.backbone, asked.backbone_weights)).name
        yield Message(
            "`{column}`: {count} numbers of each picture, principal components of what {name} sees at {side} pixels "
            "({weights}), computed once by PyTorch ({device}); without --backbone a small ConvNet learns to see",
            column=encoder.picture.name,
            count=spec.outputs,
            name=spec.backbone,
            side=spec.side,
            weights=Message("weights from '{file}'", file=file) if file else Message("its own weights"),
            device=device,
        )


def weights_of(backbone: str, asked: str) -> str:
    """The file of a backbone's weights: the one that was asked for, else its package's; empty where there is none."""
    return asked or (str(packaged_weights()) if backbone == LITE else "")


def _blocks(names: list[str]) -> Iterator[list[str]]:
    return (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))


def _seconds_of(asked: RunRequest) -> float | None:
    return Budget.parse(asked.budget).seconds if asked.budget else None


def _require_time(needed: float, asked: RunRequest, what: str, remedy: str) -> None:
    seconds = _seconds_of(asked)
    if seconds and needed > MOST * seconds:
        expected = Message("at most {share:.0%} of the budget, {seconds:.0f} s", share=MOST, seconds=MOST * seconds)
        raise InputError(what, expected=expected, remedy=remedy)
