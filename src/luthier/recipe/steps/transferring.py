"""Steps 2 to 4 where a network that has learnt elsewhere is given: what of it serves, and what of it may change.

The epochs that unfrozen blocks learn follow from the budget, by one timed pass; zero epochs leave the heads alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from typing_extensions import TypedDict

from luthier.engine import Member
from luthier.messages import Message
from luthier.nets import build
from luthier.pretrained.feature_heads import ROWS
from luthier.pretrained.transfer import transfer
from luthier.pretrained.transferred import Advice, CutOption, DepthOption, StoredGain
from luthier.recipe.decisions.backbone_use import AveragesEvidence, CutHead, Depth, EndEvidence, UnfrozenEvidence
from luthier.recipe.decisions.decision import decided
from luthier.recipe.planning.budget import Budget
from luthier.recipe.planning.setting import Setting
from luthier.recipe.running.backbones import BATCH, PASSES, KnownNetwork, known_network, seconds_of_pass
from luthier.recipe.running.runner import Runner, TrainedPopulation
from luthier.recipe.steps.so_far import SoFar
from luthier.records import Said, noted
from luthier.statistics.paired import Gain

MOST_EPOCHS, FEW_EPOCHS = 20, 3
SHARE = 0.7  # of the time left that goes into unfrozen blocks


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
    """Fit the backbone to the run's pictures or texts, and say what was measured."""
    problem = runner.problem
    known = known_network(problem)
    yield from decided(2, known.evidence())
    tensors, facts = runner.memo.recall("backbone", FittedBackbone) or _transferred(runner, known)
    for sentence in facts["said"]:
        yield noted(2, sentence)
    spec = replace(known.spec, cut=facts["ends_at"], width=facts["width"])
    yield from _say_what_was_measured(facts)
    member = Member(
        spec, problem.seed, max(facts["rates"]), label=Message("{unfrozen} blocks unfrozen", unfrozen=facts["unfrozen"])
    )
    setting = Setting(known.method, "adam", BATCH, member, member.label)
    net = build(spec, seed=0)
    net.load_state_dict(tensors)
    return replace(so_far, setting=setting, started=_as_trained(runner, setting, net.eval()))


def _transferred(runner: Runner, known: KnownNetwork) -> tuple[dict[str, Tensor], FittedBackbone]:
    problem = runner.problem
    _, training, validation = problem.prepared(known.method)
    message = list[str]()
    backbone = known.module(training.inputs.only[:2], message.append)
    epochs, most = _epochs(runner, known, backbone, training.inputs.only)
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
        most_unfrozen=most if epochs else 0,
        device=runner.device,
        seed=problem.seed,
        cached=True,
        enough=_enough(runner),
    )
    head = getattr(result.module, "head", None)
    width = head.in_features if result.ends_at and isinstance(head, torch.nn.Linear) else 0
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


def _enough(runner: Runner) -> Callable[[], bool]:
    """Whether another depth, which takes at least as long as the last one, would not end in the run's time."""
    clock, asked = runner.budget_clock, list[float]()

    def enough() -> bool:
        asked.append(clock.spent())
        last = asked[-1] - asked[-2] if len(asked) > 1 else 0.0
        return clock.left() - runner.plan.finish_seconds < last

    return enough


def _epochs(runner: Runner, known: KnownNetwork, backbone: torch.nn.Module, rows: Tensor) -> tuple[int, int | None]:
    """Epochs of each training of unfrozen blocks that there is time for, and how many blocks at most: as many as can
    learn for a few epochs. A budget of steps gives steps. A repeated run, which has no clock, has what was asked."""
    clock, steps = runner.budget_clock, -(-len(rows) // BATCH)
    budget = Budget.parse(runner.problem.asked.budget) if runner.repeating else clock.budget
    epoch = 0.0 if budget.seconds is None else PASSES * seconds_of_pass(backbone, rows, len(rows))
    found = 0, known.ways[-1].most
    for way in known.ways:
        if budget.seconds is None:
            there = (budget.steps or 0) * SHARE / (steps * way.trainings)
        else:
            left = budget.seconds - clock.spent() - runner.plan.finish_seconds - way.beside * epoch
            there = SHARE * max(0.0, left) / (epoch * way.epochs)
        found = int(min(MOST_EPOCHS, there)), way.most
        if there >= FEW_EPOCHS:
            break
    return found


def _say_what_was_measured(facts: FittedBackbone) -> Said[None]:
    heads = tuple(CutHead(one["block"], one["loss"], one["score"], Gain(**one["gain"])) for one in facts["cut"])
    yield from decided(3, EndEvidence(heads))
    if facts["statistics_gain"]:
        yield from decided(3, AveragesEvidence(Gain(**facts["statistics_gain"])))
    depths = list[Depth]()
    for one in facts["options"]:
        gain = Gain(**one["gain"]) if "gain" in one else None
        depths.append(Depth(one["unfrozen"], one["loss"], one["score"], gain, bool(one.get("whole"))))
    advice = str(facts["advice"]["sentence"])
    yield from decided(4, UnfrozenEvidence(tuple(depths), advice, heads_alone=not facts["epochs"]))


@torch.no_grad()
def _as_trained(runner: Runner, setting: Setting, net: torch.nn.Module) -> TrainedPopulation:
    _, *parts = runner.problem.prepared(setting.method)
    logits = [torch.cat([net(some) for some in torch.split(part.inputs.only, ROWS)]).unsqueeze(0) for part in parts]
    members, weights = [replace(setting.member, label="the fitted backbone")], {0: dict(net.state_dict())}
    how = {"stage": "seeds", "statuses": ("fitted",), "steps_done": 1, "weights": weights}
    return runner.keep_trained("backbone", setting, members, logits, **how)
