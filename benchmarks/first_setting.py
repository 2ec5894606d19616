"""The first setting of tables against the recipe's reference, at the same seconds, on outer splits of real tables.

Needs `LUTHIER_DATA`. `python -m benchmarks.first_setting [TABLE ...]` continues where it was stopped: every finished
split is a line of `benchmarks/results/first_setting.jsonl`. The reference is the documents' first architecture (one
hidden layer of ReLU units, standardised numbers) with Adam at 0.003 along a cosine, for at most as many steps as the
recipe plans. Both keep each network's best weights by the validation rows; losses are of the test rows, a mean over
networks of five seeds. `ames`, `churn`, `titanic` and scikit-learn's tables were those that the setting was set on.
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
import torch

from benchmarks.ranks import TARGETS
from luthier.data import TableEncoder, read_source
from luthier.data.target_transform import TargetTransform
from luthier.engine import Member, Schedule, Settings, step_time, train
from luthier.nets import DenseSpec
from luthier.objective import USUAL_LOSSES, loss_named
from luthier.recipe import read_as_asked
from luthier.recipe.decisions.starting_network import first_width
from luthier.recipe.experiment.first_setting import TableShape, first_setting
from luthier.recipe.planning.plan import PlanSize
from luthier.recipe.planning.setting import Setting, seeded
from luthier.recipe.preparing.problem import embedding_width
from luthier.recipe.rows.full_training_rows import dataset
from luthier.recipe.rows.parts import parts_of
from luthier.request import RunRequest
from luthier.rows import Rows

ROWS, SPLITS, SEEDS, EVALUATIONS = 10_000, 3, 5, 40
JUDGED = ("diamonds", "default", "penguins", "stackoverflow")
SET_ON = ("ames", "churn", "titanic", "breast-cancer", "diabetes", "digits", "wine")
RESULTS = Path(__file__).parent / "results" / "first_setting.jsonl"


@dataclass(frozen=True)
class Table:
    """One outer split of a table, encoded; `transform` is between a regression's target and what networks predict."""

    kind: str
    outputs: int
    encoder: TableEncoder
    parts: tuple[Rows, Rows, Rows]
    transform: TargetTransform

    @property
    def numbers(self) -> int:
        """F: columns of numbers."""
        return self.parts[0].numbers.shape[1]

    def prepared(self, method: str) -> list[Rows]:
        """Training, validation and test rows as networks take them."""
        fitted, result = self.encoder.preprocess(self.parts[0].numbers, method), []
        for part in self.parts:
            regression = self.kind == "regression"
            targets = self.transform.standardise(part.targets).float() if regression else part.targets
            result.append(Rows(fitted.prepared(part.inputs), targets))
        return result


def table(name: str, seed: int) -> Table:
    """A table's outer split; of more than 10,000 rows a sample."""
    if name in TARGETS:
        path, target = Path(os.environ["LUTHIER_DATA"]) / "tables" / f"{name}.csv", TARGETS[name]
        source: Any = read_source(path, target=target).frame
        source = source.sample(ROWS, seed=seed) if source.height > ROWS else source
    else:
        source, target = name, None
    read = read_as_asked(source, RunRequest(source="", target=target, seed=seed))
    parts, task = parts_of(read, RunRequest(source="", seed=seed)), read.task
    test = dataset(parts.frames["test"], parts.encoder, task, read.weight)
    transform = TargetTransform()
    if task.kind == "regression":
        assert parts.training.targets is not None
        transform = TargetTransform.fit(parts.training.targets, None, log=task.log_scale)
        transform = transform.bounded_by(parts.training.targets)
    assert isinstance(parts.encoder, TableEncoder)
    outputs = len(task.classes) if task.kind == "multiclass" else 1
    return Table(task.kind, outputs, parts.encoder, (parts.training, parts.validation, test), transform)


def reference(rows: Table) -> Setting:
    """What `fit` falls back on: the documents' first architecture with Adam."""
    inputs, levels = rows.prepared("standardise")[0].numbers.shape[1], rows.encoder.category_sizes
    embeddings = tuple((size, embedding_width(size)) for size in levels)
    count, seen = len(rows.parts[0]), rows.numbers + sum(width for _, width in embeddings)
    width = first_width(count, max(1, seen), rows.outputs)
    spec = DenseSpec(inputs, (width,), rows.outputs, embeddings=embeddings)
    member = Member(spec, 0, learning_rate=3e-3, schedule=Schedule("cosine"))
    return Setting("standardise", "adam", PlanSize(count).batch_size, member)


def trained(rows: Table, setting: Setting, steps: int) -> dict[str, Any]:
    """Mean test loss of five seeds, its deviation over them, the mean share of the steps at the best, and seconds."""
    training, validation, test = rows.prepared(setting.method)
    settings = Settings(USUAL_LOSSES[rows.kind], setting.rule, setting.batch_size, steps, max(1, steps // EVALUATIONS))
    began = time.process_time()
    outcome = train(seeded(setting, range(SEEDS), steps), training, validation, settings)
    seconds = time.process_time() - began
    outputs = outcome.logits(test.inputs)
    outputs = rows.transform.bounded(outputs) if rows.kind == "regression" else outputs
    losses = loss_named(settings.loss).mean(outputs, test.targets, None).double().numpy()
    best = float(np.mean(outcome.best_step)) / steps
    return {
        "loss": float(losses.mean()),
        "deviation": float(losses.std(ddof=1)),
        "best at": round(best, 3),
        "steps": steps,
        "seconds": round(seconds, 2),
    }


def one_split(name: str, seed: int) -> dict[str, Any]:
    """Both settings on one outer split."""
    rows = table(name, seed)
    features = rows.prepared("robust")[0].numbers.shape[1]
    sizes = rows.encoder.category_sizes
    shape = TableShape(rows.kind, len(rows.parts[0]), rows.numbers, sizes, rows.outputs, flags=features - rows.numbers)
    first, old = first_setting(shape), reference(rows)
    ours = trained(rows, first.setting, first.epochs * -(-shape.rows // first.setting.batch_size))
    training, validation, _ = rows.prepared(old.method)
    one_step, _ = step_time(
        seeded(old, range(SEEDS), 1),
        training,
        validation,
        loss=USUAL_LOSSES[rows.kind],
        rule=old.rule,
        batch_size=old.batch_size,
    )
    theirs = trained(rows, old, max(1, min(int(ours["seconds"] / one_step), PlanSize(shape.rows).most_steps)))
    return {"table": name, "seed": seed, "first setting": ours, "reference": theirs}


def summary(lines: list[dict[str, Any]]) -> list[str]:
    """Ratios of losses as Markdown: for each table, and geometric means of those judged and those set on."""
    result, means = ["| table | reference | first setting | ratio | standard error |", "|---|---|---|---|---|"], {}
    for name in (*JUDGED, *SET_ON):
        mine = [line for line in lines if line["table"] == name]
        if not mine:
            continue
        losses = np.array([[line[which]["loss"] for which in ("reference", "first setting")] for line in mine])
        ratios = np.log(losses[:, 1] / losses[:, 0])
        error = ratios.std(ddof=1) / len(ratios) ** 0.5 if len(ratios) > 1 else np.nan
        means[name] = ratios.mean()
        figures = [f"{value:.4g}" for value in (*losses.mean(0), np.exp(means[name]), error)]
        result.append(f"| {name} ({len(mine)}) | " + " | ".join(figures) + " |")
    for title, names in (("judged", JUDGED), ("set on", SET_ON), ("of the seven files", tuple(TARGETS))):
        known = [means[name] for name in names if name in means]
        if known:
            result.append(f"| {title}: geometric mean | | | {np.exp(np.mean(known)):.4g} | |")
    return result


def main(*names: str) -> None:
    """Measure what is missing, and print the summary."""
    torch.set_num_threads(1)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    done = {(line["table"], line["seed"]) for line in lines}
    for name in names or (*JUDGED, *SET_ON):
        for seed in range(SPLITS):
            if (name, seed) in done:
                continue
            lines.append(one_split(name, seed))
            with RESULTS.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            print(lines[-1], flush=True)
    print("\n".join(summary(lines)))


if __name__ == "__main__":
    main(*sys.argv[1:])
