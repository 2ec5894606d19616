"""Step 5, small tables: the winner once more in folds, so that every open row is learnt from.

Each of K networks leaves out another part of the training and validation rows together, is stopped by it,
and predicts it: these predictions judge and calibrate the mean of all K. N open rows, C outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from luthier.population import Part
from luthier.recipe.ladder import Setting
from luthier.recipe.plan import FOLDS
from luthier.recipe.schedules import schedule_named
from luthier.recipe.steps.deliverable import Component
from luthier.recipe.work import Work
from luthier.saved import activate
from luthier.seeds import derive, numpy_generator


@dataclass(frozen=True)
class Folds:
    """The networks of all folds, and what each said of the rows that it had left out [N, C], validation rows last."""

    components: tuple[Component, ...]
    outputs: Tensor
    targets: Tensor


def train_folds(work: Work, setting: Setting) -> Folds | None:
    """The setting from two seeds in every fold; None where rows are many, follow time, or the time was up."""
    stage = work.plan.folds
    if stage is None or work.script.asked.time:
        return None
    _, training, validation = work.prepared(setting.method)
    whole = _joined(training, validation)
    outputs = torch.zeros(len(whole), work.outputs + (work.data.task.kind == "binary"), dtype=torch.float64)
    planned = stage.for_batches(setting.batch_size, work.plan.batch_size)
    components: list[Component] = []
    for number, left_out in enumerate(_folds(work)):
        rest = np.setdiff1d(np.arange(len(whole)), left_out)
        parts = _rows(whole, torch.from_numpy(rest)), _rows(whole, torch.from_numpy(left_out))
        members = [
            replace(
                setting.member,
                seed=derive(work.seed, "fold", number, k),
                schedule=schedule_named(setting.member.schedule.kind, planned.steps),
                label=f"fold {number}, seed {k}",
            )
            for k in range(2)
        ]
        trained = work.train(
            f"folds-{number}", "folds", planned, setting.method, setting.rule, members,
            batch_size=setting.batch_size, parts=parts,
        )  # fmt: skip
        if trained is None or len(trained.usable()) < len(members):
            return None
        components += [Component(trained, i) for i in range(len(members))]
        outputs[torch.from_numpy(left_out)] = activate(trained.logits, work.data.task.kind).mean(0)
    return Folds(tuple(components), outputs, whole.targets)


def _joined(training: Part, validation: Part) -> Part:
    pairs = [(getattr(training, name), getattr(validation, name)) for name in ("features", "codes", "targets")]
    return Part(*(torch.cat(pair) for pair in pairs))


def _rows(part: Part, index: Tensor) -> Part:
    return Part(part.features[index], part.codes[index], part.targets[index])


def _folds(work: Work) -> list[np.ndarray]:
    """Row numbers of each fold, sorted: equal rows and rows of a group stay together."""
    frames = (work.data.training_frame, work.data.validation_frame)
    group, target = work.script.asked.group, work.data.task.target
    labels = [
        frame[group].hash(seed=0).to_numpy() if group else frame.drop(target).hash_rows(seed=0).to_numpy()
        for frame in frames
    ]
    _, groups = np.unique(np.concatenate(labels), return_inverse=True)
    order = numpy_generator(work.seed, "folds").permutation(groups.max() + 1)
    return [np.flatnonzero(np.isin(groups, chosen)) for chosen in np.array_split(order, FOLDS)]
