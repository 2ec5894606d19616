"""Step 5, before the test set: the winner's layers, gradients and learning curves under the diagnosis."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import torch

from luthier.assess import Inside
from luthier.diagnosis import Evaluated, Trace, diagnosis_of, stack_traces
from luthier.diagnosis.controls import trivial_loss
from luthier.engine.populations.architecture import architecture
from luthier.nets import DenseSpec
from luthier.objective import USUAL_LOSSES
from luthier.recipe.running.runner import Runner, TrainedPopulation
from luthier.records import Said, found
from luthier.saved.run_files import HISTORY
from luthier.untrusted import read_frame

SAID_ELSEWHERE = ("still-improving",)  # the next step says it


def look_inside(runner: Runner, seeds: TrainedPopulation | None) -> Said[Inside | None]:
    """Probe every kept network of the final population; findings of the best one are said.

    Returns the six questions of optimisation with their numbers, and in how many networks each finding was seen.
    """
    problem = runner.problem
    if seeds is None or not seeds.weights or not seeds.steps_done or not isinstance(seeds.spec, DenseSpec):
        return None
    best = seeds.usable()[0]
    kept = [best, *(i for i in seeds.weights if i != best)]
    _, training, _ = problem.prepared(seeds.method)
    loss = seeds.loss or USUAL_LOSSES[problem.task.kind]
    stack = architecture(seeds.spec).filled([seeds.weights[member] for member in kept], torch.float32)
    traces = stack_traces(seeds.spec, *stack, training, loss)
    curves = read_frame(runner.folder.history / f"{seeds.name}.parquet", HISTORY)
    features = training.numbers.double()
    inputs = float(features.mean()), float(features.std())
    result = []
    for member, trace in zip(kept, traces, strict=True):
        trace.trivial = 1.0 if problem.asked.heads else trivial_loss(training.targets, loss)
        _add_curves(trace, curves.filter(pl.col("member") == member), runner)
        result.append(diagnosis_of(trace, inputs=inputs))
    counts = dict(Counter(finding.code for one in result for finding in one.findings))
    for finding in result[0].findings:
        if finding.code not in SAID_ELSEWHERE:
            yield found(5, finding)
    questions = [list(item) for item in result[0].checklist]
    return Inside(questions, len(kept), counts)


def _add_curves(trace: Trace, curve: pl.DataFrame, runner: Runner) -> None:
    # The curves of networks that several targets share are of the loss of all.
    classes = bool(runner.problem.task.classes) and not runner.problem.asked.heads
    trace.step = int(curve["step"].max() or 0)  # type: ignore[arg-type]
    for row in curve.sort("step").iter_rows(named=True):
        if row["validation_loss"] is not None and np.isfinite(row["validation_loss"]):
            score = float(row["validation_score"]) if classes else None
            trace.evaluations.append(
                Evaluated(row["step"], row["train_loss"], row["validation_loss"], validation_score=score)
            )
            trace.losses.append(row["train_loss"])
