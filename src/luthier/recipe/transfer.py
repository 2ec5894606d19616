"""Transfer: a network that knows other rows learns these, and how much of it may change is found by experiment (S4-18).

First heads are trained on what the frozen backbone makes of the rows, which is worked out once: many heads at once, of
several rates and penalties. From the best of them on, blocks are unfrozen from the last one back, each with the rate
that its own range test suggests. How many is decided by paired validation losses: more are unfrozen only where they
gain more than noise. What is frozen is frozen whole; the averages of its batch norms are its own, or those of the new
rows where that gains.

S seeds, N rows, D features below the head.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import LuthierError
from luthier.nets import DenseSpec
from luthier.nets.blocks import blocks_of, freeze_all_but, has_norms, head_of, reestimate_norms, with_new_head
from luthier.objective import LOSSES
from luthier.optimise import Schedule
from luthier.population import Member, ModuleSpec, Part, Settings, range_test, train
from luthier.population.networks import loss_for, part_of
from luthier.recipe.gains import SeedSpread, paired
from luthier.seeds import derive

HEAD_RATES, HEAD_DECAYS = (1e-3, 3e-3, 1e-2, 3e-2), (0.0, 0.1, 1.0)
HEAD_STEPS = 300  # a step of a head costs next to nothing
DEEPER = 0.4  # times the rate of the block above, at most (about the 1 / 2.6 of Howard and Ruder 2018)
FACTORS = (1.0, 0.2)  # times the rates of the range tests
RANGE_STEPS, LOWEST_RATE, HIGHEST_RATE = 40, 1e-5, 3e-2
ROWS = 128
FEW = 100  # rows a class below which rows are called few
SIMILAR = 0.5  # of the loss on features of the untrained module, below which the tasks are called similar


@dataclass(frozen=True)
class Transferred:
    """The network, how many of its blocks below the head were unfrozen, and what each number of them measured.

    `options` has for each: `unfrozen`, `blocks` (their names), `rates` (of the blocks that learn), `loss` over seeds
    and rows, `score` (the share that is right, or the root mean squared error), and `gain` over the best number of
    blocks before it. `statistics` says which averages the batch norms below have. `advice` holds what rules of thumb
    would have said: whether rows are few, whether the tasks are similar (by how much better the features are than those
    of the same module untrained), and how many blocks that means.
    """

    module: nn.Module
    unfrozen: int
    options: tuple[dict[str, Any], ...]
    statistics: str
    advice: dict[str, Any]

    def __str__(self) -> str:
        lines = [f"{self.unfrozen} blocks unfrozen below the head; batch norms with {self.statistics}"]
        for option in self.options:
            gain = option.get("gain")
            said = f", gain {gain['gain']:+.4f} ± {gain['half_width']:.4f}" if gain else ""
            lines.append(
                f"  {option['unfrozen']} unfrozen: loss {option['loss']:.4f}, score {option['score']:.4f}{said}"
            )
        return "\n".join([*lines, f"  {self.advice['sentence']}"])


def transfer(
    backbone: nn.Module,
    data: Any,
    *,
    validation: Any,
    outputs: int | None = None,
    epochs: float = 10,
    batch_size: int = 32,
    seeds: int = 2,
    most_unfrozen: int | None = None,
    seed: int = 0,
) -> Transferred:
    """Fit a network that has learnt elsewhere to new rows.

    `backbone` is a module whose last linear layer is taken for its head, and replaced; it stays as it is. Its blocks
    are its children, and the children of containers among them. `data` and `validation` are (X, y); whole-number
    targets are classes. `epochs` is how long unfrozen blocks learn. InputError for a module without a linear layer, and
    for rows that cannot be learnt from.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5))
    >>> X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> found = transfer(net, (X, (X[:, 0] > 0).long()), validation=(X, (X[:, 0] > 0).long()), epochs=2)
    >>> found.module[-1].out_features
    2
    """
    training, held_out = part_of(data, "data"), part_of(validation, "validation")
    loss = loss_for(training.targets, None)
    assert isinstance(loss, str)
    classes = not training.targets.is_floating_point()
    wanted = outputs or (int(max(training.targets.max(), held_out.targets.max())) + 1 if classes else 1)
    job = _Job(loss, training, held_out, wanted, epochs, min(batch_size, len(training)), seed,
               tuple(derive(seed, "transfer", k) for k in range(seeds)))  # fmt: skip
    net = with_new_head(backbone, wanted).eval()
    spread = SeedSpread()
    heads, statistics = _heads_on(job, net), "their own averages"
    if has_norms(net):
        anew = reestimate_norms(net, torch.split(training.features, ROWS))
        others = _heads_on(job, anew)
        gain = paired(heads.rows, others.rows, 1, spread)
        if gain["clear"] and gain["gain"] > 0:
            heads, net, statistics = others, anew, "the averages of the new rows"
    untrained = _untrained(net, seed)
    standing, states = heads.rows, [heads.state(net, k) for k in range(seeds)]
    options: list[dict[str, Any]] = [
        {"unfrozen": 0, "blocks": [head_of(net)], "rates": [heads.rate], "loss": float(heads.rows.mean()),
         "score": heads.score}
    ]  # fmt: skip
    best, kept = 0, states
    for count, learning, rates in _depths(job, net, states[0], heads.rate, most_unfrozen):
        tried = [_unfrozen(job, net, learning, rates, states, factor) for factor in FACTORS]
        after = min(tried, key=lambda one: float(np.mean(one[1])))[0]
        logits = torch.stack([_outputs(net, state, held_out) for state in after])
        rows = LOSSES[loss].rows(logits, held_out.targets).double().numpy()
        spread.add([standing - rows])
        gain = paired(standing, rows, 1, spread)
        score = float(np.mean([_score(one, held_out) for one in logits]))
        options.append({"unfrozen": count, "blocks": learning, "rates": list(rates), "loss": float(rows.mean()),
                        "score": score, "gain": gain})  # fmt: skip
        if gain["clear"] and gain["gain"] > 0:
            standing, best, kept = rows, count, after
        elif count >= 2 and not gain["gain"] > 0:
            break  # deeper ones change more with as few rows
    module = copy.deepcopy(net)
    module.load_state_dict(kept[int(standing.mean(1).argmin())])
    advice = _advice(job, heads, _heads_on(job, untrained), len(blocks_of(net)) - 1, best)
    return Transferred(module.requires_grad_(True).eval(), best, tuple(options), statistics, advice)


@dataclass(frozen=True)
class _Job:
    """What stays the same for every option."""

    loss: str
    training: Part
    validation: Part
    outputs: int
    epochs: float
    batch_size: int
    seed: int
    seeds: tuple[int, ...]

    def settings(self, steps: int) -> Settings:
        """So many steps by Adam."""
        return Settings(loss=self.loss, rule="adam", batch_size=self.batch_size, steps=steps,
                        evaluate_every=max(1, steps // 10), batch_seed=self.seed)  # fmt: skip

    @property
    def steps(self) -> int:
        """Steps of blocks that learn."""
        return max(1, round(self.epochs * -(-len(self.training) // self.batch_size)))


@dataclass(frozen=True)
class _Heads:
    """The best heads on some features: weights [S, C, D] and biases [S, C], and validation losses [S, N]."""

    weights: Tensor
    biases: Tensor
    rows: np.ndarray
    score: float
    rate: float

    def state(self, net: nn.Module, k: int) -> dict[str, Tensor]:
        """The network's state with one of the heads."""
        name, state = head_of(net), {key: value.clone() for key, value in net.state_dict().items()}
        state[f"{name}.weight"], state[f"{name}.bias"] = self.weights[k], self.biases[k]
        return state


def _heads_on(job: _Job, net: nn.Module) -> _Heads:
    """Train heads of several rates and penalties, all at once, on what the frozen module makes of the rows."""
    below, above = (_features(net, part.features) for part in (job.training, job.validation))
    mean, std = below.mean(0), below.std(0, correction=0).clamp_min(1e-6)
    parts = [
        Part((features - mean) / std, torch.zeros(len(part), 0, dtype=torch.int64), part.targets, part.weights)
        for features, part in ((below, job.training), (above, job.validation))
    ]
    spec = DenseSpec(inputs=below.shape[1], hidden=(), outputs=job.outputs)
    settings = [(rate, decay) for rate in HEAD_RATES for decay in HEAD_DECAYS]
    members = [
        Member(spec, s, rate, schedule=Schedule("cosine"), weight_decay=decay)
        for rate, decay in settings
        for s in job.seeds
    ]
    outcome = train(members, parts[0], parts[1], job.settings(max(HEAD_STEPS, job.steps)))
    losses = np.where(np.isfinite(outcome.best_validation_loss), outcome.best_validation_loss, np.inf)
    best = int(losses.reshape(len(settings), -1).mean(1).argmin())
    places = range(best * len(job.seeds), (best + 1) * len(job.seeds))
    named = [outcome.state_dict(place) for place in places]
    weights = torch.stack([one["layers.0.weight"] for one in named]) / std
    biases = torch.stack([one["layers.0.bias"] for one in named]) - weights @ mean
    logits = torch.einsum("nd,scd->snc", above, weights) + biases.unsqueeze(1)
    rows = LOSSES[job.loss].rows(logits, job.validation.targets).double().numpy()
    score = float(np.mean([_score(one, job.validation) for one in logits]))
    return _Heads(weights, biases, rows, score, settings[best][0])


@torch.no_grad()
def _features(net: nn.Module, X: Tensor) -> Tensor:
    """What reaches the head [N, D], in evaluation mode."""
    found: list[Tensor] = []

    def keep(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        found.append(given[0].flatten(1).float())

    handle = net.get_submodule(head_of(net)).register_forward_pre_hook(keep)
    try:
        for some in torch.split(X, ROWS):
            net(some)
    finally:
        handle.remove()
    return torch.cat(found)


def _depths(
    job: _Job, net: nn.Module, state: dict[str, Tensor], head_rate: float, most: int | None
) -> Sequence[tuple[int, list[str], tuple[float, ...]]]:
    """How many blocks to try unfrozen (1, 2, 4, ... and all), their names, and each one's rate by its own test."""
    blocks = blocks_of(net)
    lasting = len(blocks) - 1 if most is None else min(most, len(blocks) - 1)
    counts = sorted({*(1 << k for k in range(lasting.bit_length()) if 1 << k < lasting), lasting} - {0})
    rates, before, found = [head_rate], 0, []
    for count in counts:
        new = blocks[len(blocks) - 1 - count : len(blocks) - 1 - before]
        rate = _range_tested(job, net, state, new, rates[0])
        rates, before = [rate] * len(new) + rates, count
        found.append((count, blocks[len(blocks) - 1 - count :], tuple(rates)))
    return found


def _range_tested(job: _Job, net: nn.Module, state: dict[str, Tensor], blocks: list[str], above: float) -> float:
    """The rate of these blocks by a range test of theirs alone, not more than a part of the one above."""
    begun = copy.deepcopy(net)
    begun.load_state_dict(state)
    highest = DEEPER * above
    try:
        spec = ModuleSpec(freeze_all_but(begun, blocks))
        picked = range_test(spec, job.training, job.settings(RANGE_STEPS), seeds=[job.seed], steps=RANGE_STEPS,
                            low=LOWEST_RATE / 10, high=1.0).pick  # fmt: skip
    except LuthierError:  # a loss that nothing moves tells no rate
        return highest
    return float(np.clip(picked, LOWEST_RATE, min(highest, HIGHEST_RATE))) if np.isfinite(picked) else highest


def _unfrozen(
    job: _Job, net: nn.Module, learning: list[str], rates: tuple[float, ...], starts: Sequence[dict[str, Tensor]],
    factor: float,
) -> tuple[list[dict[str, Tensor]], list[float]]:  # fmt: skip
    """States of the lowest validation loss from each start, and those losses; infinite where training diverged."""
    states, losses = [], []
    top = max(rates)
    for start, s in zip(starts, job.seeds, strict=True):
        begun = copy.deepcopy(net)
        begun.load_state_dict(start)
        spec = ModuleSpec(freeze_all_but(begun, learning), groups=learning)
        shares = tuple(rate / top for rate in rates)
        member = Member(spec, s, factor * top, schedule=Schedule("cosine"), layer_rates=shares)
        outcome = train([member], job.training, job.validation, job.settings(job.steps))
        best = float(outcome.best_validation_loss[0])
        finite = bool(np.isfinite(best))
        states.append({**begun.state_dict(), **outcome.state_dict(0)} if finite else dict(start))
        losses.append(best if finite else float("inf"))
    return states, losses


def _untrained(net: nn.Module, seed: int) -> nn.Module:
    """The same module with fresh weights, where its layers know how to draw them."""
    fresh = copy.deepcopy(net)
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "untrained"))
        for layer in fresh.modules():
            if callable(draw := getattr(layer, "reset_parameters", None)):
                draw()
    return fresh.eval()


def _advice(job: _Job, heads: _Heads, untrained: _Heads, blocks: int, measured: int) -> dict[str, Any]:
    """The rule of thumb by the amount of data and the likeness of the tasks (CS231n), beside what was measured."""
    groups = len(torch.unique(job.training.targets)) if not job.training.targets.is_floating_point() else 1
    few = len(job.training) < FEW * groups
    ratio = float(heads.rows.mean() / max(1e-12, untrained.rows.mean()))
    similar = ratio < SIMILAR
    says = 0 if few and similar else max(1, blocks // 4) if few or similar else blocks
    kind = "similar" if similar else "different"
    sentence = (
        f"rule of thumb for {'few' if few else 'many'} rows of a {kind} task: {says} unfrozen; measured: {measured}"
    )
    return {"few": few, "similar": similar, "ratio": ratio, "blocks": says, "sentence": sentence}


@torch.no_grad()
def _outputs(net: nn.Module, state: dict[str, Tensor], part: Part) -> Tensor:
    """Outputs [N, C] in evaluation mode."""
    known = copy.deepcopy(net)
    known.load_state_dict(state)
    known.eval()
    return torch.cat([known(some) for some in torch.split(part.features, ROWS)])


def _score(outputs: Tensor, part: Part) -> float:
    if part.targets.is_floating_point():
        return float((outputs[:, 0] - part.targets).square().mean().sqrt())
    return float((outputs.argmax(1) == part.targets).double().mean())
