"""Step 5, before the test set: the winner's layers, gradients and learning curves under the diagnosis."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from luthier.diagnosis import Evaluated, Trace, diagnosis_of, stack_traces
from luthier.diagnosis.controls import trivial_loss
from luthier.nets import DenseSpec
from luthier.population import Part
from luthier.population.architecture import architecture
from luthier.recipe.work import Trained, Work

SAID_ELSEWHERE = ("still-improving",)  # the next step says it


def look_inside(work: Work, seeds: Trained | None) -> dict[str, Any] | None:
    """Probe every kept network of the final population; findings of the best one go into the ledger.

    Returns the six questions of optimisation with their numbers, and in how many networks each finding was seen.
    """
    if seeds is None or not seeds.weights or not seeds.steps_done or not isinstance(seeds.spec, DenseSpec):
        return None
    best = seeds.usable()[0]
    kept = [best, *(i for i in seeds.weights if i != best)]
    _, training, _ = work.prepared(seeds.method)
    traces = stack_traces(seeds.spec, *_stacked(seeds, kept), training, work.loss)
    curves = pl.read_parquet(work.folder.history / f"{seeds.name}.parquet")
    features = training.features.double()
    inputs = float(features.mean()), float(features.std())
    found = []
    for member, trace in zip(kept, traces, strict=True):
        _add_curves(trace, curves.filter(pl.col("member") == member), training, work)
        found.append(diagnosis_of(trace, inputs=inputs))
    counts: dict[str, int] = {}
    for one in found:
        for finding in one.findings:
            counts[finding.code] = counts.get(finding.code, 0) + 1
    for finding in found[0].findings:
        if finding.code not in SAID_ELSEWHERE:
            work.ledger.find(finding, step=5)
    return {"questions": [list(item) for item in found[0].checklist], "findings": counts, "networks": len(kept)}


def _stacked(seeds: Trained, kept: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The kept networks' weights as rows of a stack."""
    return architecture(seeds.spec).filled([seeds.weights[member] for member in kept], torch.float32)


def _add_curves(trace: Trace, curve: pl.DataFrame, training: Part, work: Work) -> None:
    classes = bool(work.data.task.classes)
    trace.trivial = trivial_loss(training.targets, work.loss)
    trace.step = int(curve["step"].max() or 0)  # type: ignore[arg-type]
    for row in curve.sort("step").iter_rows(named=True):
        if row["validation_loss"] is not None and np.isfinite(row["validation_loss"]):
            score = float(row["validation_score"]) if classes else None
            trace.evaluations.append(
                Evaluated(row["step"], row["train_loss"], row["validation_loss"], validation_score=score)
            )
            trace.losses.append(row["train_loss"])
