"""Models to be served, built in a moment: what they predict is what untrained networks predict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from tests.serving.picture_files import SIDE
from tests.serving.picture_files import picture as picture

from luthier.assess import Profile
from luthier.data import PictureEncoder, Preprocess, TableEncoder, Task
from luthier.data.typed_columns.columns import Column, infer_columns
from luthier.nets import ConvSpec, DenseSpec, TextSpec, build
from luthier.saved import Model


def table(kind: str = "binary", target: str = "label", classes: tuple[str, ...] = ("no", "yes")) -> Model:
    """Numbers, categories, truths and dates."""
    rng = np.random.default_rng(0)
    size, colour, old = rng.normal(3, 1, 300), rng.choice(["red", "green", "blue"], 300), rng.random(300) < 0.5
    day = np.datetime64("2024-01-01") + rng.integers(0, 900, 300).astype("timedelta64[D]")
    frame = pl.DataFrame({"size": size, "kind": colour, "old": old, "day": day.astype(str)})
    return of_frame(frame, kind, target, classes)


def of_frame(
    frame: pl.DataFrame, kind: str = "binary", target: str = "label", classes: tuple[str, ...] = ("no", "yes")
) -> Model:
    """A model of all columns of a table."""
    encoder = TableEncoder.fit(frame, infer_columns(frame, target="", overrides={}))
    inputs = encoder.encode(frame)
    prepare = Preprocess.fit(inputs.numbers, "quantile")
    embeddings = tuple((size, 4) for size in encoder.category_sizes)
    outputs = len(classes) if kind == "multiclass" else 1
    spec = DenseSpec(prepare.width, (32,), outputs, embeddings=embeddings)
    profile = Profile.of(
        *encoder.described(inputs), dict(zip(encoder.category_names, encoder.category_sizes, strict=True))
    )
    task = Task(kind, target, () if kind == "regression" else classes)  # type: ignore[arg-type]
    nets = tuple(build(spec, seed=seed) for seed in range(3))
    return Model(task, encoder, prepare, nets, (1 / 3,) * 3, half_width=1.0, profile=profile)


def text() -> Model:
    """One column of text."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcdefghij"), 5)) for _ in range(500)]
    frame = pl.DataFrame({"said": [" ".join(rng.choice(words, 60)) for _ in range(400)]})
    encoder = TableEncoder.fit(frame, (Column("said", "text", True, ""),))
    numbers = encoder.encode(frame).numbers
    known = encoder.texts[0]
    spec = TextSpec(0, known.pieces, known.length, 1, pairs=len(known.pairs))
    prepare = Preprocess.fit(numbers, "quantile")
    return Model(Task("binary", "mood", ("down", "up")), encoder, prepare, (build(spec, seed=0),), (1.0,))


def pictures() -> Model:
    """Pictures of ten classes."""
    from luthier.data import Pixels

    encoder = PictureEncoder((Column("picture", "picture", True, ""),), (1, SIDE, SIDE))
    spec = ConvSpec((1, SIDE, SIDE), (8, 16), 10, mean=(0.5,), std=(0.3,))
    task = Task("multiclass", "digit", tuple("0123456789"))
    return Model(task, encoder, Pixels(), (build(spec, seed=0).eval(),), (1.0,))


def saved(model: Model, folder: Path) -> Path:
    """The model as a file."""
    path = folder / "model.luthier"
    model.save(path)
    return path
