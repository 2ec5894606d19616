"""A warm start: the networks of an earlier run go on learning, from new rows of the same table.

In place of steps 2 to 4. Compared are the networks as they were; trained further, at three rates; and fresh ones
with the same setting; from the new rows alone, or together with the earlier run's training rows, which guard
against forgetting. What was forgotten is then measured on the earlier run's validation rows.

K networks, N rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from luthier.assess import paired_difference, seen_by
from luthier.data import Dataset
from luthier.errors import InputError, LuthierError, in_a_line
from luthier.nets import DenseNet, DenseSpec
from luthier.population import Part
from luthier.recipe.config import Asked
from luthier.recipe.evidence import row_losses
from luthier.recipe.ladder import Ladder, Setting, Standing, seeded, standing_of
from luthier.recipe.memory import Memory
from luthier.recipe.prepare import parts_of
from luthier.recipe.reading import model_of, reread
from luthier.recipe.steps.baselines import own_scale
from luthier.recipe.work import Trained, Work
from luthier.records import Finding
from luthier.saved import Model, activate, open_run
from luthier.seeds import derive

FACTORS = (0.1, 0.3, 1.0)  # times the rate that the earlier run came to
MOST = 5  # networks that go on
NEW, ALL = "the new rows", "new and earlier rows"


@dataclass(frozen=True)
class Earlier:
    """The run that is gone on from: its model, the setting it came to, and its open rows where they can be had."""

    run: str
    model: Model
    setting: Setting
    training: Dataset | None = None
    validation: Dataset | None = None
    missing: str = ""  # why its rows cannot be had


def earlier_run(asked: Asked) -> Earlier:
    """What a warm start begins with. InputError for a run that has come to no setting or model."""
    folder = open_run(asked.warm_start)
    model = model_of(asked.warm_start)
    known = folder.checkpoint / "closed.json"
    if not known.exists():
        raise InputError(f"'{asked.warm_start}' has come to no setting", remedy="name a run that finished step 4")
    setting = Setting.from_json(Memory(folder.checkpoint, lambda: 0.0).json("closed", dict))
    heaviest = model.nets[int(np.argmax(model.weights))].spec
    if not isinstance(heaviest, DenseSpec):
        raise InputError(
            f"'{asked.warm_start}' learnt from pictures or text", remedy="fit the new rows together with the old"
        )
    same = len(heaviest.hidden) == len(setting.member.dense.hidden)
    member = replace(setting.member, dropout=setting.member.dropout if same else (), spec=heaviest)
    setting = replace(setting, method=model.preprocess.method, member=member)
    try:
        before, read = reread(folder)
    except LuthierError as error:
        return Earlier(asked.warm_start, model, setting, missing=in_a_line(error))
    parts = parts_of(read, before)
    return Earlier(asked.warm_start, model, setting, parts.training, parts.validation)


def warm_start(work: Work, earlier: Earlier) -> tuple[Setting, Trained]:
    """Compare the ways to go on, and return the one that stands with its networks."""
    work.ledger.add("note", {"step": 2, "sentence": f"steps 2 and 3 are taken over from '{Path(earlier.run).name}'"})
    if earlier.missing:
        sentence = f"what is forgotten cannot be measured, nor guarded against: {earlier.missing}"
        work.ledger.add("note", {"step": 4, "sentence": sentence})
    setting = replace(earlier.setting, label="the networks as they were")
    nets = _heaviest(earlier.model, setting)
    trained = {setting.label: _as_they_were(work, setting, nets)}
    ladder = Ladder(work, 4, "fit validation", "warm", work.plan.fit_validation)
    ladder.standing = standing_of(work, trained[setting.label], setting)
    found: list[Standing] = []
    for name, parts in _rows(work, earlier, setting.method).items():
        for factor in (*FACTORS, None):
            option = _option(setting, name, factor)
            one = _trained(work, option, nets if factor is not None else None, parts, len(nets))
            if one is not None and len(one.usable()) == len(nets):
                trained[option.label] = one
                found.append(standing_of(work, one, option))
    if found:
        why = "networks go on from where they were, or start afresh, whichever does best on new rows"
        ladder.judge("warm start", why, found)
    chosen = ladder.standing.setting
    return chosen, trained[chosen.label]


def _heaviest(model: Model, setting: Setting) -> list[DenseNet]:
    order = sorted(range(len(model.nets)), key=lambda place: -model.weights[place])
    nets = [model.nets[place] for place in order]
    return [net for net in nets if isinstance(net, DenseNet) and net.spec == setting.member.spec][:MOST]


def _option(setting: Setting, rows: str, factor: float | None) -> Setting:
    if factor is None:
        return replace(setting, label=f"fresh networks on {rows}")
    rate = setting.member.learning_rate * factor
    member = replace(setting.member, learning_rate=rate)
    return replace(setting, member=member, label=f"further on {rows}, rate {rate:.3g}")


def _rows(work: Work, earlier: Earlier, method: str) -> dict[str, tuple[Part, Part]]:
    """Rows to learn from, by name, each with the new validation rows."""
    _, training, validation = work.prepared(method)
    found = {NEW: (training, validation)}
    if earlier.training is not None:
        found[ALL] = (training.joined(work.part(earlier.model.preprocess, earlier.training)), validation)
    return found


def _trained(
    work: Work, option: Setting, nets: Sequence[DenseNet] | None, parts: tuple[Part, Part], count: int
) -> Trained | None:
    planned = work.plan.fit_validation.for_batches(option.batch_size, work.plan.batch_size)
    members = seeded(option, [derive(work.seed, "warm", k) for k in range(count)], planned.steps, option.label)
    name = f"warm-{option.label.replace(' ', '-').replace(',', '')}"
    initial = None if nets is None else [net.state_dict() for net in nets]
    return work.train(
        name,
        "fit validation",
        planned,
        option.method,
        option.rule,
        members,
        batch_size=min(option.batch_size, len(parts[0])),
        parts=parts,
        initial=initial,
    )


@torch.no_grad()
def _as_they_were(work: Work, setting: Setting, nets: Sequence[DenseNet]) -> Trained:
    """The networks without any training, as if they were a population."""
    _, training, validation = work.prepared(setting.method)
    kind = work.data.task.kind
    logits = [torch.stack([net(part.features, part.codes) for net in nets]) for part in (training, validation)]
    losses = [
        row_losses(activate(found, kind), part.targets, kind, part.weights).mean(1).numpy()
        for found, part in zip(logits, (training, validation), strict=True)
    ]
    trained = Trained(
        name="as they were",
        stage="fit validation",
        method=setting.method,
        rule=setting.rule,
        batch_size=setting.batch_size,
        members=tuple(seeded(setting, [derive(work.seed, "warm", k) for k in range(len(nets))], 1)),
        statuses=("not trained",) * len(nets),
        train_loss=losses[0],
        validation_loss=losses[1],
        validation_score=losses[1],
        best_step=np.zeros(len(nets)),
        steps_done=0,
        logits=logits[1],
        weights={k: net.state_dict() for k, net in enumerate(nets)},
    )
    work.trained.append(trained)
    return trained


def forgotten(work: Work, model: Model, earlier: Earlier) -> dict[str, Any] | None:
    """How the delivered model does on the earlier run's validation rows, beside the model before it."""
    if earlier.validation is None:
        return None
    part, task, metric = earlier.validation, work.data.task, work.metric
    y, weights = own_scale(task, part), None if part.weights is None else part.weights.numpy()
    now, before = (
        one.values(part.numbers, part.codes)
        if task.kind == "regression"
        else seen_by(metric, one.probabilities(part.numbers, part.codes), one.threshold)
        for one in (model, earlier.model)
    )
    change = paired_difference(metric, y, now, before, seed=work.seed, weights=weights)
    if change.high is not None and change.high < 0:
        lost = f"{change.value:+.4g} [{change.low:+.4g}, {change.high:+.4g}]"
        finding = Finding(
            "forgotten",
            "warning",
            f"on the {len(part)} validation rows of the earlier run it is now worse: {metric} by {lost}",
            change.to_json(),
            "fit the earlier and the new rows together, if the earlier ones still matter",
            "S4-18",
        )
        work.ledger.find(finding, step=5)
    return change.to_json()
