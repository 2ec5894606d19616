"""A warm start: the networks of an earlier run go on learning, from new rows of the same table.

In place of steps 2 to 4. Compared are the earlier networks, unchanged; trained further, at three rates; and fresh ones
with the same setting; from the new rows alone, or together with the earlier run's training rows, which guard
against forgetting. What was forgotten is then measured on the earlier run's validation rows.

K networks, N rows, C outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from luthier.assess import Scoring, paired_difference
from luthier.messages import Message
from luthier.nets import DenseNet
from luthier.recipe.decisions.decision import decided, finite
from luthier.recipe.decisions.remedy import RemedyEvidence, StandingLosses, Variant
from luthier.recipe.planning.setting import Setting, seeded
from luthier.recipe.running.pieces_of_populations import TrainingPlan
from luthier.recipe.running.run_baselines import own_scale
from luthier.recipe.running.runner import Runner, TrainedPopulation
from luthier.recipe.running.warm_run import Earlier
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Finding, Measure, Said, found, noted
from luthier.rows import Rows, arguments
from luthier.saved import Model, activate
from luthier.saved.blend import read_as
from luthier.seeds import derive
from luthier.statistics.paired import SeedSpread, paired
from luthier.statistics.row_losses import row_losses

FACTORS = (0.1, 0.3, 1.0)  # times the rate that the earlier run came to
MOST = 5  # networks that go on
NEW, ALL = "the new rows", "new and earlier rows"


def warm_start(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Compare the ways to go on; the one that stands, with its networks."""
    earlier = so_far.earlier
    assert earlier is not None
    yield noted(2, Message("the results of steps 2 and 3 come from '{name}'", name=Path(earlier.run).name))
    if earlier.missing:
        yield noted(4, Message("forgetting cannot be measured or avoided: {missing}", missing=earlier.missing))
    setting = replace(earlier.setting, label="the earlier networks, unchanged")
    nets = _heaviest(earlier.model, setting)
    trained = {setting.label: _as_they_were(runner, setting, nets)}
    options = {setting.label: setting}
    for name, parts in _rows(runner, earlier, setting.method).items():
        for factor in (*FACTORS, None):
            option = _option(setting, name, factor)
            one = yield from _trained(runner, option, nets if factor is not None else None, parts, len(nets))
            if one is not None and len(one.usable()) == len(nets):
                trained[option.label], options[option.label] = one, option
    label = yield from _stands(runner, setting.label, trained)
    return replace(so_far, setting=options[label], started=trained[label])


def _stands(runner: Runner, before: str, trained: Mapping[str, TrainedPopulation]) -> Said[str]:
    """The name of the best way where its gain over the networks as they were is more than noise; else theirs."""
    rows = {name: _losses(runner, one) for name, one in trained.items()}
    others, spread = [name for name in rows if name != before], SeedSpread()
    if not others:
        return before
    spread.add([rows[before] - rows[name] for name in others])
    variants = tuple(
        Variant(
            name,
            float(rows[name].mean()),
            finite(float(np.mean(trained[name].train_loss))),
            round(float(rows[name].mean(1).std(ddof=1)), 5) if len(rows[name]) > 1 else None,
            paired(rows[before], rows[name], len(others), spread),
        )
        for name in others
    )
    standing = StandingLosses(float(rows[before].mean()), finite(float(np.mean(trained[before].train_loss))))
    chosen = yield from decided(4, RemedyEvidence("warm start", variants, standing))
    return before if chosen is None else others[chosen]


def _losses(runner: Runner, trained: TrainedPopulation) -> np.ndarray:
    """The loss of each network for each validation row [K, N]."""
    validation, kind = runner.problem.prepared(trained.method)[2], runner.problem.task.kind
    read = read_as(runner.problem.task, trained.logits.shape[-1])
    return row_losses(activate(trained.logits, read), validation.targets, kind, validation.weights).numpy()


def _heaviest(model: Model, setting: Setting) -> list[DenseNet]:
    order = sorted(range(len(model.nets)), key=lambda place: -model.weights[place])
    nets = [model.nets[place] for place in order]
    return [net for net in nets if isinstance(net, DenseNet) and net.spec == setting.member.spec][:MOST]


def _option(setting: Setting, rows: str, factor: float | None) -> Setting:
    if factor is None:
        return replace(setting, label=Message("from scratch on {rows}", rows=rows))
    rate = setting.member.learning_rate * factor
    member = replace(setting.member, learning_rate=rate)
    return replace(
        setting, member=member, label=Message("trained further on {rows}, rate {rate:.3g}", rows=rows, rate=rate)
    )


def _rows(runner: Runner, earlier: Earlier, method: str) -> dict[str, tuple[Rows, Rows]]:
    """Rows to learn from, by name, each with the new validation rows."""
    problem = runner.problem
    _, training, validation = problem.prepared(method)
    result = {NEW: (training, validation)}
    if earlier.training is not None:
        result[ALL] = (training.joined(problem.part(earlier.model.preprocess, earlier.training)), validation)
    return result


def _trained(
    runner: Runner, option: Setting, nets: Sequence[DenseNet] | None, parts: tuple[Rows, Rows], count: int
) -> Said[TrainedPopulation | None]:
    planned = runner.plan.fit_validation.for_batches(option.batch_size, runner.plan.batch_size)
    members = seeded(
        option, [derive(runner.problem.seed, "warm", k) for k in range(count)], planned.steps, option.label
    )
    name = f"warm-{option.label.replace(' ', '-').replace(',', '')}"
    initial = None if nets is None else [net.state_dict() for net in nets]
    batch = min(option.batch_size, len(parts[0]))
    plan = TrainingPlan.of("fit validation", planned, option, batch_size=batch, parts=parts, initial=initial)
    return (yield from runner.run(name, members, plan))


@torch.no_grad()
def _as_they_were(runner: Runner, setting: Setting, nets: Sequence[DenseNet]) -> TrainedPopulation:
    _, *parts = runner.problem.prepared(setting.method)
    logits = [torch.stack([net(*arguments(net, part.inputs)) for net in nets]) for part in parts]
    members = seeded(setting, [derive(runner.problem.seed, "warm", k) for k in range(len(nets))], 1)
    weights = {k: net.state_dict() for k, net in enumerate(nets)}
    how = {"stage": "fit validation", "statuses": ("not trained",) * len(nets), "steps_done": 0, "weights": weights}
    return runner.keep_trained("as they were", setting, members, logits, **how)


def forgotten(runner: Runner, model: Model, earlier: Earlier) -> Said[Measure | None]:
    """How the delivered model does on the earlier run's validation rows, beside the model before it."""
    problem = runner.problem
    if earlier.validation is None:
        return None
    part, task, metric = earlier.validation, problem.task, problem.metric
    y = own_scale(task, part)
    now, before = (
        one.seen_by(metric, one.probabilities(part.inputs) if task.is_classes else one.values(part.inputs))
        for one in (model, earlier.model)
    )
    change = paired_difference(metric, y, now, before, Scoring.of(part, task), seed=problem.seed)
    if change.high is not None and change.high < 0:
        lost = f"{change.value:+.4g} [{change.low:+.4g}, {change.high:+.4g}]"
        template = "on the {count} validation rows of the earlier run, {metric} is now worse by {lost}"
        finding = Finding(
            "forgotten",
            "warning",
            Message(template, count=len(part), metric=metric, lost=lost),
            change.to_json(),
            "fit the earlier and the new rows together, if the earlier ones still matter",
            "S4-18",
        )
        yield found(5, finding)
    return change
