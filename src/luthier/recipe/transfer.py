"""Transfer: a network that knows other rows learns these, and how much of it may change is found by experiment (S4-18).

First a new head is trained on a backbone that stays as it is; then, from that head on, blocks are unfrozen from the
last one back, each deeper one at a smaller rate. How many stays is decided by paired validation losses: more blocks
are kept only where they gain more than noise. What is frozen is frozen whole, the averages of its batch norm too.

S seeds, N validation rows.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import InputError
from luthier.objective import LOSSES
from luthier.optimise import Schedule
from luthier.population import Member, ModuleSpec, Part, Settings, train
from luthier.population.networks import loss_for, part_of
from luthier.recipe.gains import SeedSpread, paired
from luthier.seeds import derive

DEEPER = 0.4  # times the rate of the block above (about the 1 / 2.6 of Howard and Ruder 2018)
HEAD_RATES = (3e-3, 1e-2, 3e-2)
RATES = (1e-3, 5e-3)  # of the head while blocks below it learn too
ROWS = 256


def freeze_all_but(module: nn.Module, learning: Sequence[str]) -> nn.Module:
    """The module, of whose children only those named learn: the others stay in evaluation mode, whatever is asked for.

    >>> net = freeze_all_but(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)), ["1"]).train()
    >>> net[0].training, net[1].training, net[0].weight.requires_grad
    (False, True, False)
    """
    frozen = [name for name, _ in module.named_children() if name not in learning]

    class PartlyFrozen(type(module)):  # type: ignore[misc]  # so that names stay as they are
        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            for name in frozen:
                self.get_submodule(name).eval()
            return self

    for parameter in module.parameters(recurse=False):
        parameter.requires_grad_(False)
    for name, child in module.named_children():
        child.requires_grad_(name in learning)
    module.__class__ = PartlyFrozen
    return module


@dataclass(frozen=True)
class Transferred:
    """The network, how many of its blocks below the head were unfrozen, and what each number of them measured.

    `options` has for each: `unfrozen`, `blocks` (their names), `loss` over seeds and rows, `score` (the share that is
    right, or the root mean squared error), and `gain` over the best number of blocks before it.
    """

    module: nn.Module
    unfrozen: int
    options: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        lines = [f"{self.unfrozen} blocks unfrozen below the head"]
        for option in self.options:
            gain = option.get("gain")
            said = f", gain {gain['gain']:+.4f} ± {gain['half_width']:.4f}" if gain else ""
            lines.append(
                f"  {option['unfrozen']} unfrozen: loss {option['loss']:.4f}, score {option['score']:.4f}{said}"
            )
        return "\n".join(lines)


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

    `backbone` is a module whose last linear layer is taken for its head, and replaced; it stays as it is. `data` and
    `validation` are (X, y). Whole-number targets are classes. InputError for a module without a linear layer
    below its top, and for rows that cannot be learnt from.

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
    net = _with_new_head(backbone, wanted, derive(seed, "head"))
    blocks = [name for name, child in net.named_children() if any(True for _ in child.parameters())]
    batch = min(batch_size, len(training))
    steps = max(1, round(epochs * -(-len(training) // batch)))
    lasting = len(blocks) - 1 if most_unfrozen is None else min(most_unfrozen, len(blocks) - 1)
    names = [derive(seed, "transfer", k) for k in range(seeds)]

    every = max(1, steps // 10)
    settings = Settings(loss=loss, rule="adam", batch_size=batch, steps=steps, evaluate_every=every, batch_seed=seed)
    starts = _train_heads(net, blocks[-1], training, held_out, settings, names)
    spread, found = SeedSpread(), list[dict[str, Any]]()
    states: list[list[dict[str, Tensor]]] = []
    standing: np.ndarray | None = None
    best = 0
    for count in range(lasting + 1):
        learning = blocks[len(blocks) - 1 - count :]
        rates = tuple(DEEPER ** (len(learning) - 1 - place) for place in range(len(learning)))
        kept = starts if count == 0 else [
            _go_on(net, learning, rates, start, training, held_out, settings, s)[0]
            for start, s in zip(starts, names, strict=True)
        ]  # fmt: skip
        logits = torch.cat([_outputs(net, state, held_out) for state in kept])
        rows = LOSSES[loss].rows(logits, held_out.targets).double().numpy()
        score = float(np.mean([_score(one, held_out) for one in logits]))
        option: dict[str, Any] = {"unfrozen": count, "blocks": learning, "loss": float(rows.mean()), "score": score}
        if standing is not None:
            spread.add([standing - rows])
            option["gain"] = paired(standing, rows, 1, spread)
        found.append(option)
        states.append(kept)
        if standing is None or (option["gain"]["clear"] and option["gain"]["gain"] > 0):
            standing, best = rows, count
    assert standing is not None
    module = copy.deepcopy(net)
    module.load_state_dict(states[best][int(standing.mean(1).argmin())])
    return Transferred(module.requires_grad_(True).eval(), best, tuple(found))


def _with_new_head(backbone: nn.Module, outputs: int, seed: int) -> nn.Module:
    """A copy of the module with a fresh last linear layer."""
    net = copy.deepcopy(backbone)
    linear = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear) and name]
    if not linear:
        raise InputError("the backbone has no linear layer to replace", expected="a module that ends in nn.Linear")
    parent, _, name = linear[-1].rpartition(".")
    old = net.get_submodule(linear[-1])
    assert isinstance(old, nn.Linear)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = nn.Linear(old.in_features, outputs).to(old.weight.dtype)
    nn.init.zeros_(head.weight)
    setattr(net.get_submodule(parent), name, head)
    return net


def _train_heads(
    net: nn.Module, head: str, training: Part, validation: Part, settings: Settings, seeds: Sequence[int]
) -> list[dict[str, Tensor]]:
    """The best of several rates for each seed, all else frozen; whole states."""
    found = []
    for s in seeds:
        tried = [_trained(net, [head], (1.0,), rate, training, validation, settings, s) for rate in HEAD_RATES]
        found.append(min(tried, key=lambda one: one[1])[0])
    return found


def _go_on(
    net: nn.Module, learning: Sequence[str], rates: tuple[float, ...], start: dict[str, Tensor],
    training: Part, validation: Part, settings: Settings, s: int,
) -> tuple[dict[str, Tensor], float]:  # fmt: skip
    begun = copy.deepcopy(net)
    begun.load_state_dict(start)
    tried = [_trained(begun, learning, rates, rate, training, validation, settings, s) for rate in RATES]
    return min(tried, key=lambda one: one[1])


def _trained(
    net: nn.Module, learning: Sequence[str], rates: tuple[float, ...], rate: float,
    training: Part, validation: Part, settings: Settings, s: int,
) -> tuple[dict[str, Tensor], float]:  # fmt: skip
    """The state of the lowest validation loss, and that loss; infinite where training diverged."""
    spec = ModuleSpec(freeze_all_but(copy.deepcopy(net), learning))
    member = Member(spec, s, rate, schedule=Schedule("cosine"), layer_rates=rates)
    outcome = train([member], training, validation, settings)
    best = float(outcome.best_validation_loss[0])
    if not np.isfinite(best):
        return {name: value.clone() for name, value in net.state_dict().items()}, float("inf")
    return {**net.state_dict(), **outcome.state_dict(0)}, best


@torch.no_grad()
def _outputs(net: nn.Module, state: dict[str, Tensor], part: Part) -> Tensor:
    """Outputs [1, N, C] in evaluation mode."""
    known = copy.deepcopy(net)
    known.load_state_dict(state)
    known.eval()
    return torch.cat([known(some) for some in torch.split(part.features, ROWS)]).unsqueeze(0)


def _score(outputs: Tensor, part: Part) -> float:
    if part.targets.is_floating_point():
        return float((outputs[:, 0] - part.targets).square().mean().sqrt())
    return float((outputs.argmax(1) == part.targets).double().mean())
