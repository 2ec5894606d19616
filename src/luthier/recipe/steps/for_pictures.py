"""What the recipe tries where rows are pictures: a first ConvNet, and the rungs of steps 3 and 4.

In step 4 every option goes on from the networks that step 3 came to, for as many steps and with the same batches:
what a change of the pictures does shows sooner there than in networks that still learn what a picture is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import torch

from luthier.nets import AUGMENTATIONS, Augment, ConvSpec
from luthier.optimise import Schedule
from luthier.recipe.decisions.input_encoding import InputsEvidence
from luthier.recipe.decisions.starting_network import ConvnetEvidence, channels_for
from luthier.recipe.ladder import Ladder
from luthier.recipe.media import MEDIA
from luthier.recipe.options import penalty_options, rule_options
from luthier.recipe.runner import Runner
from luthier.recipe.setting import Setting
from luthier.records import Finding

FACTORS = (1.0, 0.3)  # times the rate of the range test
PENALTIES = (1e-5, 1e-4)  # lambda / n
DECAYS = (0.01,)
DROPOUTS = (0.25, 0.5)
MIXUP = 0.2  # the a of Beta(a, a)
LOOKED_AT = 10_000  # pictures whose mean and deviation are taken


def network_in_words(spec: ConvSpec) -> str:
    """A network on one line."""
    each = "one convolution" if spec.convolutions == 1 else f"{spec.convolutions} convolutions"
    stages = f"{len(spec.channels)} stage{'s' if len(spec.channels) > 1 else ''}"
    return f"{stages} of {each}, {' - '.join(map(str, spec.channels))} filters"


def first_network(runner: Runner) -> ConvSpec:
    """The first architecture: small 3x3 convolutions with batch norm, pixels centred by the training pictures."""
    problem = runner.problem
    pixels = problem.data.training.numbers
    channels, height, width = pixels.shape[1:]
    some = pixels[: min(LOOKED_AT, len(pixels))].float() / 255
    mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3), correction=0)
    return ConvSpec(
        inputs=(channels, height, width),
        channels=channels_for(height, width),
        outputs=problem.outputs,
        mean=tuple(round(float(x), 4) for x in mean),
        std=tuple(round(max(float(x), 1e-3), 4) for x in std),
    )


def choose_network(runner: Runner) -> str:
    """Write the first architecture; returns how pictures enter it."""
    spec = first_network(runner)
    runner.ledger.decide(2, ConvnetEvidence(*spec.inputs[1:]))
    runner.ledger.decide(2, InputsEvidence(given=MEDIA["pictures"].method, why="pictures"))
    return MEDIA["pictures"].method


def training_options(name: str, now: Setting, rates: dict[str, float], runner: Runner) -> Iterator[Setting]:
    """What a rung of step 3 tries, from the setting that stands now."""
    member, spec = now.member, now.member.conv
    if name in ("rate", "Adam"):
        yield from rule_options(name, now, rates, FACTORS)
    elif name == "decay":
        yield replace(now, member=replace(member, schedule=Schedule("cosine")), label="cosine")
    elif name == "units":
        wider = replace(spec, channels=tuple(2 * count for count in spec.channels))
        yield replace(now, member=replace(member, spec=wider), label=network_in_words(wider))
    elif name == "layers":
        deeper = replace(spec, convolutions=2, residual=True)
        yield replace(now, member=replace(member, spec=deeper), label=network_in_words(deeper))


def climb_validation(runner: Runner, ladder: Ladder) -> None:
    """The rungs of step 4, from the setting that stands."""
    for name in runner.plan.validation_rungs:
        if name == "start" or ladder.standing is None:
            continue
        if name == "augmentations together":
            options = list(_together(ladder))
        else:
            options = list(_validation_options(name, ladder.standing.setting, runner))
        if options:
            ladder.climb(name, options)
        if name == "augmentation":
            _say_what_harms(runner, ladder)


def _validation_options(name: str, now: Setting, runner: Runner) -> Iterator[Setting]:
    member, spec = now.member, now.member.conv
    if name == "augmentation":
        for kind, known in AUGMENTATIONS.items():
            changed = replace(spec, augment=((kind, known.strengths[0]),))
            yield replace(now, member=replace(member, spec=changed), label=_said(changed))
    elif name == "mix-up":
        if runner.problem.mixes:
            yield replace(now, member=replace(member, mixup=MIXUP), label=f"mix-up {MIXUP:g}")
    elif name == "L2":
        yield from penalty_options(now, len(runner.problem.data.training), PENALTIES, DECAYS)
    else:
        for p in DROPOUTS:
            changed = replace(spec, dropout=p)
            yield replace(now, member=replace(member, spec=changed), label=f"dropout {p:g} in the last layer")


def _said(spec: ConvSpec) -> str:
    return ", ".join(f"{kind} {strength:g}" for kind, strength in spec.augment)


def _together(ladder: Ladder) -> Iterator[Setting]:
    """The kinds of change that did not lose: the best two and three, all of them, and the best two strongly."""
    assert ladder.standing is not None
    now = ladder.standing.setting
    gained = [(gain.gain or 0.0, one.setting.member.conv.augment[0][0]) for one, gain in ladder.judged if gain]
    kinds = [kind for gain, kind in sorted(gained, reverse=True) if gain > 0]
    offered = [(tuple(kinds[:2]), 0), (tuple(kinds[:3]), 0), (tuple(kinds), 0), (tuple(kinds[:2]), 1)]
    for some, place in dict.fromkeys(offered):
        if some and not (len(some) == 1 and place == 0):
            changed = replace(now.member.conv, augment=tuple((kind, _strength(kind, place)) for kind in some))
            yield replace(now, member=replace(now.member, spec=changed), label=_said(changed))


def _strength(kind: str, place: int) -> float:
    known = AUGMENTATIONS[kind].strengths
    return known[min(place, len(known) - 1)]


def _say_what_harms(runner: Runner, ladder: Ladder) -> None:
    """A note for each kind of change that clearly loses: its pictures no longer mean what they meant."""
    for one, gain in ladder.judged:
        if gain is not None and gain.clear and (gain.gain or 0.0) < 0:
            kind = one.setting.member.conv.augment[0][0]
            runner.ledger.find(
                Finding(
                    "harmful-augmentation",
                    "note",
                    f"{_said(one.setting.member.conv)} harms: the loss rises by {-(gain.gain or 0.0):.4f} ± "
                    f"{gain.half_width:.4f}; it preserves the label of {AUGMENTATIONS[kind].preserves}",
                    asdict(gain),
                    "leave it out for these pictures",
                    "S1-114",
                ),
                step=4,
            )


@torch.no_grad()
def originals_and_changed(runner: Runner, spec: ConvSpec, count: int = 10) -> torch.Tensor | None:
    """Training pictures and four changes of each, bytes [5, count, C, H, W]; None without augmentation."""
    problem = runner.problem
    if not spec.augment:
        return None
    some = problem.data.training.numbers[:count].float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(problem.seed)
        augment = Augment(spec.augment).train()
        rows = [some, *(augment(some) for _ in range(4))]
    return (torch.stack(rows).clamp(0, 1) * 255).round().to(torch.uint8)
