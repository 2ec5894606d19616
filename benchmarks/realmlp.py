"""RealMLP-TD in our stack beside pytabkit's own, on outer splits of real tables with the same rows and missing values.

    python -m benchmarks.realmlp [TABLE ...]

Needs `LUTHIER_DATA` and pytabkit (`pip install --no-deps pytabkit` and what it asks for; see requirements.txt). Every
finished split is a line of `benchmarks/results/realmlp.jsonl`; a later call continues there. Both train 256 epochs on
the same 60 % of the rows with the defaults of Holzmueller and others (2024) and are measured on the same 20 %: errors
of classes, or the root mean squared error over the target's deviation. Theirs keeps the epoch with the least
validation error of 20 % of the rows; ours the lowest validation loss of numbers, and for classes, where a rising loss
says little of errors, the last. Missing numbers are filled by the median of the training rows, missing levels are a
level.

Ours differs in two ways: the first weights are not rescaled to unit variance row by row of the data (He's gain in their
place), and the last, smaller batch of an epoch is used. Seconds are a processor's, of one thread.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sklearn.model_selection import train_test_split

from benchmarks.ranks import TARGETS
from luthier.data import Preprocess
from luthier.engine import Member, Schedule, Settings, train
from luthier.nets import DenseSpec, NumberEmbedding
from luthier.rows import Inputs, Rows

TABLES, ROWS, SEEDS, MEMBERS, EPOCHS = ("ames", "churn", "titanic", "diamonds"), 10_000, 3, 8, 256
ONE_HOT, WIDTH = 8, 8  # levels up to which a category enters as 0 and 1, and the width of the others' embeddings
MISSING = "(missing)"
RESULTS = Path(__file__).parent / "results" / "realmlp.jsonl"


@dataclass(frozen=True)
class Split:
    """One outer split: columns without gaps, the target as numbers, and the rows of each part."""

    numbers: pl.DataFrame
    categories: pl.DataFrame
    target: np.ndarray
    classes: int
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]


def split_of(name: str, seed: int) -> Split:
    """A table's split; of more than 10,000 rows a sample."""
    path, target = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{name}.csv", TARGETS[name]
    frame = pl.read_csv(path, infer_schema_length=None, null_values=["", "NA"]).drop_nulls(target)
    frame = frame.sample(ROWS, seed=seed) if frame.height > ROWS else frame
    y = frame[target]
    classes = 0 if y.dtype.is_float() or y.n_unique() > 20 else y.n_unique()
    values = y.cast(pl.String).rank("dense").to_numpy() - 1 if classes else y.cast(pl.Float64).to_numpy()
    learning, test = train_test_split(np.arange(frame.height), test_size=0.2, random_state=seed)
    training, validation = train_test_split(learning, test_size=0.25, random_state=seed)
    X = frame.drop(target)
    numeric = [column for column in X.columns if X[column].dtype.is_numeric()]
    numbers = X.select(pl.col(numeric).cast(pl.Float64).fill_nan(None))
    medians = numbers[training].median().row(0)
    filled = numbers.with_columns(
        pl.col(column).fill_null(0.0 if median is None else median)
        for column, median in zip(numeric, medians, strict=True)
    )
    categories = X.drop(numeric).select(pl.all().cast(pl.String).fill_null(MISSING))
    categories = categories.select(column for column in categories if column.n_unique() < frame.height / 2)  # no names
    return Split(
        filled,
        categories,
        values.astype(np.float64 if not classes else np.int64),
        classes,
        (training, validation, test),
    )


def as_rows(split: Split) -> tuple[list[Rows], tuple[tuple[int, int], ...]]:
    """Each part as the network takes it, and (levels, width) of the embedded categories."""
    training = split.parts[0]
    columns, codes, embeddings = [split.numbers.to_numpy()], [], []
    for column in split.categories:
        levels = {level: k for k, level in enumerate(column[training].unique().sort().to_list())}
        place = np.array([levels.get(level, -1) for level in column.to_list()])
        if len(levels) == 2:
            columns.append(np.select([place == 0, place == 1], [-1.0, 1.0], 0.0)[:, None])
        elif len(levels) <= ONE_HOT:
            columns.append((place[:, None] == np.arange(len(levels))).astype(float))
        else:
            codes.append(place + 1)  # 0 is a level that training has not seen
            embeddings.append((len(levels) + 1, WIDTH))
    cells = torch.from_numpy(np.concatenate(columns, 1))
    X = Preprocess.fit(cells[training], "robust")(cells)
    C = torch.from_numpy(np.stack(codes, 1) if codes else np.zeros((len(X), 0), dtype=np.int64))
    mean, deviation = split.target[training].mean(), split.target[training].std()
    y = torch.from_numpy(split.target) if split.classes else torch.from_numpy((split.target - mean) / deviation).float()
    everything = Rows(Inputs(numbers=X, codes=C), y)
    return [everything.rows(torch.from_numpy(rows)) for rows in split.parts], tuple(embeddings)


def ours(split: Split, seed: int) -> dict[str, float]:
    """The mean test error of several networks, its deviation over them, and processor seconds of one."""
    (training, validation, test), embeddings = as_rows(split)
    numbers = split.numbers.width
    spec = DenseSpec(
        training.numbers.shape[1],
        (256, 256, 256),
        split.classes or 1,
        activation="selu" if split.classes else "mish",
        embeddings=embeddings,
        number_embedding=NumberEmbedding(numbers) if numbers else None,
        input_scale=True,
        parametric=True,
        biases_from_data=True,
    )
    flat = Schedule("flat-cosine")
    members = [
        Member(
            spec,
            seed=100 * seed + k,
            learning_rate=0.04 if split.classes else 0.2,
            schedule=Schedule("coslog4"),
            betas=(0.9, 0.95),
            dropout=(0.15,) * 3,
            weight_decay=0.02,
            label_smoothing=0.1 if split.classes else 0.0,
            rate_factors=(("biases", 0.1), ("numbers", 0.1), ("scales", 6.0), ("activations", 0.1)),
            width_scaled=True,
            schedules=(("dropout", flat), ("weight_decay", flat)),
        )
        for k in range(MEMBERS)
    ]
    rows = len(training)
    size = 64 if rows <= 1_024 else 128 if rows <= 8_192 else 256
    epoch = -(-rows // size)
    loss = "softmax" if split.classes else "mse"
    settings = Settings(loss, "adam", size, EPOCHS * epoch, epoch, keep_last=bool(split.classes))
    began = time.process_time()
    outcome = train(members, training, validation, settings)
    seconds = time.process_time() - began
    outputs = outcome.logits(test.inputs)
    if split.classes:
        errors = (outputs.argmax(2) != test.targets).double().mean(1)
    else:
        seen = training.targets
        errors = (outputs[:, :, 0].clamp(seen.min(), seen.max()) - test.targets).square().double().mean(1).sqrt()
    return {"error": float(errors.mean()), "deviation": float(errors.std()), "seconds": seconds / MEMBERS}


def theirs(split: Split, seed: int) -> dict[str, float]:
    """The test error of pytabkit's network, and processor seconds."""
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    training, validation, test = split.parts
    X = pl.concat([split.numbers, split.categories], how="horizontal").to_pandas()
    X = X.astype(dict.fromkeys(split.categories.columns, "category"))
    y = split.target
    kind = RealMLP_TD_Classifier if split.classes else RealMLP_TD_Regressor
    model = kind(device="cpu", random_state=seed, n_cv=1, n_refit=0, n_threads=1, verbosity=0)
    began = time.process_time()
    model.fit(X.iloc[training], y[training], X.iloc[validation], y[validation])
    seconds = time.process_time() - began
    predicted = np.asarray(model.predict(X.iloc[test])).reshape(-1)
    if split.classes:
        error = float((predicted != y[test]).mean())
    else:
        error = float(np.sqrt(np.mean((predicted - y[test]) ** 2)) / y[training].std())
    return {"error": error, "seconds": seconds}


def summary(lines: list[dict[str, Any]]) -> list[str]:
    """Errors and seconds as Markdown."""
    result = [
        "| table | pytabkit | ours | difference | standard error | networks a second, ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name in TABLES:
        mine = [line for line in lines if line["table"] == name]
        if not mine:
            continue
        errors = np.array([[line[which]["error"] for which in ("pytabkit", "ours")] for line in mine])
        gaps = errors[:, 1] - errors[:, 0]
        spread = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else np.nan
        ratio = np.median([line["pytabkit"]["seconds"] / line["ours"]["seconds"] for line in mine])
        figures = [f"{value:.4g}" for value in (*errors.mean(0), gaps.mean(), spread, ratio)]
        result.append(f"| {name} ({len(mine)}) | " + " | ".join(figures) + " |")
    return result


def main(*names: str) -> None:
    """Measure what is missing, and print the summary."""
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["table"], line["seed"]) for line in lines}
    for name in names or TABLES:
        for seed in range(SEEDS):
            if (name, seed) in done:
                continue
            split = split_of(name, seed)
            lines.append({"table": name, "seed": seed, "pytabkit": theirs(split, seed), "ours": ours(split, seed)})
            with RESULTS.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    print("\n".join(summary(lines)))


if __name__ == "__main__":
    main(*sys.argv[1:])
