"""Steps 2 to 4 where a network that has learnt elsewhere is given: what of it serves, and what of it may change.

The epochs that unfrozen blocks learn follow from the budget, by one timed pass; zero epochs leave the heads alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from typing_extensions import TypedDict

from luthier.engine import Member
from luthier.messages import Message
from luthier.nets.backbone import AUTO, BackboneSpec, build_backbone, shown
from luthier.nets.blocks import anatomy_of
from luthier.nets.efficientnet import LITE
from luthier.nets.weights import load_weights, read_weights
from luthier.recipe.computed_once import LEAST_SIDE, weights_of
from luthier.recipe.decisions.backbone_use import (
    AveragesEvidence,
    BackboneEvidence,
    CutHead,
    Depth,
    EndEvidence,
    UnfrozenEvidence,
)
from luthier.recipe.decisions.decision import decided
from luthier.recipe.feature_heads import ROWS
from luthier.recipe.runner import Runner, TrainedPopulation
from luthier.recipe.setting import Setting
from luthier.recipe.so_far import SoFar
from luthier.recipe.transfer import transfer
from luthier.recipe.transferred import Advice, CutOption, DepthOption, StoredGain
from luthier.records import Said, noted
from luthier.saved import activate
from luthier.statistics.paired import Gain
from luthier.statistics.row_losses import row_losses

MOST_EPOCHS, BATCH = 20, 32
SHARE = 0.7  # of the time left that goes into unfrozen blocks
PASSES = 3.0  # what a step costs beside a pass without gradients
DEPTHS, WAYS = 7, 3  # about how many trainings an epoch is multiplied by


class FittedBackbone(TypedDict):
    """What is remembered beside the weights of a fitted backbone: what each depth measured, and what was said."""

    unfrozen: int
    ends_at: str
    rates: list[float]
    statistics: str
    statistics_gain: StoredGain | None
    advice: Advice
    cut: list[CutOption]
    options: list[DepthOption]
    epochs: int
    width: int
    said: list[str]


def use_backbone(runner: Runner, so_far: SoFar) -> Said[SoFar]:
    """Fit the backbone to the run's pictures, and say what was measured."""
    problem = runner.problem
    asked = problem.asked
    channels, height, width = problem.data.training.inputs["pixels"].shape[1:]
    side = max(LEAST_SIDE, height, width)
    name = LITE if asked.backbone == AUTO else asked.backbone
    spec = BackboneSpec(name, (channels, height, width), problem.outputs, side=side)
    file = asked.backbone_weights or Path(weights_of(name, "")).name  # a package lies elsewhere on other machines
    yield from decided(2, BackboneEvidence(name, side, file))
    tensors, facts = runner.memo.recall("backbone", FittedBackbone) or _transferred(runner, spec)
    for sentence in facts["said"]:
        yield noted(2, sentence)
    spec = replace(spec, cut=facts["ends_at"], width=facts["width"])
    yield from _say_what_was_measured(facts)
    member = Member(
        spec, problem.seed, max(facts["rates"]), label=Message("{unfrozen} blocks unfrozen", unfrozen=facts["unfrozen"])
    )
    setting = Setting("pixels", "adam", BATCH, member, member.label)
    net = build_backbone(spec, seed=0)
    net.load_state_dict(tensors)
    return replace(so_far, setting=setting, started=_as_trained(runner, setting, net.eval()))


def _transferred(runner: Runner, spec: BackboneSpec) -> tuple[dict[str, Tensor], FittedBackbone]:
    problem = runner.problem
    _, training, validation = problem.prepared("pixels")
    backbone, message = shown(spec), list[str]()
    if path := weights_of(spec.backbone, problem.asked.backbone_weights):
        last = anatomy_of(backbone, training.inputs.only[:2]).head.removeprefix("body.")
        weights = read_weights(path, say=message.append)
        load_weights(backbone.get_submodule("body"), weights, but=(f"{last}.",), say=message.append)
        message.append(f"the last layer, `{last}`, is replaced: nothing is read for it")
    epochs = _epochs(runner, backbone, training.inputs.only)
    runner.tell("population", name="backbone", stage="fit validation", members=1, steps=max(1, epochs))
    result = transfer(
        backbone,
        training,
        validation=validation,
        outputs=problem.outputs,
        loss=problem.loss,
        epochs=max(1, epochs),
        batch_size=BATCH,
        seeds=1,
        most_unfrozen=None if epochs else 0,
        device=runner.device,
        seed=problem.seed,
        cached=True,
    )
    head = getattr(result.module, "head", None)
    width = head.in_features if isinstance(head, torch.nn.Linear) else 0
    facts: FittedBackbone = {
        "unfrozen": result.unfrozen,
        "ends_at": result.ends_at,
        "rates": result.options[result.taken]["rates"],
        "statistics": result.statistics,
        "statistics_gain": result.statistics_gain,
        "advice": result.advice,
        "cut": list(result.cut),
        "options": list(result.options),
        "epochs": epochs,
        "width": width,
        "said": message,
    }
    tensors = {f"net.{name}": value.contiguous() for name, value in result.module.state_dict().items()}
    runner.memo.keep("backbone", tensors, facts)
    return tensors, facts


@torch.no_grad()
def _epochs(runner: Runner, backbone: torch.nn.Module, pictures: Tensor) -> int:
    """Epochs of each training of unfrozen blocks that there is time for; a budget of steps gives steps."""
    budget = runner.budget_clock.budget
    steps = -(-len(pictures) // BATCH)
    if budget.seconds is None:
        return int(min(MOST_EPOCHS, (budget.steps or 0) * SHARE / (steps * DEPTHS * WAYS)))
    some = pictures[:ROWS]
    backbone.eval()(some[:8])
    began = time.perf_counter()
    backbone(some)
    epoch = (time.perf_counter() - began) * len(pictures) / len(some) * PASSES
    left = max(0.0, runner.budget_clock.left() - runner.plan.finish_seconds - epoch)
    return int(min(MOST_EPOCHS, SHARE * left / (epoch * DEPTHS * WAYS)))


def _say_what_was_measured(facts: FittedBackbone) -> Said[None]:
    heads = tuple(CutHead(one["block"], one["loss"], one["score"], Gain(**one["gain"])) for one in facts["cut"])
    yield from decided(3, EndEvidence(heads))
    if facts["statistics_gain"]:
        yield from decided(3, AveragesEvidence(Gain(**facts["statistics_gain"])))
    depths = tuple(
        Depth(one["unfrozen"], one["loss"], one["score"], _gain_of(one), bool(one.get("whole")))
        for one in facts["options"]
    )
    advice = str(facts["advice"]["sentence"])
    yield from decided(4, UnfrozenEvidence(depths, advice, heads_alone=not facts["epochs"]))


def _gain_of(option: DepthOption) -> Gain | None:
    return Gain(**option["gain"]) if "gain" in option else None


@torch.no_grad()
def _as_trained(runner: Runner, setting: Setting, net: torch.nn.Module) -> TrainedPopulation:
    """The fitted network as a population of one."""
    problem = runner.problem
    _, training, validation = problem.prepared(setting.method)
    kind, losses = problem.task.kind, []
    for part in (training, validation):
        logits = torch.cat([net(some) for some in torch.split(part.inputs.only, ROWS)]).unsqueeze(0)
        losses.append(row_losses(activate(logits, kind), part.targets, kind, part.weights).mean(1).numpy())
    trained = TrainedPopulation(
        name="backbone",
        stage="seeds",
        method=setting.method,
        rule=setting.rule,
        batch_size=setting.batch_size,
        members=(replace(setting.member, label="the fitted backbone"),),
        statuses=("fitted",),
        train_loss=losses[0],
        validation_loss=losses[1],
        validation_score=losses[1],
        best_step=losses[0] * 0,
        steps_done=1,
        logits=logits,
        weights={0: dict(net.state_dict())},
    )
    return runner.keep(trained)
