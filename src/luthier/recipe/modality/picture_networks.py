"""Pictures in the recipe: small ConvNets, wider and deeper ones, and changes that leave a picture's meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from luthier.engine import Member, ModuleSpec
from luthier.messages import Message
from luthier.nets import Augment, ConvSpec, Spec
from luthier.recipe.decisions.decision import decided
from luthier.recipe.decisions.input_encoding import InputsEvidence
from luthier.recipe.decisions.starting_network import ConvnetEvidence, channels_for
from luthier.recipe.experiment.factor_space import FactorSpace, Shape, batch_sizes, training_space, validation_space
from luthier.recipe.experiment.fold_bags import learnt_rows
from luthier.recipe.experiment.questions import (
    Question,
    changed,
    of_batches,
    of_clipping,
    of_dropout,
    of_penalties,
    of_rates,
    respecified,
)
from luthier.recipe.modality.modality import OneByOne, WholeTraining
from luthier.recipe.planning.plan import Method
from luthier.recipe.planning.setting import Setting
from luthier.recipe.preparing.problem import Problem
from luthier.recipe.running.runner import Runner
from luthier.records import Said
from luthier.statistics.designs import ShapeFactor

DROPOUTS, MIXUPS = (0.0, 0.25, 0.5), (0.0, 0.2)  # the a of Beta(a, a)
LOOKED_AT = 10_000  # pictures whose mean and deviation are taken
# Nanoseconds, forth and back: of a product, of a number that comes of a convolution, of a pixel; the share of all that
# which changes of pictures take.
PRODUCT, NUMBER, PIXEL = 0.025, 6.0, 100.0
CHANGED, BENT = 0.25, 0.5
MOVED = (("shift", 0.07), ("rotation", 10.0), ("scale", 0.1))
FLIP = ("flip", 0.5)
CHANGES: dict[str, tuple[tuple[str, float], ...]] = {
    "moved": MOVED,
    "none": (),
    "moved far": (("shift", 0.15), ("rotation", 25.0), ("scale", 0.2), ("skew", 10.0)),
    "moved and bent": (*MOVED, ("elastic", 1.0)),
    "mirrored": (*MOVED, FLIP, ("brightness", 0.2)),
    "cut out": (*MOVED, ("cut-out", 0.15)),
}


class PictureModality(OneByOne):
    """Pictures in ConvNets. (A modality; see there.)"""

    method: Method = "pixels"
    most_batch, rate = 128, 3e-3
    crossed, need_all_cores, longer, whole = False, True, 1.6, WholeTraining(10.0, 40.0, 250)

    def bare_network(self, problem: Problem, method: str, width: int) -> ConvSpec:
        """Small 3x3 convolutions with batch norm, pixels centred by the training pictures."""
        pixels = problem.data.training.inputs["pixels"]
        channels, height, width = pixels.shape[1:]
        mean, std = centred(pixels)
        inputs, filters = (channels, height, width), channels_for(height, width)
        return ConvSpec(inputs, filters, problem.outputs, mean=mean, std=std)

    def choose_network(self, runner: Runner) -> Said[None]:
        """Say the first architecture, and how pictures enter it."""
        spec = self.bare_network(runner.problem, self.method, 0)
        yield from decided(2, ConvnetEvidence(*spec.inputs[1:]))
        yield from decided(2, InputsEvidence(given=self.method, why="pictures"))

    def work(self, spec: Spec | ModuleSpec, batch_size: int) -> float:
        """About nanoseconds of a core: products of all convolutions, numbers between them, pixels."""
        assert isinstance(spec, ConvSpec)
        before, height, width = spec.inputs
        each = PIXEL * before * height * width
        for channels in spec.channels:
            for _ in range(spec.convolutions):
                each += channels * height * width * (9 * before * PRODUCT + NUMBER)
                before = channels
            height, width = height // 2, width // 2
        kinds = dict(spec.augment)
        return each * batch_size * (1 + CHANGED * bool(kinds) + BENT * ("elastic" in kinds))

    def training_space(self, runner: Runner) -> FactorSpace:
        """Filters, convolutions of a stage, batch size; how the network learns."""
        start = self.first_setting(runner.problem)
        spec = start.member.conv
        choices = (
            ShapeFactor("units", (1.0, 2.0, 0.5)),
            ShapeFactor("layers", (1, 2)),
            batch_sizes(runner.problem, start.batch_size),
        )

        def network(shape: Shape) -> Spec:
            return with_stages(filtered(spec, shape["units"]), shape["layers"])

        return training_space(start, choices, network, network_in_words)

    def validation_space(self, runner: Runner, now: Setting) -> FactorSpace:
        """Changes of pictures, mix-up, dropout, batch norm; what regularises."""
        problem, spec = runner.problem, now.member.conv
        choices = (
            ShapeFactor("augmentation", tuple(CHANGES)),
            ShapeFactor("dropout, last layer", DROPOUTS),
            ShapeFactor("mix-up", MIXUPS if problem.mixes else MIXUPS[:1]),
            ShapeFactor("batch norm", (True, False)),
        )

        def changed_member(shape: Shape) -> Member:
            network = replace(
                spec,
                augment=CHANGES[shape["augmentation"]],
                dropout=shape["dropout, last layer"],
                batch_norm=shape["batch norm"],
            )
            return replace(now.member, spec=network, mixup=shape["mix-up"])

        return validation_space(problem, now, choices, changed_member, network_in_words)

    def questions(self, runner: Runner, now: Setting, rates: Mapping[str, float]) -> Iterator[Question]:
        """Fourteen."""
        member, spec = now.member, now.member.conv
        yield from of_rates(now, rates)
        yield Question("units", True, changed(now, spec=filtered(spec, 0.5)))
        yield of_batches(now)
        deeper = spec.convolutions > 1
        yield Question("layers", deeper, changed(now, spec=with_stages(spec, 1 if deeper else 2)))
        yield of_dropout(now, "dropout, last layer", "dropout", DROPOUTS[1])
        yield of_penalties(now, learnt_rows(runner.problem))
        yield Question("batch norm", spec.batch_norm, respecified(now, batch_norm=not spec.batch_norm))
        used = bool(spec.augment)
        yield Question("augmentation", used, respecified(now, augment=() if used else MOVED), "" if used else "moved")
        used = FLIP in spec.augment
        others = tuple(one for one in spec.augment if one != FLIP)
        yield Question("mirrored", used, respecified(now, augment=others if used else (*others, FLIP)))
        used = member.mixup > 0
        if runner.problem.mixes:
            yield Question("mix-up", used, changed(now, mixup=0.0 if used else MIXUPS[1]), f"{MIXUPS[1]:g}")
        yield of_clipping(now)


def centred(pixels: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of the first pictures [N, C, H, W], as shares of the brightest."""
    some = pixels[: min(LOOKED_AT, len(pixels))].float() / 255
    mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3), correction=0)
    return tuple(round(float(x), 4) for x in mean), tuple(round(max(float(x), 1e-3), 4) for x in std)


def filtered(spec: ConvSpec, times: float) -> ConvSpec:
    """The network with so many times the filters."""
    return replace(spec, channels=tuple(max(1, round(times * count)) for count in spec.channels))


def with_stages(spec: ConvSpec, convolutions: int) -> ConvSpec:
    """The network with so many convolutions in each stage, all but the first with a way around them."""
    return replace(spec, convolutions=convolutions, residual=convolutions > 1)


def network_in_words(setting: Setting) -> list[str]:
    """A setting's network, and how its pictures are changed, in parts."""
    spec, several = setting.member.conv, Message("{count} convolutions", count=setting.member.conv.convolutions)
    each = Message("one convolution") if spec.convolutions == 1 else several
    template = "{count} stages of {each}" if len(spec.channels) > 1 else "{count} stage of {each}"
    parts: list[str] = [Message(template, count=len(spec.channels), each=each)]
    parts.append(Message("{filters} filters", filters=" - ".join(map(str, spec.channels))))
    parts += [] if spec.batch_norm else [Message("no batch norm")]
    parts += [Message("dropout {share:g}", share=spec.dropout)] if spec.dropout else []
    changes = (Message("{kind} {strength:g}", kind=Message(kind), strength=strength) for kind, strength in spec.augment)
    return [*parts, *changes]


@torch.no_grad()
def originals_and_changed(problem: Problem, spec: ConvSpec) -> torch.Tensor | None:
    """Ten training pictures and four changes of each, bytes [5, 10, C, H, W]; None without augmentation."""
    if not spec.augment:
        return None
    some = problem.data.training.inputs["pixels"][:10].float() / 255
    with torch.random.fork_rng():
        torch.manual_seed(problem.seed)
        augment = Augment(spec.augment).train()
        rows = [some, *(augment(some) for _ in range(4))]
    return (torch.stack(rows).clamp(0, 1) * 255).round().to(torch.uint8)
