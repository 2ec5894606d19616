"""Transfer: a network that knows other rows learns these, and how much of it may change is found by experiment.

First heads are trained on what the frozen backbone makes of the rows, which is worked out once: many heads at once,
of several rates and penalties, on its last layer and on earlier ones. From the best of them on, blocks are unfrozen
from the last one back, each with the rate that its own range test suggests. How many is decided by paired validation
losses: more are unfrozen only where they gain more than noise. Where the network was cut at an earlier block, the whole
of it, unfrozen, is tried against what came of that. What is frozen is frozen whole; the averages of its
batch norms are its own, or those of the new rows where that gains; in unfrozen blocks both are tried: averages that
are kept, so that nothing moves but what learns, and averages that follow the batches.

S seeds, N rows, D features below the head.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from luthier.engine import part_of
from luthier.engine.api import alike, suited
from luthier.engine.members.devices import AUTO, resolve
from luthier.engine.members.module_spec import bare
from luthier.engine.members.outputs import as_rows
from luthier.engine.populations.loaders import types_taken
from luthier.errors import ConfigError, InputError, users_code
from luthier.machine import torch_settings
from luthier.nets.blocks import (
    Truncated,
    anatomy_of,
    has_norms,
    reestimate_norms,
    with_new_head,
)
from luthier.nets.seen_rows import seen_by
from luthier.objective import LOSSES, AnyLoss, loss_by_name, loss_for, outputs_for
from luthier.pretrained.feature_heads import ROWS, FeatureHeads, heads_on, score_of
from luthier.pretrained.transferred import Advice, CutOption, DepthOption, StoredGain, Transferred
from luthier.pretrained.unfreezing import Depth, UnfreezingJob, best_way, depths
from luthier.rows import Rows
from luthier.seeds import derive
from luthier.statistics.paired import Gain, SeedSpread, paired

OWN, ANEW = "their own moving averages", "the moving averages of the new rows"
TOP_RATE = 3e-3  # of a head once blocks below it learn: its own rate was for features of deviation 1
MOST_CUTS = 8  # blocks whose activations are tried
FEW = 100  # rows a class below which rows are called few
SIMILAR = 0.5  # of the loss on features of the untrained module, below which the tasks are called similar


@torch_settings()
def transfer(
    backbone: nn.Module,
    data: Any,
    *,
    validation: Any,
    outputs: int | None = None,
    loss: AnyLoss | None = None,
    epochs: float = 10,
    batch_size: int = 32,
    seeds: int = 2,
    most_unfrozen: int | None = None,
    device: str | torch.device = AUTO,
    seed: int = 0,
    cached: bool = False,
    enough: Callable[[], bool] = lambda: False,
) -> Transferred:
    """Fit a pretrained network to new rows.

    `backbone` is a module whose outputs are those of a linear layer, its head, which is replaced; a pass over two rows
    finds it. The module stays as it is; what comes back is a copy in float32, without `nn.DataParallel`. Its blocks are
    its children, and the children of containers among them, in the order in which that pass used them. `data` and
    `validation` are as for `luthier.train`; whole-number targets are classes, `outputs` of them (as many as occur).
    `epochs` is how long unfrozen blocks learn, on the `device` "cpu", "cuda", "cuda:1" or "mps"; "auto" is an
    accelerator where there is one. `loss` names one of the engine's where the targets do not imply it. Batches have
    `batch_size` rows, each head and each depth `seeds` networks, drawn from `seed`; at most `most_unfrozen` blocks are
    unfrozen (all). With `cached` what the frozen blocks give for each row is kept in the user's cache, for other calls
    with the same rows and weights. Before each depth `enough` is asked whether it is to be left out, with all that
    come after it. InputError for a module whose outputs no linear layer computes, and for rows that cannot be learnt
    from.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5))
    >>> X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> found = transfer(net, (X, (X[:, 0] > 0).long()), validation=(X, (X[:, 0] > 0).long()), epochs=2)
    >>> found.module[-1].out_features
    2
    """
    _check(epochs=epochs, batch_size=batch_size, seeds=seeds, most_unfrozen=most_unfrozen)
    whole_net = _in_single_precision(backbone)
    training, held_out = part_of(data, "data"), part_of(validation, "validation")
    named = _loss_named(loss, training.targets)
    kinds = types_taken(whole_net, training.inputs, torch.float32)
    training, held_out = (suited(part, kinds, named, torch.float32) for part in (training, alike(training, held_out)))
    wanted = outputs or _outputs_for(named, training.targets, held_out.targets)
    for what, part in (("training", training), ("validation", held_out)):
        _check_targets(named, wanted, part.targets, what)
    job = UnfreezingJob(
        named,
        training,
        held_out,
        wanted,
        epochs,
        min(batch_size, len(training)),
        seed,
        tuple(derive(seed, "transfer", k) for k in range(seeds)),
        resolve(device),
    )
    head, blocks, readable = anatomy_of(whole_net, training.inputs.only[:2])
    offered, spread = _offered(blocks, readable), SeedSpread()
    whole = _begun(job, with_new_head(whole_net, head, wanted), head, blocks, offered, cached)
    statistics, gain_anew = OWN, None
    if has_norms(whole.net):
        anew = reestimate_norms(whole.net, torch.split(training.inputs.only, ROWS))
        other = _begun(job, anew, head, blocks, offered)
        gain = paired(whole.heads.rows, other.heads.rows, 1, spread)
        gain_anew = _stored(gain)
        if gain.lowers:
            whole = other  # what blocks gave before is let go
            whole, statistics = _begun(job, anew, head, blocks, offered), ANEW
    start, cut = _cut(job, whole, offered, spread)
    untrained = _begun(job, _untrained(start.net, seed), start.head, start.blocks).heads
    taken = start.standing
    tried = [taken]
    ways = _depths(job, start, most_unfrozen)
    while not enough() and (depth := next(ways, None)) is not None:
        tried.append(_unfrozen(job, start, depth, taken, spread))
        if tried[-1].gains > 0:
            taken = tried[-1]
        elif tried[-1].gains < 0 and tried[-2].gains < 0:
            break  # two that clearly lost: deeper ones change still more with as few rows
    if start is not whole and not enough() and (deepest := list(_depths(job, whole, most_unfrozen))[-1:]):
        tried.append(_unfrozen(job, whole, deepest[0], taken, spread))
        tried[-1].option["whole"] = True
        if tried[-1].gains > 0:
            taken = tried[-1]
    module = copy.deepcopy(taken.net)
    module.load_state_dict(taken.states[int(taken.rows.mean(1).argmin())])
    body = getattr(taken.net, "body", None)
    ends_at = str(body.block) if isinstance(body, Truncated) else ""
    advice = _advice(job, start.heads, untrained, len(start.blocks) - 1, taken.option["unfrozen"])
    options = tuple(one.option for one in tried)
    module = module.requires_grad_(True).eval()
    return Transferred(module, tried.index(taken), options, statistics, gain_anew, cut, ends_at, advice)


def _stored(gain: Gain) -> StoredGain:
    return {"gain": gain.gain, "half_width": gain.half_width, "pairs": gain.pairs, "clear": gain.clear}


def _check(**given: Any) -> None:
    mistakes = [
        f"{name} must be a whole number of at least {least}, not {given[name]!r}"
        for name, least in (("batch_size", 1), ("seeds", 1), ("most_unfrozen", 0))
        if given[name] is not None and not (isinstance(given[name], int) and given[name] >= least)
    ]
    epochs = given["epochs"]
    if not isinstance(epochs, int | float) or not 0 < epochs < float("inf"):
        mistakes.append(f"epochs is a number above 0, not {epochs!r}")
    if mistakes:
        raise ConfigError(mistakes)


def _in_single_precision(backbone: Any) -> nn.Module:
    """A copy whose numbers are float32: heads on features of half of that precision would learn its rounding."""
    if not isinstance(backbone, nn.Module):
        received = type(backbone).__name__
        raise InputError("the backbone is not a module", expected="an nn.Module", received=received)
    if any(is_lazy(parameter) for parameter in backbone.parameters()):
        raise InputError("the backbone has layers without a shape", remedy="call backbone(x) on one batch before")
    with users_code("the backbone cannot be copied", remedy="detach tensors that it keeps from earlier passes"):
        return copy.deepcopy(bare(backbone)).float().cpu()  # type: ignore[no-any-return]


def _loss_named(loss: Any, targets: Tensor) -> str:
    """The name of the loss, as heads are trained with it."""
    result = loss_for(targets, loss, flat=True)
    if not isinstance(result, str) or loss_by_name(result).couples:
        given = f"'{loss}'" if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
        raise InputError(
            "heads are trained with a loss of single rows",
            expected=f"targets [N] or [N, K], and one of {', '.join(n for n in LOSSES if not LOSSES[n].couples)}",
            received=f"targets {list(targets.shape)}, and {'no loss' if loss is None else given}",
        )
    return result


def _check_targets(loss: str, outputs: int, targets: Tensor, what: str) -> None:
    check = loss_by_name(loss).check
    assert check is not None
    try:
        check(outputs, targets)
    except InputError as error:
        raise error.about(f"{what} rows") from None


def _outputs_for(loss: str, *targets: Tensor) -> int:
    """How many outputs a head has: one for two classes, else as many as the loss takes."""
    if loss == "binary" and targets[0].ndim == 1:
        return 1
    return max(outputs_for(loss, some) for some in targets)


@dataclass(frozen=True, eq=False)
class _Tried:
    """An option that was tried and what it measured; states of a network over seeds, and validation losses [S, N]."""

    option: DepthOption
    net: nn.Module
    states: Sequence[dict[str, Tensor]]
    rows: np.ndarray

    @property
    def gains(self) -> int:
        """1 where it clearly gained over what stood before it, -1 where it clearly lost, 0 where that is noise."""
        gain = self.option.get("gain")
        return 0 if gain is None or not gain["clear"] else 1 if (gain["gain"] or 0) > 0 else -1


@dataclass(frozen=True)
class _Start:
    """A frozen network, the name of its head, its blocks with the head's last, and the best heads on it."""

    net: nn.Module
    head: str
    blocks: list[str]
    heads: FeatureHeads
    seen: Sequence[tuple[Tensor, Tensor]] = ()  # what blocks that are offered give for training and validation rows

    @property
    def states(self) -> list[dict[str, Tensor]]:
        """The network's states with each of the heads."""
        return [self.heads.state(self.net, self.head, k) for k in range(len(self.heads.rows))]

    @property
    def standing(self) -> _Tried:
        """Heads alone, the first option."""
        heads = self.heads
        option: DepthOption = {
            "unfrozen": 0,
            "blocks": self.blocks[-1:],
            "rates": [heads.rate],
            "loss": float(heads.rows.mean()),
            "score": heads.score,
        }
        return _Tried(option, self.net, self.states, heads.rows)


def _depths(job: UnfreezingJob, start: _Start, most: int | None) -> Iterator[Depth]:
    return depths(job, start.net, start.blocks, start.states[0], min(TOP_RATE, start.heads.rate), most)


def _unfrozen(job: UnfreezingJob, start: _Start, depth: Depth, standing: _Tried, spread: SeedSpread) -> _Tried:
    """So many blocks unfrozen, with their gain over what stands."""
    count, learning, choices = depth
    norms, rates, after = best_way(job, start.net, start.blocks, learning, choices, start.states)
    logits = as_rows(torch.stack([_outputs(start.net, state, job.validation) for state in after]))
    rows = loss_by_name(job.loss).rows(logits, job.validation.targets).double().numpy()
    spread.add([standing.rows - rows])
    score = float(np.mean([score_of(one, job.validation) for one in logits]))
    option: DepthOption = {
        "unfrozen": count,
        "blocks": learning,
        "rates": list(rates),
        "loss": float(rows.mean()),
        "score": score,
        "norms": norms,
        "gain": _stored(paired(standing.rows, rows, 1, spread)),
    }
    return _Tried(option, start.net, after, rows)


def _begun(
    job: UnfreezingJob, net: nn.Module, head: str, blocks: list[str], offered: Sequence[str] = (), kept: bool = False
) -> _Start:
    """Heads on what reaches the last layer of a frozen module, and what earlier blocks give, by one pass."""
    parts = (part.inputs.only for part in (job.training, job.validation))
    last, *others = zip(*(seen_by(net, head, offered, X, ROWS, kept=kept) for X in parts), strict=True)
    return _Start(net.eval(), head, blocks, heads_on(job, *last), others)


def _offered(blocks: Sequence[str], readable: Collection[str]) -> list[str]:
    """Blocks, from the first to the last but one, on whose output heads are tried."""
    known = [name for name in blocks[:-1] if name in readable]
    indices = np.linspace(0, len(known) - 1, min(MOST_CUTS, len(known))).round().astype(int)
    return [known[place] for place in indices]


def _cut(
    job: UnfreezingJob, whole: _Start, offered: Sequence[str], spread: SeedSpread
) -> tuple[_Start, tuple[CutOption, ...]]:
    """The network up to the block whose activations serve best, where one serves clearly better than the last.

    What the first blocks of a network say holds for other tasks too; what the last ones say is about its own.
    """
    net, blocks, heads = whole.net, whole.blocks, whole.heads
    tried = [heads_on(job, below, above) for below, above in whole.seen]
    if not tried:
        return whole, ()
    spread.add([heads.rows - one.rows for one in tried])
    gains = [paired(heads.rows, one.rows, len(tried), spread) for one in tried]
    options = tuple(
        CutOption(block=name, loss=float(one.rows.mean()), score=one.score, gain=_stored(gain))
        for name, one, gain in zip(offered, tried, gains, strict=True)
    )
    best = min(range(len(tried)), key=lambda k: float(tried[k].rows.mean()))
    if not gains[best].lowers:
        return whole, options
    name, width = offered[best], whole.seen[best][0].shape[1]
    body = Truncated(net, name).requires_grad_(False)
    cut = nn.Sequential(OrderedDict(body=body, head=nn.Linear(width, job.outputs)))
    kept = blocks[: blocks.index(name) + 1]
    return _Start(cut.eval(), "head", [*(f"body.net.{one}" for one in kept), "head"], tried[best]), options


def _untrained(net: nn.Module, seed: int) -> nn.Module:
    """The same module with fresh weights, where its layers know how to draw them."""
    fresh = copy.deepcopy(net)
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "untrained"))
        for layer in fresh.modules():
            if callable(draw := getattr(layer, "reset_parameters", None)):
                draw()
    return fresh.eval()


def _advice(job: UnfreezingJob, heads: FeatureHeads, untrained: FeatureHeads, blocks: int, measured: int) -> Advice:
    """The rule of thumb by the amount of data and the likeness of the tasks (CS231n), beside what was measured."""
    groups = len(torch.unique(job.training.targets)) if not job.training.targets.is_floating_point() else 1
    few = len(job.training) < FEW * groups
    ratio = float(heads.rows.mean() / max(1e-12, untrained.rows.mean()))
    similar = ratio < SIMILAR
    says = 0 if few and similar else max(1, blocks // 4) if few or similar else blocks
    kind = "similar" if similar else "different"
    sentence = (
        f"rule of thumb for {'few' if few else 'many'} rows of a {kind} task: unfreeze {says} blocks; measured "
        f"best: {measured}"
    )
    return {"few": few, "similar": similar, "ratio": ratio, "blocks": says, "sentence": sentence}


@torch.no_grad()
def _outputs(net: nn.Module, state: dict[str, Tensor], part: Rows) -> Tensor:
    """Outputs [N, C] in evaluation mode."""
    known = copy.deepcopy(net)
    known.load_state_dict(state)
    known.eval()
    return torch.cat([known(some.clone()) for some in torch.split(part.inputs.only, ROWS)])
