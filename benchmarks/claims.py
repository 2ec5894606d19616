"""How often the recipe's claims hold the truth: draws of 1,000 rows of a real table, trained as its confirmation does.

    python -m benchmarks.coverage claims [--table diamonds default] [--draws 60] [--rows 1000] [--seconds 3600]

Needs `LUTHIER_DATA`. In each draw a reference setting is trained beside itself with one thing undone, on partitions x 5
folds, same seeds and batches, and `answers` says by which share undoing it raises the loss: after two partitions, or
after more of them where the question stays open. The truth is that share
on up to 8,000 of the other rows, by the networks of this draw ("own") and on average over all draws ("mean": what the
thing is worth for rows like these). Beside the questions two remedies are planted, undone by networks of other seeds:
one worth nothing, and one worth 5 % of the loss (predictions shrunk so far that the loss of the other rows rises by
that much). Each draw is a line of `benchmarks/results/claims.jsonl`; finished draws are not done again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.optimize import brentq
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import Tensor

from luthier.engine import Member, Schedule, Settings, train
from luthier.nets import DenseSpec
from luthier.recipe.experiment.rounds import MOST_PARTITIONS
from luthier.rows import Inputs, Rows
from luthier.seeds import derive, numpy_generator
from luthier.statistics.confirming import FIRST, WIDENING, Asked, answers, still_open
from luthier.statistics.row_losses import row_losses

RESULTS = Path(__file__).parent / "results" / "claims.jsonl"
TARGETS = {"diamonds": "price", "default": "default"}
OTHERS, FOLDS, PARTITIONS, EPOCHS, STEPS = 8000, 5, MOST_PARTITIONS, 20, 250
CLIP = 4.0  # standard deviations: no setting is judged by the few diamonds whose sizes are mistakes
NOTHING, FIVE_PERCENT, WORTH = "planted: worth nothing", "planted: worth 5 %", 0.05

REFERENCE = Member(
    DenseSpec(1, (64, 64), 1), 0, 0.01, Schedule("cosine"), weight_decay=0.02, dropout=(0.1, 0.1), ema_decay=0.9
)
UNDONE: Mapping[str, Mapping[str, Any]] = {
    "dropout": {"dropout": ()},
    "weight decay": {"weight_decay": 0.0},
    "decay of the rate": {"schedule": Schedule("constant")},
    "averaged weights": {"ema_decay": 0.0},
    "the rate": {"learning_rate": 0.003},
    "L2": {"l2": 1.0},
}


def drawn(table: str, seed: int, rows: int) -> tuple[Rows, Rows, str]:
    """A draw of so many rows and up to 8,000 others, encoded by what the draw shows; the kind of the task."""
    frame = pl.read_csv(Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{table}.csv")
    order = numpy_generator(seed, "draw", table).permutation(len(frame))[: rows + OTHERS]
    frame, y = frame[order].drop(TARGETS[table]), frame[order][TARGETS[table]]
    words = [name for name, type_ in frame.schema.items() if type_ == pl.String]
    numbers = [name for name in frame.columns if name not in words]
    encoder = ColumnTransformer(
        [("n", StandardScaler(), numbers), ("w", OneHotEncoder(handle_unknown="ignore"), words)]
    )
    x = encoder.set_output(transform="default").fit(frame[:rows].to_pandas()).transform(frame.to_pandas())
    x = np.asarray(x.todense() if hasattr(x, "todense") else x)
    features = torch.from_numpy(x).float().clamp(-CLIP, CLIP)
    if y.dtype.is_numeric():
        values = np.log(y.to_numpy())  # a price
        values = (values - values[:rows].mean()) / values[:rows].std()
        targets, kind = torch.from_numpy(values).float(), "regression"
    else:
        targets, kind = torch.from_numpy((y == y.max()).to_numpy().astype(np.float32)), "binary"
    part = Rows(Inputs(numbers=features), targets)
    places = torch.arange(len(features))
    return part.rows(places[:rows]), part.rows(places[rows:]), kind


def partition(targets: Tensor, seed: int) -> Tensor:
    """A fold for each row [N], stratified: of every five rows that are neighbours by their target one is in each."""
    generator = numpy_generator(seed, "partition")
    order = np.lexsort((generator.random(len(targets)), targets.numpy()))
    folds = np.concatenate([generator.permutation(FOLDS) for _ in range(-(-len(targets) // FOLDS))])
    result = np.zeros(len(targets), np.int64)
    result[order] = folds[: len(targets)]
    return torch.from_numpy(result)


def outputs_of(logits: Tensor, kind: str) -> Tensor:
    """Probabilities [..., N, 2], or values [..., N, 1]."""
    if kind == "regression":
        return logits.double()
    one = torch.sigmoid(logits.double())
    return torch.cat([1 - one, one], -1)


def trained(part: Rows, other: Rows, kind: str, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Out-of-fold outputs [partitions, N, C] of each setting, and those for other rows [networks, N, C]."""
    spec = replace(REFERENCE.dense, inputs=part.numbers.shape[1])
    changes: dict[str, Mapping[str, Any]] = {"reference": {}, **UNDONE, NOTHING: {}}
    inside: dict[str, list[Tensor]] = {name: [] for name in changes}
    outside: dict[str, list[Tensor]] = {name: [] for name in changes}
    for number in range(PARTITIONS):
        folds = partition(part.targets, derive(seed, "folds", number))
        one, other_seed = (derive(seed, "weights", what, number) % 2**31 for what in ("own", "other"))
        members = [
            replace(REFERENCE, spec=spec, seed=other_seed if name == NOTHING else one, label=name, fold=fold, **change)
            for name, change in changes.items()
            for fold in range(FOLDS)
        ]
        batch = EPOCHS * len(part) * (FOLDS - 1) // FOLDS // STEPS
        loss = "mse" if kind == "regression" else "binary"
        settings = Settings(loss, "adam", batch, STEPS, STEPS, keep_last=True, batch_seed=number)
        outcome = train(members, part, None, settings, folds=folds)
        own, rest = (outputs_of(outcome.logits(rows.numbers), kind) for rows in (part, other))
        for k, name in enumerate(changes):
            mine = slice(k * FOLDS, (k + 1) * FOLDS)
            inside[name].append(own[mine][folds, torch.arange(len(part))])
            outside[name].append(rest[mine])
    return {name: torch.stack(some) for name, some in inside.items()}, {
        name: torch.cat(some) for name, some in outside.items()
    }


def shrunk(outputs: Tensor, targets: Tensor, prior: Tensor, kind: str, worth: float) -> float | None:
    """How far outputs have to go towards the prior [C] for their loss to rise by a share; None where it never does."""

    def beyond(share: float) -> float:
        moved = (1 - share) * outputs + share * prior
        return float(row_losses(moved, targets, kind).mean()) / least - 1 - worth

    least = float(row_losses(outputs, targets, kind).mean())
    return float(brentq(beyond, 0.0, 1.0, xtol=1e-4)) if beyond(1.0) > 0 else None


def losses_of(table: str, seed: int, rows: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Out-of-fold losses [partitions, N] of each setting in a draw, and the mean loss of the other rows."""
    part, other, kind = drawn(table, seed, rows)
    inside, outside = trained(part, other, kind, seed)
    shares = part.targets.double().mean()
    prior = shares[None] if kind == "regression" else torch.stack([1 - shares, shares])
    far = shrunk(outside[NOTHING], other.targets, prior, kind, WORTH)
    if far is not None:
        for outputs in (inside, outside):
            outputs[FIVE_PERCENT] = (1 - far) * outputs[NOTHING] + far * prior
    losses = {name: row_losses(some, part.targets, kind).numpy() for name, some in inside.items()}
    return losses, {name: float(row_losses(some, other.targets, kind).mean()) for name, some in outside.items()}


def one_draw(table: str, seed: int, rows: int) -> dict[str, Any]:
    """What each question is answered, size and half width without widening, and what the other rows say."""
    began = time.monotonic()
    losses, truth = losses_of(table, seed, rows)
    asked = as_asked(losses, np.arange(rows))
    found = answers(losses["reference"], asked, np.arange(rows), 1.0)
    return {
        "table": table,
        "seed": seed,
        "rows": rows,
        "answers": {
            name: [round(one.size, 5), round(one.half_width, 5), asked[name].partitions] for name, one in found.items()
        },
        "loss of others": {name: round(loss, 6) for name, loss in truth.items()},
        "seconds": round(time.monotonic() - began, 1),
    }


def as_asked(losses: Mapping[str, np.ndarray], units: np.ndarray) -> dict[str, Asked]:
    """The partitions that each question is asked on: two, and one more as long as it stays open."""
    reference = losses["reference"]
    asked = {name: Asked(rows[:FIRST]) for name, rows in losses.items() if name != "reference"}
    for count in range(FIRST + 1, PARTITIONS + 1):
        known = {name: one for name, one in asked.items() if one.partitions == count - 1}
        names = still_open(reference, asked, units)
        asked |= {name: Asked(losses[name][:count]) for name in known if name in names}
    return asked


def finished(table: str, rows: int) -> list[dict[str, Any]]:
    """The draws of so many rows of a table that are done; those of two partitions alone are not counted."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    known = [row for row in map(json.loads, lines) if (row["table"], row["rows"]) == (table, rows)]
    return [row for row in known if all(len(one) == 3 for one in row["answers"].values())]


def missed(rows: list[dict[str, Any]]) -> dict[str, dict[str, np.ndarray]]:
    """For each question and kind of truth, by how many half widths the size misses it in each draw."""
    result: dict[str, dict[str, np.ndarray]] = {}
    for name in rows[0]["answers"]:
        some = [row for row in rows if name in row["answers"]]
        size, half = np.array([row["answers"][name][:2] for row in some]).T
        reference, undone = np.array([[row["loss of others"][k] for k in ("reference", name)] for row in some]).T
        mean = {NOTHING: 0.0, FIVE_PERCENT: WORTH}.get(name, float((undone - reference).mean() / reference.mean()))
        result[name] = {"own": (size - undone / reference + 1) / half, "mean": (size - mean) / half}
    return result


def summary(done: list[dict[str, Any]], widening: float) -> None:
    """Print how often intervals hold the truth, what planted remedies get, and the widening that would hold 95 %."""
    off = missed(done)
    print(f"{done[0]['table']}: {len(done)} draws of {done[0]['rows']:,} rows, intervals widened by {widening:.2f}")
    for name, truths in off.items():
        size, half, count = np.array([row["answers"][name] for row in done if name in row["answers"]]).T
        held = ", ".join(f"{kind} {np.mean(np.abs(one) <= widening):4.0%}" for kind, one in truths.items())
        print(
            f"  {name:24} holds {held}; size {size.mean():+.3f} ± {np.median(widening * half):.3f}, "
            f"helps {np.mean(size > widening * half):4.0%}, hurts {np.mean(size < -widening * half):4.0%}; "
            f"{count.mean():.1f} partitions"
        )
    for kind in ("own", "mean"):
        every = np.abs(np.concatenate([truths[kind] for truths in off.values()]))
        print(
            f"  all {len(every)} claims hold their {kind} truth in {np.mean(every <= widening):.1%}; "
            f"95 % at a widening of {max(1.0, float(np.quantile(every, 0.95))):.2f}"
        )


def run(tables: Sequence[str], draws: int, rows: int, seconds: float) -> None:
    """Append a line for each draw that is missing, while there is time, and print what all of them say."""
    torch.set_num_threads(1)
    began = time.monotonic()
    for table in tables:
        for seed in sorted(set(range(draws)) - {row["seed"] for row in finished(table, rows)}):
            if time.monotonic() - began > seconds:
                break
            line = json.dumps(one_draw(table, seed, rows))
            with RESULTS.open("a") as file:
                file.write(line + "\n")
        if done := finished(table, rows):
            summary(done, WIDENING)
