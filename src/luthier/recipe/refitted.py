"""The delivered settings on all rows: new networks in a model that is otherwise the judged one.

N rows, C outputs, M networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch

from luthier.engine import Settings, train
from luthier.nets import Net, build
from luthier.objective import USUAL_LOSSES
from luthier.recipe.delivery.delivered_bags import DeliveredBag
from luthier.rows import Rows
from luthier.saved import Model

COMPARED = 5000  # rows, evenly among all
EVALUATIONS = 4  # of a training, none of which decides anything


@dataclass(frozen=True)
class Refitted:
    """A model from all rows, and how it compares with the judged one on these rows.

    `disagreement` is how far the answers of the two lie apart in the mean over rows: of classes half the sum of the
    differences of their probabilities, of values the difference in standard deviations of the target. `spread` is how
    far the answers of two of the judged model's networks lie apart, in the same measure, in the mean over pairs.
    """

    model: Model
    disagreement: float
    spread: float

    @property
    def agrees(self) -> bool:
        """Whether it lies no farther from the judged model than two of that one's networks from each other."""
        return self.disagreement <= self.spread


def refitted(model: Model, bags: Sequence[DeliveredBag], rows: Rows, seed: int) -> Refitted:
    """Train the settings that a model was delivered with on these rows: as many networks, from the same seeds, for the
    same epochs; their last or averaged weights count. Everything but the networks stays as it was."""
    part = _part(model, rows)
    nets: list[Net] = []
    weights: list[float] = []
    for bag in bags:
        nets += _networks(bag, part, model.task.kind, seed)
        weights += [bag.weight / len(bag.seeds)] * len(bag.seeds)
    result = replace(model, nets=tuple(nets), weights=tuple(weights), metrics={})
    some = rows.rows(torch.from_numpy(np.unique(np.linspace(0, len(rows) - 1, min(COMPARED, len(rows))).astype(int))))
    outputs = [replace(model, nets=(net,), weights=(1.0,)).averaged(some.inputs) for net in model.nets]
    pairs = list(combinations(range(len(outputs)), 2))
    apart = [_apart(outputs[i], outputs[j]) for i, j in pairs]
    counting = [model.weights[i] * model.weights[j] for i, j in pairs]
    spread = float(np.average(apart, weights=counting)) if pairs else 0.0
    one, other = (each.averaged(some.inputs) for each in (result, model))
    return Refitted(result, _apart(one, other), spread)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """How far outputs [N, C] lie apart: of classes the total variation distance."""
    distances = np.abs(one - other).sum(1)
    return float(distances.mean() / (2 if one.shape[1] > 1 else 1))


def _networks(bag: DeliveredBag, part: Rows, kind: str, seed: int) -> list[Net]:
    """A network for each seed. Penalties keep their lambda over n."""
    steps, more = max(1, round(bag.steps * len(part) / bag.rows)), len(part) / bag.rows
    member = bag.setting.member_over(steps)
    member = replace(member, fold=None, l2=member.l2 * more, l1=member.l1 * more)
    members = [replace(member, seed=one) for one in bag.seeds]
    settings = Settings(
        loss=bag.setting.loss or USUAL_LOSSES[kind],
        rule=bag.setting.rule,
        batch_size=bag.setting.batch_size,
        steps=steps,
        evaluate_every=max(1, steps // EVALUATIONS),
        patience=0,
        keep_last=True,
        batch_seed=seed,
    )
    outcome = train(members, part, part, settings)
    result: list[Net] = []
    for place, one in enumerate(members):
        net = build(one.dense, seed=one.seed)
        net.load_state_dict(outcome.state_dict(place))
        result.append(net.eval())
    return result


def _part(model: Model, rows: Rows) -> Rows:
    targets = rows.targets
    assert targets is not None
    if not model.task.is_classes:
        targets = model.transform.standardise(targets).float()
    return Rows(model.preprocess.prepared(rows.inputs), targets, rows.weights)
